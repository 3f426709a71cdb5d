/** The WebGPU backend by itself, in a page: what e2e/gpu.spec.ts asks it. Everything is compared with the reference on the same plan. */
import { clear, createStore } from 'idb-keyval';
import type { Backend, Runner } from '../../src/backend/backend';
import { CASES, noise, runCase, write } from '../../src/backend/conformance';
import { record, type Plan } from '../../src/backend/plan';
import { openReference } from '../../src/backend/reference/backend';
import { GREEDY, type Sampling } from '../../src/backend/sampling';
import { openWebGpu, type WebGpuOptions } from '../../src/backend/webgpu/backend';
import type { Config } from '../../src/model/config';
import { forward, type Layer, type Lfm2 } from '../../src/model/lfm2';
import type { Dtype } from '../../src/tensor/dtype';
import type { Matrix, Vector } from '../../src/model/ops';

const open = (options: WebGpuOptions): Promise<Backend> => openWebGpu({ selfTest: 'never', ...options, allowSoftware: true });

/** The same on the GPU and on the reference. */
async function both<T>(options: WebGpuOptions, run: (backend: Backend) => Promise<T>): Promise<[got: T, wanted: T]> {
  const wanted = await run(openReference());
  const backend = await open(options);
  try {
    return [await run(backend), wanted];
  } finally {
    await backend.dispose();
  }
}

async function floats(backend: Backend, name: string, rows: number, cols: number, value: (i: number) => number): Promise<Matrix> {
  const writer = backend.matrix({ name, rows, cols, segments: [{ name, rows, dtype: 'F32' }] });
  await writer.write(0, 0, new Uint8Array(Float32Array.from({ length: rows * cols }, (_, i) => value(i)).buffer));
  return writer.finish();
}

const random = (name: string): (() => number) => {
  const next = noise(name);
  return () => next() / 2 ** 32;
};

const normal = (uniform: () => number): number => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());

/** A plan whose logits are the row of the token read: a table of transitions. `ties`: logits in steps of a quarter. */
async function transitions(backend: Backend, rows: number, V: number, ties: boolean): Promise<Plan> {
  const uniform = random(`transitions ${V}`);
  const table = await floats(backend, 'table', rows, V, () => (ties ? Math.round(12 * normal(uniform)) / 4 : 3 * normal(uniform)));
  return record((op) => op.last(op.embed(table)));
}

export interface Draw {
  prompt: number[];
  /** lengths of the windows; the first two are in flight together */
  windows: number[];
  sampling: Omit<Sampling, 'bias' | 'mask'> & { bias?: [number, number][]; mask?: number[] };
}

async function draw(runner: Runner, { prompt, windows, sampling }: Draw): Promise<number[]> {
  runner.rewind(0);
  await runner.prefill(Uint32Array.from(prompt));
  const { bias, mask, ...rest } = sampling;
  const s: Sampling = { ...rest, bias: bias && new Map(bias), mask: mask && Uint32Array.from(mask) };
  const chosen = [];
  for (let i = 0; i < windows.length; i += 2)
    chosen.push(...(runner.position === 0 ? [] : await Promise.all(windows.slice(i, i + 2).map((n) => runner.decode(n, s)))));
  return chosen.flatMap((ids) => [...ids]);
}

/** A model of the family's shape with random weights. */
async function randomModel(backend: Backend, layers: Config['layers'], D: number, F: number, dtype: Dtype): Promise<{ plan: Plan; V: number }> {
  const config: Config = {
    vocabSize: 512, hiddenSize: D, ffnSize: F, layers, heads: D / 32, kvHeads: D / 64, headDim: 32, convLength: 3, normEps: 1e-5, ropeTheta: 1e6, contextLength: 4096,
  }; // prettier-ignore
  const vector = (name: string, length: number): Vector => {
    const uniform = random(name);
    return backend.vector(name, Float32Array.from({ length }, () => 0.5 + uniform()));
  };
  const matrix = (name: string, rows: number, cols: number): Promise<Matrix> => write(backend, { name, rows, cols, segments: [{ name, rows, dtype }] });
  const embed = await matrix('embed', config.vocabSize, D);
  const weights: Lfm2 = { embed, head: embed, embeddingNorm: vector('embedding_norm', D), layers: [] };
  for (const [i, kind] of layers.entries()) {
    const shared = {
      operatorNorm: vector(`${i}.operator_norm`, D),
      ffnNorm: vector(`${i}.ffn_norm`, D),
      w1: await matrix(`${i}.w1`, F, D),
      w3: await matrix(`${i}.w3`, F, D),
      w2: await matrix(`${i}.w2`, D, F),
      outProj: await matrix(`${i}.out_proj`, D, D),
    };
    const layer: Layer =
      kind === 'conv'
        ? { kind, ...shared, inProj: await matrix(`${i}.in_proj`, 3 * D, D), taps: vector(`${i}.conv`, 3 * D) }
        : { kind, ...shared, qkvProj: await matrix(`${i}.qkv`, 2 * D, D), qNorm: vector(`${i}.q_norm`, 32), kNorm: vector(`${i}.k_norm`, 32) };
    weights.layers.push(layer);
  }
  return { plan: record((op) => forward(op, config, weights)), V: config.vocabSize };
}

