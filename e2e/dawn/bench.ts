/**
 * The engine's GPU half in Node on Dawn (npm package `webgpu`), without a browser: throughput, times by kernel, and
 * checks.
 * `npm run bench:dawn -- --help` explains the options.
 *
 * --suite runs everything within --seconds: the adapter, the self test, logits and the conformance cases against the
 * reference, then each model:
 * prefill, decode greedy and sampled, times by kernel, and the same with the tuner's kernels. With --json it prints a
 * line for each result at once.
 * The exit code is 1 when a bound is missed. The driver is found as Vulkan finds it: VK_DRIVER_FILES names one. On a
 * software adapter the defaults are
 * --prompt 8 --gen 2 --runs 1 --sizes tiny. --random makes weights of a published shape; for speed they are as good as
 * real ones.
 */
import { basename } from 'node:path';
import type { WebGpuOptions } from '../../src/backend/webgpu/backend';
import { openCheckpoint } from '../../src/engine/checkpoint';
import { fileSource } from '../file_source';
import { flag, optionalFile, startTool, text, whole, wholes } from '../tools/options';
import { check, conformance } from './checks';
import { installDawn } from './install_dawn';
import { randomCheckpoint } from './random_checkpoint';
import { speed, speedLines, type SpeedOptions } from './speed';
import { suite } from './suite';

const flags = startTool(
  'npm run bench:dawn --',
  'Measures and checks the WebGPU backend in Node, without a browser. Pass --suite, --model, --random or --conformance.',
  {
    suite: flag('all measurements and checks'),
    conformance: flag('the cases that every backend must compute like the reference'),
    model: optionalFile('a GGUF file'),
    random: text('SIZE', 'made-up weights: 230m, 350m, 700m, 1.2b or 2.6b'),
    quant: text('TYPE', 'of made-up weights: q4_0, q8_0, q4_k or another format', 'q4_0'),
    sizes: text('A,B', '--suite: sizes of the models (default 350m,1.2b,2.6b)'),
    quants: text('A,B', '--suite: types of the weights', 'q4_0,q8_0'),
    seconds: whole('--suite: time for all of it', 540, 1),
    prompt: wholes('lengths of the prompt (default 128,512)'),
    gen: whole('tokens to generate (default 128)', undefined, 1),
    runs: whole('how often to measure (default 3)', undefined, 1),
    chunk: whole('tokens to read at a time', 256, 1),
    window: whole('tokens to generate between two readings', 32, 1),
    position: whole('tokens to read first', 0),
    profile: flag('times by kernel'),
    tune: flag("measures with the tuner's kernels, too"),
    budget: whole('milliseconds of the tuner', 10_000, 1),
    check: flag('compares logits and a greedy continuation with the reference'),
    only: text('TEXT', '--conformance: cases whose name contains it', ''),
    int8: flag('kernels that round activations to int8'),
    'no-subgroups': flag('without subgroup operations'),
    'f32-cache': flag('keys and values in 32 bits'),
    adapter: text('NAME', 'the adapter'),
    features: text('A,B', 'features to ask of Dawn'),
    json: flag('prints JSON'),
  },
);

const gpu: WebGpuOptions = {
  tuning: flags.int8 ? { int8Activations: true } : undefined,
  allowSoftware: true,
  subgroups: flags['no-subgroups'] ? false : undefined,
  f16: flags['f32-cache'] ? false : undefined,
};

async function main(): Promise<string[]> {
  if (!flags.suite && !flags.conformance && !flags.model && !flags.random) {
    console.error(
      'Pass --suite, --model FILE.gguf, --random 350m or --conformance.\nnpm run bench:dawn -- --help explains the options.',
    );
    process.exit(2);
  }
  const adapter = await installDawn(flags);
  if (flags.conformance) {
    const result = await conformance(gpu, flags.only);
    console.log(
      flags.json
        ? JSON.stringify(result)
        : `${result.cases} cases, ${result.missed.length} bounds missed, worst ${JSON.stringify(result.worst)}`,
    );
    return result.missed;
  }
  // a software adapter takes 14 s for a token of 350M: it can only show that everything runs
  const usual = adapter.software
    ? { prompt: [8], gen: 2, runs: 1, sizes: 'tiny' }
    : { prompt: [128, 512], gen: 128, runs: 3, sizes: '350m,1.2b,2.6b' };
  const shared = {
    gpu,
    prompts: flags.prompt ?? usual.prompt,
    gen: flags.gen ?? usual.gen,
    runs: flags.runs ?? usual.runs,
  };
  if (flags.suite)
    return suite(adapter, {
      ...shared,
      sizes: (flags.sizes ?? usual.sizes).split(','),
      quants: flags.quants.split(','),
      seconds: flags.seconds,
      tuneMs: flags.budget,
      json: flags.json,
    });

  const checkpoint = flags.random
    ? await randomCheckpoint(flags.random, flags.quant)
    : await openCheckpoint([fileSource(flags.model!)]);
  const misses: string[] = [];
  const options: SpeedOptions = {
    ...shared,
    chunk: flags.chunk,
    window: flags.window,
    position: flags.position,
    warm: !adapter.software,
    profile: flags.profile,
    tuneMs: flags.tune ? flags.budget : 0,
    pieces: 0,
    check: async (loaded) => flags.check && misses.push(...(await check(checkpoint, loaded)).missed),
  };
  const result = await speed(
    flags.random ? `random ${flags.random} ${flags.quant}` : basename(flags.model!),
    checkpoint,
    options,
  );
  if (flags.json) console.log(JSON.stringify(result));
  else for (const line of speedLines(result)) console.log(line);
  return misses;
}

const misses = await main().catch((error: Error) => [error.message]);
for (const miss of misses) console.error(`missed: ${miss}`);
process.exit(misses.length ? 1 : 0);
