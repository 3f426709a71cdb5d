/**
 * The engine's GPU half in Node on Dawn (npm package `webgpu`), without a browser: throughput, times by kernel, and checks.
 *
 *   npm run bench:dawn -- (--model FILE.gguf | --random 350m|700m|1.2b|2.6b --quant q4_0|q8_0|q6_k|q4_k|f16)
 *                         [--prompt 128] [--gen 128] [--runs 3] [--chunk 256] [--window 32] [--position N] [--profile] [--tune] [--budget 60000] [--json]
 *                         [--check] [--int8] [--no-subgroups] [--f32-cache] [--adapter NAME] [--features a,b]
 *   npm run bench:dawn -- --conformance [--only TEXT] [--no-subgroups] [--f32-cache]
 *
 * --check compares logits and a greedy continuation with the reference backend; --conformance runs the table of cases that every backend
 * must compute like the reference; --int8 takes the kernels that round activations everywhere; --tune takes what the tuner finds faster, within
 * --budget milliseconds, before it measures. The checks end with exit code 1 when a bound is missed. The driver is found as Vulkan does:
 * VK_DRIVER_FILES names one. On a software adapter the defaults are --prompt 8 --gen 2 --runs 1. `--random` makes weights of a published
 * shape as they are loaded: for speed they are as good as real ones.
 */
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { create, globals } from 'webgpu';
import type { Backend, CompileOptions, Runner, TuneRow } from '../../src/backend/backend';
import { CASES, missed, runCase } from '../../src/backend/conformance';
import { record, type Plan } from '../../src/backend/plan';
import { openReference } from '../../src/backend/reference/backend';
import { GREEDY } from '../../src/backend/sampling';
import { openWebGpu, type WebGpuOptions } from '../../src/backend/webgpu/backend';
import { isSoftware } from '../../src/backend/webgpu/adapter';
import { openCheckpoint, type Checkpoint } from '../../src/engine/checkpoint';
import { loadWeights } from '../../src/engine/load';
import { forward } from '../../src/model/lfm2';
import { fileSource } from '../file_source';
import { compare, dispatchesOf, macsOf, profileAt, profileTable, spread, time, tuneTable, weightBytesOf } from '../measure';
import { randomCheckpoint } from './random';

const { values: flags } = parseArgs({
  options: {
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
    budget: { type: 'string', default: '60000' },
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
const [chunk, window, position] = [flags.chunk, flags.window, flags.position].map(Number);

/** every filter and penalty */
const SAMPLED = { ...GREEDY, temperature: 0.7, topK: 40, topP: 0.9, minP: 0.05, repetitionPenalty: 1.05, seed: 1 };

/** What the browser gives a page, as far as the backend asks for it. */
function installDawn(): void {
  Object.assign(globalThis, globals);
  const adapter = flags.adapter ? [`adapter=${flags.adapter}`] : [];
  const features = flags.features ? [`enable-dawn-features=${flags.features}`] : [];
  // zeroing workgroup memory by Vulkan's extension makes SwiftShader compile a kernel in seconds, by the shader itself in a tenth
  const gpu = create([...adapter, ...features, 'disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension']);
  Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: `Node ${process.version}, Dawn` }, configurable: true });
}

const options: WebGpuOptions = { tuning: flags.int8 ? { integers: true } : undefined, allowSoftware: true, subgroups: flags['no-subgroups'] ? false : undefined, f16: flags['f32-cache'] ? false : undefined };

interface Loaded {
  backend: Backend;
  plan: Plan;
  runner: Runner;
}

async function load(checkpoint: Checkpoint, backend: Backend, compile: CompileOptions): Promise<Loaded> {
  await backend.reserve(checkpoint.bytes);
  const weights = await loadWeights(checkpoint, backend, () => undefined);
  const plan = record((op) => forward(op, checkpoint.config, weights));
  return { backend, plan, runner: await backend.compile(plan, compile) };
}