const someTokens = (V: number, length: number): Uint32Array => {
  const next = noise('prompt');
  return Uint32Array.from({ length }, () => next() % V);
};

const SIXTEEN: Config['layers'] = Array.from({ length: 16 }, (_, i) => ([2, 5, 8, 10, 12, 14].includes(i) ? 'attention' : 'conv'));

/** Counts calls of the WebGPU methods named, from now until `stop`. */
function count(): { stop(): Record<string, number> } {
  const counts: Record<string, number> = {};
  const undo: (() => void)[] = [];
  const watch = (prototype: object, names: string[]): void => {
    for (const name of names) {
      const original = Reflect.get(prototype, name) as (...args: unknown[]) => unknown;
      counts[name] = 0;
      Reflect.set(prototype, name, function (this: unknown, ...args: unknown[]) {
        const nudge = name === 'submit' && !(args[0] as unknown[]).length; // Firefox notices finished work late
        if (!nudge) counts[name]++;
        return original.apply(this, args);
      });
      undo.push(() => void Reflect.set(prototype, name, original));
    }
  };
  watch(GPUComputePassEncoder.prototype, ['dispatchWorkgroups', 'setBindGroup', 'setPipeline']);
  watch(GPUQueue.prototype, ['submit', 'writeBuffer']);
  watch(GPUCommandEncoder.prototype, ['beginComputePass']);
  watch(GPUDevice.prototype, ['createBindGroup', 'createBuffer', 'createComputePipeline', 'createComputePipelineAsync', 'createShaderModule', 'createCommandEncoder']);
  return { stop: () => (undo.forEach((f) => f()), counts) };
}

