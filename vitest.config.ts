import { defineConfig, mergeConfig } from 'vitest/config';
import { tags } from './e2e/system.ts';
import vite from './vite.config.ts';

export default defineConfig((environment) =>
  mergeConfig(vite(environment), {
    test: {
      projects: [
        { extends: true, test: { name: 'unit', include: ['{src,shaders,demo}/**/*.test.ts'], testTimeout: 60_000 } },
        {
          extends: true,
          test: { name: 'browser', include: ['e2e/**/*.spec.ts'], globalSetup: 'e2e/setup.ts', tags, testTimeout: 300_000, hookTimeout: 300_000, fileParallelism: false },
        },
      ],
    },
  }),
);