/** The conformance table against the reference; the bounds missed. */
async function conformance(): Promise<string[]> {
  const cases = CASES.filter(({ name }) => name.includes(flags.only));
  const misses: string[] = [];
  for (const one of cases) {
    const wanted = await runCase(one, openReference());
    const backend = await openWebGpu({ ...options, selfTest: 'never' }); // what it would test is compared here
    const got = await runCase(one, backend);
    await backend.dispose();
    const wrong = wanted.map((w, i) => missed(one, { cache: flags['f32-cache'] ? undefined : 'f16', integers: flags.int8 ? 'units' : undefined }, compare(one.name, w, got[i]))).filter((m) => m !== undefined);
    console.error(`${wrong.length ? 'missed' : 'holds '} ${one.name}`);
    misses.push(...wrong.map((what) => `${one.name}: ${what}`));
  }
  console.log(flags.json ? JSON.stringify({ cases: cases.length, missed: misses }) : `${cases.length} cases, ${misses.length} bounds missed`);
  return misses;
}

/** Logits after prompts of several lengths, read whole and token by token, and a greedy continuation, against the reference. */
async function check(checkpoint: Checkpoint, { runner, backend }: Loaded): Promise<string[]> {
  const { vocabSize } = checkpoint.config;
  const reference = await load(checkpoint, openReference(), { contextLength: 128, chunk: 64 });
  // int8 activations are held to power, not to the largest difference
  const bound = /\bf16\b/.test(backend.info.variant) ? 5e-2 : 2e-2;
  const integers = runner.describe().includes('.int8');
  const misses: string[] = [];
  const feed = async (r: Runner, tokens: Uint32Array, piece: number): Promise<Float32Array> => {
    r.rewind(0);
    for (let at = 0; at < tokens.length; at += piece) await r.prefill(tokens.slice(at, at + piece));
    return r.logits();
  };
  for (const [length, piece] of [[1, 1], [7, 7], [7, 1], [40, 40], [40, 16]]) {
    const tokens = Uint32Array.from({ length }, (_, i) => (i * 7919 + 257) % vocabSize);
    const wanted = await feed(reference.runner, tokens, 64);
    const { maxAbs, rms, nmse } = compare('logits', { run: `T ${length}`, values: wanted }, { run: '', values: await feed(runner, tokens, piece) });
    // the bounds of `npm run verify` are for logits of about unit size, which made-up weights need not give
    const error = maxAbs / Math.max(1, rms);
    console.error(`logits after ${length} tokens, ${piece} at a time: largest difference ${error.toExponential(2)}, nmse ${nmse.toExponential(2)}`);
    if (!(integers ? nmse <= 8e-3 : error <= bound)) misses.push(`logits after ${length} tokens, ${piece} at a time: off by ${error}, ${nmse} of the power`);
  }
  // greedy: wherever the two part, the reference must have had the two tokens close together
  const tokens = Uint32Array.from({ length: 7 }, (_, i) => (i * 7919 + 257) % vocabSize);
  await feed(runner, tokens, 7);
  const got = await runner.decode(24, GREEDY);
  await feed(reference.runner, tokens, 7);
  for (const [i, token] of got.entries()) {
    const logits = await reference.runner.logits();
    const best = logits.indexOf(Math.max(...logits));
    const margin = logits[best] - logits[token];
    if (margin > 0.1 && !integers) misses.push(`greedy token ${i}: ${token}, the reference has ${best} ahead by ${margin}`);
    if (token !== best) break;
    await reference.runner.prefill(Uint32Array.of(token));
  }
  console.error(`greedy continuation: ${[...got].join(' ')}`);
  return misses;
}