const gpu = {
  caseNames: (): string[] => CASES.map(({ name }) => name),

  /** Largest difference over rms of every run of a conformance case. */
  async conformance(name: string, options: WebGpuOptions): Promise<{ run: string; error: number }[]> {
    const one = CASES.find((c) => c.name === name)!;
    const [got, wanted] = await both(options, (backend) => runCase(one, backend));
    return wanted.map(({ run, values }, i) => ({ run, error: difference(got[i].values, values) }));
  },

  /** Tokens drawn on the GPU and by the definition. */
  async draws(rows: number, V: number, ties: boolean, draws: Draw[], options: WebGpuOptions): Promise<[got: number[][], wanted: number[][]]> {
    return both(options, async (backend) => {
      const runner = await backend.compile(await transitions(backend, rows, V, ties), { contextLength: 256, chunk: 64 });
      const all = [];
      for (const d of draws) all.push(await draw(runner, d));
      return all;
    });
  },

  /** Errors of attention for the last token, read alone, after `positions` tokens. */
  async attention(positions: number[], options: WebGpuOptions): Promise<number[]> {
    const [H, K, d] = [3, 1, 32];
    const [got, wanted] = await both(options, async (backend) => {
      const uniform = random('qkv');
      const table = await floats(backend, 'table', 67, (H + 2 * K) * d, () => normal(uniform));
      const norm = (name: string) => ({ weight: backend.vector(name, Float32Array.from({ length: d }, (_, i) => 0.6 + (i % 7) / 8)), eps: 1e-5 });
      const [qNorm, kNorm] = [norm('q'), norm('k')];
      const plan = record((op) => op.attend(op.embed(table), { kind: 'kv', layer: 0, kvHeads: K, headDim: d }, { qNorm, kNorm, heads: H, ropeTheta: 1e6 }));
      const runner = await backend.compile(plan, { contextLength: 2048, chunk: 256 });
      const tokens = Uint32Array.from({ length: 2048 }, (_, i) => (i * i + 11 * i) % 67);
      const outputs: Float32Array[] = [];
      for (const position of positions) {
        while (runner.position < position) await runner.prefill(tokens.slice(runner.position, Math.min(position, runner.position + 256)));
        await runner.prefill(tokens.slice(position, position + 1));
        outputs.push(await runner.logits());
      }
      return outputs;
    });
    return wanted.map((w, i) => difference(got[i], w));
  },

  /** Errors of the logits after a prompt that is fed in pieces. */
  async pieces(length: number, pieces: number[], options: WebGpuOptions): Promise<number[]> {
    const [got, wanted] = await both(options, async (backend) => {
      const { plan, V } = await randomModel(backend, ['conv', 'conv', 'attention', 'conv'], 64, 96, 'Q8_0');
      const runner = await backend.compile(plan, { contextLength: 1024, chunk: 256 });
      const outputs = [];
      for (const piece of backend.info.name === 'reference' ? [length] : pieces) {
        runner.rewind(0);
        const tokens = someTokens(V, length);
        for (let at = 0; at < length; at += piece) await runner.prefill(tokens.slice(at, at + piece));
        outputs.push(await runner.logits());
      }
      return outputs;
    });
    return got.map((g) => difference(g, wanted[0]));
  },

  /** A conversation that goes back: the logits after `rewind(to)` and the same tokens again, against never having gone on. */
  async rewound(options: WebGpuOptions): Promise<{ error: number; tooFar: boolean; overwritten: boolean; toStart: boolean; beyond: boolean }> {
    const backend = await open(options);
    const { plan, V } = await randomModel(backend, ['conv', 'attention', 'conv'], 64, 96, 'Q8_0');
    const runner = await backend.compile(plan, { contextLength: 1024, chunk: 256 });
    const tokens = someTokens(V, 300);
    await runner.prefill(tokens.slice(0, 200));
    await runner.prefill(tokens.slice(200, 230));
    const straight = await runner.logits();
    await runner.decode(40, GREEDY);
    const back = runner.rewind(200);
    await runner.prefill(tokens.slice(200, 230));
    const again = await runner.logits();
    const tooFar = runner.rewind(20);
    const overwritten = runner.rewind(130); // near enough to 230, but 269 had been reached
    const beyond = runner.rewind(999);
    const toStart = runner.rewind(0);
    backend.dispose();
    return { error: back ? difference(again, straight) : NaN, tooFar, overwritten, toStart, beyond };
  },

  /** What the browser is asked to do for `windows` windows of `steps` tokens, after warm-up. */
  async counts(sampling: Sampling, windows: number, steps: number, prompt: number, options: WebGpuOptions) {
    const backend = await open(options);
    const { plan, V } = await randomModel(backend, SIXTEEN, 128, 128, 'Q4_0');
    const runner = await backend.compile(plan, { contextLength: 2048, chunk: 256 });
    for (let at = 0; at < prompt; at += 256) await runner.prefill(someTokens(V, Math.min(256, prompt - at)));
    await runner.decode(2, sampling);
    const counter = count();
    let jsPerToken = Infinity; // of the quietest window: the machine does other things too
    const pending: Promise<unknown>[] = [];
    for (let i = 0; i < windows; i++) {
      const start = performance.now();
      pending.push(runner.decode(steps, sampling));
      jsPerToken = Math.min(jsPerToken, (performance.now() - start) / steps);
      if (i > 0) await pending[i - 1];
    }
    await Promise.all(pending);
    const counts = counter.stop();
    const described = runner.describe();
    backend.dispose();
    return { counts, jsPerToken, described };
  },

  /** Submits of the first chunk, of one after a chunk that took no time, and of one after a chunk that took an hour; and whether the logits are the same. */
  async submits(options: WebGpuOptions) {
    const backend = await open(options);
    const { plan, V } = await randomModel(backend, ['conv', 'attention', 'conv', 'conv'], 64, 96, 'Q8_0');
    const runner = await backend.compile(plan, { contextLength: 256, chunk: 64 });
    const now = performance.now.bind(performance);
    const results: { submit: number; dispatchWorkgroups: number; logits: Float32Array }[] = [];
    try {
      for (const speed of [0, 1e6, 1]) {
        performance.now = () => speed * now();
        runner.rewind(0);
        const counter = count();
        await runner.prefill(someTokens(V, 64));
        const { submit, dispatchWorkgroups } = counter.stop();
        const logits = await runner.logits();
        await runner.prefill(someTokens(V, 1)); // waits for the chunk
        await runner.prefill(someTokens(V, 1));
        results.push({ submit, dispatchWorkgroups, logits });
      }
    } finally {
      performance.now = now;
      await backend.dispose();
    }
    return { submits: results.map((r) => r.submit), dispatches: results[0].dispatchWorkgroups, error: Math.max(...results.map((r) => difference(r.logits, results[0].logits))) };
  },

  /** Opens without `allowSoftware`. */
  hardwareOnly: async (): Promise<string> => {
    const opened = await openWebGpu().catch((error: Error) => `${error.name}: ${error.message}`);
    return typeof opened === 'string' ? opened : opened.info.device;
  },

  /** What the self test finds when the shaders of a device are spoilt: `pattern` becomes `by` in all of them. */
  async spoilt(pattern: string, by: string, dtype: Dtype, options: WebGpuOptions): Promise<{ variant: string; notes: string[]; ms: number } | { error: string }> {
    const original = GPUDevice.prototype.createShaderModule;
    if (pattern)
      GPUDevice.prototype.createShaderModule = function (descriptor) {
        return original.call(this, { ...descriptor, code: descriptor.code.replaceAll(pattern, by) });
      };
    const backend = await open({ ...options, selfTest: 'always' });
    try {
      const { plan } = await randomModel(backend, ['conv', 'attention'], 256, 256, dtype);
      const start = performance.now();
      await backend.compile(plan, { contextLength: 64, chunk: 16 });
      const { variant, notes } = backend.info;
      return { variant, notes, ms: performance.now() - start };
    } catch (error) {
      return { error: `${(error as Error).name}: ${(error as Error).message}` };
    } finally {
      GPUDevice.prototype.createShaderModule = original;
      await backend.dispose();
    }
  },

  /**
   * Tunes with made-up times, of which the winner is known; then a second load on the same device. `spoil` makes the integer kernel wrong.
   * @param times µs by setting, multiplied
   */
  async tuned(times: Record<string, number>, spoil: boolean, options: WebGpuOptions) {
    const original = GPUDevice.prototype.createShaderModule;
    if (spoil)
      GPUDevice.prototype.createShaderModule = function (descriptor) {
        return original.call(this, { ...descriptor, code: descriptor.code.replaceAll('ZERO * sum', 'sum') });
      };
    const start = async (fresh: boolean) => {
      const backend = await open({ ...options, selfTest: 'known' });
      const { plan, V } = await randomModel(backend, ['conv', 'attention'], 256, 256, 'Q4_0');
      const runner = await backend.compile(plan, { contextLength: 512, chunk: 64 });
      const greedy = async () => (runner.rewind(0), await runner.prefill(someTokens(V, 20)), [...(await runner.decode(8, GREEDY))]);
      const logits = async () => (runner.rewind(0), await runner.prefill(someTokens(V, 20)), await runner.prefill(someTokens(V, 1)), runner.logits());
      if (fresh) await greedy();
      return { backend, runner, greedy, logits };
    };
    try {
      await clear(createStore('rivulet-devices', 'verdicts'));
      const first = await start(true);
      const wanted = await first.logits();
      await first.runner.prefill(someTokens(512, 4)); // a conversation is open while the tuner runs
      const before = await first.runner.logits();
      const measure = (_: string, tuning: object): Promise<number> => Promise.resolve(Object.keys(tuning).reduce((micros, name) => micros * (times[name] ?? 1), 100));
      const rows = await first.runner.tune!({ measure, budgetMs: 1e6, software: true });
      const untouched = difference(await first.runner.logits(), before);
      const error = difference(await first.logits(), wanted);
      const counter = count();
      const tokens = await first.runner.decode(4, GREEDY);
      const counts = counter.stop();
      const again = await first.runner.tune!({ measure, software: true });
      const described = first.runner.describe();
      await first.backend.dispose();
      const second = spoil ? undefined : await start(false);
      const kept = second?.runner.describe() === described;
      await second?.backend.dispose();
      return { rows, error, untouched, counts, tokens: tokens.length, again, described, kept };
    } finally {
      GPUDevice.prototype.createShaderModule = original;
    }
  },

  /** Destroys the device in the middle of a phase; then a new one reads what was read and goes on. */
  async lost(phase: 'load' | 'compile' | 'prefill' | 'decode', options: WebGpuOptions): Promise<{ errors: string[]; hung: boolean; equal: boolean }> {
    const prompt = someTokens(512, 40);
    const start = async (stop: (at: typeof phase) => void) => {
      const backend = await open(options);
      const loading = randomModel(backend, ['conv', 'attention', 'conv'], 64, 96, 'Q8_0');
      setTimeout(() => stop('load'));
      const { plan } = await loading;
      const compiling = backend.compile(plan, { contextLength: 256, chunk: 64 });
      stop('compile');
      return { backend, runner: await compiling };
    };
    const undisturbed = await start(() => undefined);
    await undisturbed.runner.prefill(prompt);
    const wanted = [...(await undisturbed.runner.decode(12, GREEDY))];

    let device: GPUDevice | undefined;
    const original = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (descriptor) {
      return (device = await original.call(this, descriptor));
    };
    const errors: string[] = [];
    const note = (error: Error): void => void errors.push(`${error.name}: ${error.message}`);
    const chosen: number[] = [];
    const run = async (): Promise<void> => {
      const { runner } = await start((at) => at === phase && device!.destroy());
      const reading = runner.prefill(prompt);
      if (phase === 'prefill') device!.destroy();
      await reading;
      chosen.push(...(await runner.decode(3, GREEDY)));
      const windows = [runner.decode(3, GREEDY), runner.decode(3, GREEDY)];
      if (phase === 'decode') device!.destroy();
      for (const window of await Promise.allSettled(windows)) {
        if (window.status === 'fulfilled') chosen.push(...window.value);
        else note(window.reason as Error);
      }
      await runner.prefill(prompt).catch(note);
      await runner.logits().catch(note);
      await runner.decode(1, GREEDY).then(() => undefined, note);
    };
    const hung = await Promise.race([run().catch(note).then(() => false), new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 60_000))]);
    GPUAdapter.prototype.requestDevice = original;

    const next = await start(() => undefined);
    await next.runner.prefill(prompt);
    if (chosen.length) await next.runner.prefill(Uint32Array.from(chosen));
    const rest = [...(await next.runner.decode(12 - chosen.length, GREEDY))];
    return { errors, hung, equal: [...chosen, ...rest].join() === wanted.join() };
  },

  /** A device that refuses caches beyond `most` bytes: the tokens are still those of one that does not. */
  async refused(most: number, options: WebGpuOptions): Promise<{ equal: boolean; refusals: number; error: number }> {
    const run = async (): Promise<{ ids: number[]; logits: Float32Array }> => {
      const backend = await open(options);
      const { plan, V } = await randomModel(backend, ['conv', 'attention', 'conv'], 64, 96, 'Q8_0');
      const runner = await backend.compile(plan, { contextLength: 4096, chunk: 256 });
      for (let at = 0; at < 1022; at += 146) await runner.prefill(someTokens(V, 146));
      const logits = await runner.logits();
      const windows = await Promise.all([runner.decode(2, GREEDY), runner.decode(4, GREEDY), runner.decode(4, GREEDY)]); // over the border
      const ids = windows.flatMap((window) => [...window]);
      backend.dispose();
      return { ids, logits };
    };
    const plain = await run();
    const original = GPUDevice.prototype.createBuffer;
    let refusals = 0;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      if (!/^(keys|values)/.test(descriptor.label ?? '') || descriptor.size <= most || refusals >= 2) return original.call(this, descriptor);
      refusals++;
      return original.call(this, { ...descriptor, size: 2 ** 52 });
    };
    const short = await run().finally(() => (GPUDevice.prototype.createBuffer = original));
    return { equal: short.ids.join() === plain.ids.join(), refusals, error: difference(short.logits, plain.logits) };
  },
};

function difference(got: Float32Array, wanted: Float32Array): number {
  if (got.length !== wanted.length) throw new Error(`${got.length} values, wanted ${wanted.length}`);
  let most = 0;
  let power = 0;
  wanted.forEach((w, i) => {
    const delta = Math.abs(got[i] - w);
    if (!(delta <= most)) most = delta; // NaN counts
    power += w * w;
  });
  return most / Math.sqrt(power / wanted.length);
}

export type GpuPage = typeof gpu;
Object.assign(window, { gpu });
