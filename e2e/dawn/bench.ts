/**
 * The engine's GPU half in Node on Dawn (npm package `webgpu`), without a browser: throughput, times by kernel, and checks.
 *
 *   npm run bench:dawn -- --suite [--sizes 350m,1.2b,2.6b] [--quants q4_0,q8_0] [--seconds 540] [--json]
 *   npm run bench:dawn -- (--model FILE.gguf | --random 350m|700m|1.2b|2.6b --quant q4_0|q8_0|q6_k|q4_k|f16)
 *                         [--prompt 128,512] [--gen 128] [--runs 3] [--chunk 256] [--window 32] [--position N] [--profile] [--tune] [--budget 10000] [--json]
 *                         [--check] [--int8] [--no-subgroups] [--f32-cache] [--adapter NAME] [--features a,b]
 *   npm run bench:dawn -- --conformance [--only TEXT] [--int8] [--no-subgroups] [--f32-cache] [--json]
 *
 * --suite is all of it within --seconds: what the adapter is, self test, logits and the table of cases against the reference, then each model:
 * prefill, decode greedy and sampled, times by kernel, and the same with what the tuner finds. With --json a line for each, as soon as it is known.
 * --check compares logits and a greedy continuation with the reference backend; --conformance runs the table of cases that every backend
 * must compute like the reference; --int8 takes the kernels that round activations everywhere; --tune also measures with what the tuner finds
 * faster within --budget milliseconds. Exit code 1 when a bound is missed. The driver is found as Vulkan does: VK_DRIVER_FILES names one.
 * On a software adapter the defaults are --prompt 8 --gen 2 --runs 1 --sizes tiny. `--random` makes weights of a published shape as they are
 * loaded: for speed they are as good as real ones.
 */
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import type { WebGpuOptions } from '../../src/backend/webgpu/backend';
import { openCheckpoint } from '../../src/engine/checkpoint';
import { fileSource } from '../file_source';
import { check, conformance } from './checks';
import { installDawn } from './dawn';
import { randomCheckpoint } from './random';
import { speed, speedLines, type SpeedOptions } from './speed';
import { suite } from './suite';

const { values: flags } = parseArgs({
  options: {
    suite: { type: 'boolean' },
    sizes: { type: 'string' },
    quants: { type: 'string', default: 'q4_0,q8_0' },
    seconds: { type: 'string', default: '540' },
    model: { type: 'string' },
    random: { type: 'string' },
    quant: { type: 'string', default: 'q4_0' },
    prompt: { type: 'string' },
    gen: { type: 'string' },
    runs: { type: 'string' },
    chunk: { type: 'string', default: '256' },
    window: { type: 'string', default: '32' },
    position: { type: 'string', default: '0' },
    profile: { type: 'boolean' },
    tune: { type: 'boolean' },
    budget: { type: 'string', default: '10000' },
    int8: { type: 'boolean' },
    json: { type: 'boolean' },
    check: { type: 'boolean' },
    conformance: { type: 'boolean' },
    only: { type: 'string', default: '' },
    'no-subgroups': { type: 'boolean' },
    'f32-cache': { type: 'boolean' },
    adapter: { type: 'string' },
    features: { type: 'string' },
  },
});

const gpu: WebGpuOptions = { tuning: flags.int8 ? { integers: true } : undefined, allowSoftware: true, subgroups: flags['no-subgroups'] ? false : undefined, f16: flags['f32-cache'] ? false : undefined };

async function main(): Promise<string[]> {
  if (!flags.suite && !flags.conformance && !flags.model && !flags.random) {
    console.error('usage: npm run bench:dawn -- --suite | --model FILE.gguf | --random 350m --quant q4_0 | --conformance  (e2e/dawn/bench.ts names the rest)');
    process.exit(2);
  }
  const adapter = await installDawn(flags);
  if (flags.conformance) {
    const result = await conformance(gpu, flags.only);
    console.log(flags.json ? JSON.stringify(result) : `${result.cases} cases, ${result.missed.length} bounds missed, worst ${JSON.stringify(result.worst)}`);
    return result.missed;
  }
  // a software adapter takes 14 s for a token of 350M: it can only show that everything runs
  const usual = adapter.software ? { prompt: '8', gen: 2, runs: 1, sizes: 'tiny' } : { prompt: '128,512', gen: 128, runs: 3, sizes: '350m,1.2b,2.6b' };
  const shared = {
    gpu,
    prompts: (flags.prompt ?? usual.prompt).split(',').map(Number),
    gen: Number(flags.gen ?? usual.gen),
    runs: Number(flags.runs ?? usual.runs),
  };
  if (flags.suite)
    return suite(adapter, { ...shared, sizes: (flags.sizes ?? usual.sizes).split(','), quants: flags.quants.split(','), seconds: Number(flags.seconds), tuneMs: Number(flags.budget), json: !!flags.json });

  const checkpoint = flags.random ? randomCheckpoint(flags.random, flags.quant) : await openCheckpoint([fileSource(flags.model!)]);
  const misses: string[] = [];
  const options: SpeedOptions = {
    ...shared,
    chunk: Number(flags.chunk),
    window: Number(flags.window),
    position: Number(flags.position),
    warm: !adapter.software,
    profile: !!flags.profile,
    tuneMs: flags.tune ? Number(flags.budget) : 0,
    pieces: 0,
    check: async (loaded) => flags.check && misses.push(...(await check(checkpoint, loaded)).missed),
  };
  const result = await speed(flags.random ? `random ${flags.random} ${flags.quant}` : basename(flags.model!), checkpoint, options);
  if (flags.json) console.log(JSON.stringify(result));
  else for (const line of speedLines(result)) console.log(line);
  return misses;
}

const misses = await main().catch((error: Error) => [error.message]);
for (const miss of misses) console.error(`missed: ${miss}`);
process.exit(misses.length ? 1 : 0);