async function bench(): Promise<string[]> {
  const checkpoint = flags.random ? randomCheckpoint(flags.random, flags.quant) : await openCheckpoint([fileSource(flags.model!)]);
  const { config, bytes } = checkpoint;
  const start = performance.now();
  const opening = await openWebGpu(options);
  // a software adapter takes 14 s for a token of 350M: it can only show that everything runs
  const slow = isSoftware(opening.info.device);
  const usual = slow ? [8, 2, 1] : [128, 128, 3];
  const [prompt, gen, runs] = [flags.prompt, flags.gen, flags.runs].map((flag, i) => Number(flag ?? usual[i]));
  const loaded = await load(checkpoint, opening, { contextLength: Math.max(128, position + prompt + gen + 8), chunk });
  const loadSeconds = (performance.now() - start) / 1000;
  const { runner, plan, backend } = loaded;
  console.error(`loaded ${(bytes / 1e6).toFixed(0)} MB in ${loadSeconds.toFixed(1)} s: ${dispatchesOf(runner.describe())} dispatches a token`);
  let tuned: TuneRow[] | undefined;
  if (flags.tune) {
    await runner.prefill(Uint32Array.of(0)); // one token has run
    tuned = await runner.tune!({ budgetMs: Number(flags.budget), software: true });
    for (const line of tuneTable(tuned)) console.error(line);
  }
  const misses = flags.check ? await check(checkpoint, loaded) : [];
  const prefill: number[] = [];
  const decode: number[] = [];
  const sampled: number[] = [];
  for (let run = slow ? 0 : -1; run < runs; run++) {
    const { prefillMs, decodeMs } = await time(runner, config.vocabSize, position || prompt, gen, chunk, window);
    const drawn = await time(runner, config.vocabSize, position || prompt, gen, chunk, window, SAMPLED);
    if (run < 0) continue; // warms
    prefill.push((1000 * (position || prompt)) / prefillMs);
    decode.push((1000 * gen) / decodeMs);
    sampled.push((1000 * gen) / drawn.decodeMs);
  }
  const decodeTokensPerSecond = spread(decode);
  const sampledTokensPerSecond = spread(sampled);
  const bytesPerToken = weightBytesOf(plan);
  const result = {
    model: flags.random ? `random ${flags.random} ${flags.quant}` : basename(flags.model!),
    device: backend.info.device,
    variant: backend.info.variant,
    notes: backend.info.notes,
    loadSeconds: Number(loadSeconds.toFixed(2)),
    fileBytes: bytes,
    backendBytes: backend.memory(),
    prompt,
    gen,
    position,
    prefillTokensPerSecond: spread(prefill),
    decodeTokensPerSecond,
    sampledTokensPerSecond,
    sampledOverGreedy: Number((sampledTokensPerSecond.median / decodeTokensPerSecond.median).toFixed(3)),
    bytesPerToken,
    gigabytesPerSecond: Number(((bytesPerToken * decodeTokensPerSecond.median) / 1e9).toFixed(2)),
    macsPerToken: macsOf(plan),
    dispatchesPerToken: dispatchesOf(runner.describe()),
    tuned,
    profile: flags.profile ? await profileAt(runner, position, chunk) : undefined,
  };
  if (result.profile) for (const line of [...runner.describe().split('\n'), ...profileTable(result.profile)]) console.error(line);
  if (flags.json) console.log(JSON.stringify(result));
  else {
    const line = ({ median, min, max }: ReturnType<typeof spread>): string => `${median} tok/s (${min} – ${max})`;
    console.log(`${result.model} on ${result.device}: ${result.variant}`);
    for (const note of result.notes) console.log(`  ${note}`);
    console.log(`  load     ${result.loadSeconds} s, weights ${(bytes / 1e6).toFixed(0)} MB, backend ${(result.backendBytes / 1e6).toFixed(0)} MB`);
    console.log(`  prefill  ${line(result.prefillTokensPerSecond)}`);
    console.log(`  decode   ${line(decodeTokensPerSecond)}, ${result.gigabytesPerSecond} GB/s`);
    console.log(`  sampled  ${line(sampledTokensPerSecond)}, ${result.sampledOverGreedy} of greedy`);
    console.log(`  dispatches a token: ${result.dispatchesPerToken}`);
  }
  runner.dispose();
  await backend.dispose();
  return misses;
}

installDawn();
if (!flags.conformance && !flags.model && !flags.random) {
  console.error('usage: npm run bench:dawn -- --model FILE.gguf | --random 350m --quant q4_0 | --conformance  (e2e/dawn/bench.ts names the rest)');
  process.exit(2);
}
const misses = await (flags.conformance ? conformance() : bench());
for (const miss of misses) console.error(`missed: ${miss}`);
process.exit(misses.length ? 1 : 0);
