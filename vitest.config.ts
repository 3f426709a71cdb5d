import { defineConfig, mergeConfig } from 'vitest/config';
import vite from './vite.config.ts';

export default defineConfig((environment) =>
  mergeConfig(vite(environment), {
    test: {
      projects: [
        { extends: true, test: { name: 'unit', include: ['{src,shaders,demo}/**/*.test.ts'], testTimeout: 60_000 } },
        {
          extends: true,
          test: { name: 'browser', include: ['e2e/**/*.spec.ts'], globalSetup: 'e2e/setup.ts', testTimeout: 300_000, hookTimeout: 300_000, fileParallelism: false },
        },
      ],
    },
  }),
);
