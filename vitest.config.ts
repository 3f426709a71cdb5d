import { defineConfig, mergeConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { tags } from './e2e/system.ts';
import vite from './vite.config.ts';

/** These files measure time. They run one at a time, after all others. */
const CLOCK = ['chat_tasks', 'estimate', 'gpu_windows', 'lifecycle'].map((name) => `e2e/${name}.spec.ts`);

/** The longest first: one that begins last runs alone, while the other core has nothing to do. */
const LONGEST = [
  'gpu',
  'conformance',
  'golden',
  'gpu_linear',
  'browsers',
  'chat',
  'bench_disturbed',
  'bench_page',
  'loss',
].map((name) => `/e2e/${name}.spec.ts`);

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const long = LONGEST.flatMap((name) => sorted.filter(({ moduleId }) => moduleId.endsWith(name)));
    return [...long, ...sorted.filter((file) => !long.includes(file))];
  }
}

const browser = {
  include: ['e2e/**/*.spec.ts'],
  globalSetup: 'e2e/setup.ts',
  tags,
  testTimeout: 300_000,
  hookTimeout: 300_000,
};

export default defineConfig((environment) =>
  mergeConfig(vite(environment), {
    test: {
      sequence: { sequencer: LongestFirst },
      projects: [
        {
          extends: true,
          // two: by default one core of two stays idle
          test: { name: 'unit', include: ['{src,shaders,demo}/**/*.test.ts'], testTimeout: 60_000, maxWorkers: 2 },
        },
        {
          extends: true,
          test: { ...browser, name: 'browser', exclude: CLOCK, maxWorkers: 2, sequence: { groupOrder: 1 } },
        },
        {
          extends: true,
          test: {
            ...browser,
            name: 'browser by the clock',
            include: CLOCK,
            fileParallelism: false,
            sequence: { groupOrder: 2 },
          },
        },
      ],
    },
  }),
);
