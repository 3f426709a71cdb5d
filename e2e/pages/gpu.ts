/**
 * The WebGPU backend by itself, in a page: what e2e/gpu.spec.ts asks it. Everything is compared with the reference on
 * the same plan.
 */
import '../../src/modules/experts';
import { firstState, type State } from '../../src/backend/backend';
import { describeProgram } from '../../src/backend/describe_program';
import { planCost, type PlanCost } from '../../src/backend/cost';
import { recordPlan } from '../../src/backend/plan';
import { writeRandomMatrix } from '../../src/backend/random_weights';
import { GREEDY_SAMPLING, logprobs, ALL_FILTERS_SAMPLING, type SamplingParams } from '../../src/backend/sampling';
import type { WebGpuOptions } from '../../src/backend/webgpu/backend';
import { profileAt } from '../../src/backend/webgpu/profile';
import type { Dtype } from '../../src/tensor/dtype';
import type { Config } from '../../src/model/config';
import { faults } from './gpu_faults';
import { states } from './gpu_states';
import {
  both,
  count,
  difference,
  floats,
  normal,
  open,
  openFresh,
  random,
  randomModel,
  shared,
  smallModel,
  someTokens,
  transitions,
} from './gpu_models';

export interface Draw {
  prompt: number[];
  /** lengths of the windows; the first two are in flight together */
  windows: number[];
  sampling: Omit<SamplingParams, 'bias' | 'mask'> & { bias?: [number, number][]; mask?: number[] };
}

async function draw(state: State, { prompt, windows, sampling }: Draw): Promise<number[]> {
  state.rewind(0);
  await state.prefill(Uint32Array.from(prompt));
  const { bias, mask, ...rest } = sampling;
  const s: SamplingParams = { ...rest, bias: bias && new Map(bias), mask: mask && Uint32Array.from(mask) };
  const chosen = [];
  for (let i = 0; i < windows.length; i += 2)
    chosen.push(
      ...(state.position === 0 ? [] : await Promise.all(windows.slice(i, i + 2).map((n) => state.decode(n, s)))),
    );
  return chosen.flatMap((ids) => [...ids]);
}

const SIXTEEN: Config['layers'] = Array.from({ length: 16 }, (_, i) =>
  [2, 5, 8, 10, 12, 14].includes(i) ? 'attention' : 'conv',
);

const gpu = {
  ...faults,
  ...states,

  /** Tokens drawn on the GPU and by the definition. */
  async draws(
    rows: number,
    V: number,
    ties: boolean,
    draws: Draw[],
    options: WebGpuOptions,
  ): Promise<[got: number[][], wanted: number[][]]> {
    return both(options, async (backend) => {
      const state = await firstState(backend, await transitions(backend, rows, V, ties), {
        contextLength: 256,
        prefillBatch: 64,
      });
      const all = [];
      for (const d of draws) all.push(await draw(state, d));
      state.program.dispose();
      return all;
    });
  },

  /**
   * What is told of tokens after draws with penalties, by the definition and on the GPU: the ids, the largest
   * difference of a log probability (equal infinities have none), and the bytes that were copied for it.
   * @param kind of logits; 'extremes' have the ends of f32, -inf and zeros of either sign among them
   */
  async ranked(
    kind: 'plain' | 'ties' | 'extremes',
    V: number,
    asked: { token: number; chosen: number; n: number }[],
    options: WebGpuOptions,
  ) {
    const backend = await shared(options);
    const ends = [-Infinity, 3.4e38, -3.4e38, 0, -0, 3.4e38, 90, -Infinity];
    const uniform = random(`ranked ${V}`);
    const rows = Array.from({ length: 3 }, () =>
      Float32Array.from({ length: V }, (_, i) =>
        kind === 'extremes' && i % 5
          ? ends[Math.floor(8 * uniform())]
          : kind === 'ties'
            ? Math.round(12 * normal(uniform)) / 4
            : 3 * normal(uniform),
      ),
    );
    if (kind === 'extremes') {
      rows[1] = rows[1].map((l) => (l > 0 ? -Infinity : l)); // zeros come first
      // fewer than 20 are possible at all, and equals share an invocation
      rows[2] = rows[2].map((_, i) => (i % 128 ? -Infinity : 1.5));
    }
    const table = await floats(backend, 'table', 3, V, (i) => rows[Math.floor(i / V)][i % V]);
    const state = await firstState(
      backend,
      recordPlan((op) => op.last(op.embed(table))),
      { contextLength: 64, prefillBatch: 16 },
    );
    const penalties: SamplingParams = {
      ...GREEDY_SAMPLING,
      repetitionPenalty: 1.5,
      presencePenalty: 3,
      bias: new Map([[0, 5]]),
      mask: new Uint32Array(Math.ceil(V / 32)).fill(0x55555555),
    };
    const { copyBufferToBuffer } = GPUCommandEncoder.prototype;
    const results = [];
    try {
      for (const { token, chosen, n } of asked) {
        state.rewind(0);
        await state.prefill(Uint32Array.of(2, token));
        await state.decode(1, { ...penalties, temperature: n % 2 });
        let copied = 0;
        GPUCommandEncoder.prototype.copyBufferToBuffer = function (
          this: GPUCommandEncoder,
          ...parameters: [GPUBuffer, number, GPUBuffer, number, number]
        ) {
          copied += parameters[4];
          return copyBufferToBuffer.apply(this, parameters);
        } as typeof copyBufferToBuffer;
        const got = await state.logprobs(chosen, n);
        GPUCommandEncoder.prototype.copyBufferToBuffer = copyBufferToBuffer;
        const wanted = logprobs(rows[token], chosen, n);
        const differences = [got, ...got.top].map(({ logprob: l }, i) =>
          ((w) => (l === w ? 0 : Math.abs(l - w)))([wanted, ...wanted.top][i]?.logprob ?? NaN),
        );
        const off = differences.reduce((most, d) => (d <= most ? most : d), 0); // NaN counts
        results.push({
          got: [got, ...got.top].map(({ id }) => id),
          wanted: [wanted, ...wanted.top].map(({ id }) => id),
          off: Number.isFinite(off) ? off : 1e9,
          copied,
        });
      }
    } finally {
      GPUCommandEncoder.prototype.copyBufferToBuffer = copyBufferToBuffer;
      state.program.dispose();
    }
    return results;
  },

  /** Errors of attention for the last token, read alone, after `positions` tokens. */
  async attention(positions: number[], options: WebGpuOptions): Promise<number[]> {
    const [H, K, d] = [3, 1, 32];
    const [got, wanted] = await both(options, async (backend) => {
      const uniform = random('qkv');
      const table = await floats(backend, 'table', 67, (H + 2 * K) * d, () => normal(uniform));
      const norm = (name: string) => ({
        weight: backend.vector(
          name,
          Float32Array.from({ length: d }, (_, i) => 0.6 + (i % 7) / 8),
        ),
        eps: 1e-5,
      });
      const [qNorm, kNorm] = [norm('q'), norm('k')];
      const plan = recordPlan((op) =>
        op.attend(
          op.embed(table),
          { kind: 'kv', layer: 0, kvHeads: K, headDim: d },
          { qNorm, kNorm, heads: H, rope: { theta: 1e6 } },
        ),
      );
      const state = await firstState(backend, plan, { contextLength: 4096, prefillBatch: 256 });
      const tokens = Uint32Array.from({ length: 4096 }, (_, i) => (i * i + 11 * i) % 67);
      const outputs: Float32Array[] = [];
      for (const position of positions) {
        while (state.position < position)
          await state.prefill(tokens.slice(state.position, Math.min(position, state.position + 256)));
        await state.prefill(tokens.slice(position, position + 1));
        outputs.push(await state.logits());
      }
      state.program.dispose();
      return outputs;
    });
    return wanted.map((w, i) => difference(got[i], w));
  },

  /** Errors of the logits after a prompt that is fed in pieces. */
  async pieces(length: number, pieces: number[], options: WebGpuOptions): Promise<number[]> {
    const [got, wanted] = await both(options, async (backend) => {
      const { plan, V } = await smallModel(backend);
      const state = await firstState(backend, plan, { contextLength: 256, prefillBatch: 256 });
      const outputs = [];
      for (const piece of backend.info.name === 'reference' ? [length] : pieces) {
        state.rewind(0);
        const tokens = someTokens(V, length);
        for (let at = 0; at < length; at += piece) await state.prefill(tokens.slice(at, at + piece));
        outputs.push(await state.logits());
      }
      state.program.dispose();
      return outputs;
    });
    return got.map((g) => difference(g, wanted[0]));
  },

  /**
   * A conversation that goes back: the logits after `rewind(to)` and the same tokens again, against never having gone
   * on.
   */
  async rewound(
    options: WebGpuOptions,
  ): Promise<{ error: number; tooFar: boolean; overwritten: boolean; toStart: boolean; beyond: boolean }> {
    const backend = await shared(options);
    const { plan, V } = await smallModel(backend);
    const state = await firstState(backend, plan, { contextLength: 512, prefillBatch: 256 });
    const tokens = someTokens(V, 300);
    await state.prefill(tokens.slice(0, 200));
    await state.prefill(tokens.slice(200, 230));
    const straight = await state.logits();
    await state.decode(40, GREEDY_SAMPLING);
    const back = state.rewind(200);
    await state.prefill(tokens.slice(200, 230));
    const again = await state.logits();
    const tooFar = state.rewind(20);
    const overwritten = state.rewind(130); // near enough to 230, but 269 had been reached
    const beyond = state.rewind(999);
    const toStart = state.rewind(0);
    state.program.dispose();
    return { error: back ? difference(again, straight) : NaN, tooFar, overwritten, toStart, beyond };
  },

  /** What a plan costs as it is told before its state exists, and what the backend then holds. */
  async costs(
    layers: Config['layers'],
    D: number,
    F: number,
    dtype: Dtype,
    value: Dtype,
    contextLength: number,
    options: WebGpuOptions,
  ): Promise<{ told: PlanCost; loaded: number; held: number }> {
    const backend = await open(options);
    const { plan } = await randomModel(backend, layers, D, F, dtype, value);
    const loaded = backend.memory();
    const sizes = { contextLength, prefillBatch: 64 };
    const told = await planCost(backend, plan, sizes);
    const state = await firstState(backend, plan, sizes);
    const held = backend.memory();
    state.program.dispose();
    await backend.dispose();
    return { told, loaded, held };
  },

  /**
   * What the browser is asked to do for `windows` windows of `steps` tokens, after warm-up; `value` is the format of
   * value rows.
   */
  async counts(
    sampling: SamplingParams,
    windows: number,
    steps: number,
    prompt: number,
    value: Dtype,
    options: WebGpuOptions,
  ) {
    const backend = await shared(options);
    const { plan, V } = await randomModel(backend, SIXTEEN, 64, 64, 'Q4_0', value);
    const state = await firstState(backend, plan, { contextLength: 1024, prefillBatch: 256 });
    for (let at = 0; at < prompt; at += 256) await state.prefill(someTokens(V, Math.min(256, prompt - at)));
    await state.decode(2, sampling);
    const counter = count();
    const pending: Promise<unknown>[] = [];
    for (let i = 0; i < windows; i++) {
      pending.push(state.decode(steps, sampling));
      if (i > 0) await pending[i - 1];
    }
    await Promise.all(pending);
    const counts = counter.stop();
    // of the quietest window, each alone: a software adapter takes the cores that JavaScript runs on
    let jsPerToken = Infinity;
    for (let i = 0; i < 2; i++) {
      const start = performance.now();
      const window = state.decode(steps, sampling);
      jsPerToken = Math.min(jsPerToken, (performance.now() - start) / steps);
      await window;
    }
    const described = describeProgram(state.program);
    state.program.dispose();
    return { counts, jsPerToken, described };
  },

  /**
   * Dispatches and tokens of a device whose bindings are so small that the table comes in several buffers, and of one
   * without bounds.
   */
  async sharded(most: number, options: WebGpuOptions): Promise<[number, number[]][]> {
    const said = async (limit: number): Promise<[number, number[]]> => {
      const original = GPUAdapter.prototype.requestDevice;
      GPUAdapter.prototype.requestDevice = async function (descriptor) {
        const device = await original.call(this, descriptor);
        const limits = new Proxy(device.limits, {
          get: (all, name) => (name === 'maxStorageBufferBindingSize' ? limit : Reflect.get(all, name, all)),
        });
        return Object.defineProperty(device, 'limits', { value: limits });
      };
      const backend = await openFresh(options).finally(() => (GPUAdapter.prototype.requestDevice = original));
      const table = await writeRandomMatrix(backend, {
        name: 'table',
        rows: 5000,
        cols: 64,
        segments: [{ name: 'table', rows: 5000, dtype: 'F32' }],
      });
      const square = await writeRandomMatrix(backend, {
        name: 'square',
        rows: 64,
        cols: 64,
        segments: [{ name: 'square', rows: 64, dtype: 'F32' }],
      });
      const plan = recordPlan((op) => op.linear(table, op.last(op.linear(square, op.embed(table)))));
      const state = await firstState(backend, plan, { contextLength: 256, prefillBatch: 64 });
      await state.prefill(someTokens(5000, 20));
      const chosen = [...(await state.decode(4, GREEDY_SAMPLING)), ...(await state.decode(8, ALL_FILTERS_SAMPLING))];
      const dispatches = Number.parseInt(describeProgram(state.program), 10);
      await backend.dispose();
      return [dispatches, chosen];
    };
    return [await said(most), await said(2 ** 30)];
  },

  /** Times by kernel of a token after a prompt, and whether the state can go on from the start. */
  async profiled(options: WebGpuOptions) {
    const backend = await shared(options);
    const { plan, V } = await smallModel(backend);
    const state = await firstState(backend, plan, { contextLength: 256, prefillBatch: 64 });
    const read = async (): Promise<Float32Array> => (await state.prefill(someTokens(V, 20)), state.logits());
    const before = await read();
    const times = await profileAt(state, 20, 64);
    state.rewind(0);
    const error = difference(await read(), before);
    const dispatches = Number.parseInt(describeProgram(state.program), 10);
    state.program.dispose();
    return { times, dispatches, error };
  },

  /**
   * Submits of prefill batches of so many tokens, each of which takes the GPU so many milliseconds by the clock; the
   * logits do not depend on the cuts.
   */
  async submits(batches: { tokens: number; ms: number }[], options: WebGpuOptions) {
    const backend = await shared(options);
    const { plan, V } = await smallModel(backend);
    const state = await firstState(backend, plan, { contextLength: 512, prefillBatch: 256 });
    const now = performance.now.bind(performance);
    const done = GPUQueue.prototype.onSubmittedWorkDone;
    let time = Math.ceil(now()); // whole, so that differences are exact
    let taking = 0;
    const results: { submit: number; dispatchWorkgroups: number }[] = [];
    const logits = new Map<number, Float32Array>();
    let error = 0;
    try {
      performance.now = () => time;
      GPUQueue.prototype.onSubmittedWorkDone = async function () {
        const ms = taking;
        await done.call(this);
        time += ms;
      };
      for (const { tokens, ms } of batches) {
        state.rewind(0);
        taking = ms;
        const counter = count();
        await state.prefill(someTokens(V, tokens));
        const { submit, dispatchWorkgroups } = counter.stop();
        results.push({ submit, dispatchWorkgroups });
        const got = await state.logits();
        error = Math.max(error, difference(got, logits.get(tokens) ?? got));
        logits.set(tokens, got);
        taking = 0;
        for (let i = 0; i < 2; i++) await state.prefill(someTokens(V, 1)); // waits for the batch
      }
    } finally {
      performance.now = now;
      GPUQueue.prototype.onSubmittedWorkDone = done;
      state.program.dispose();
    }
    return { submits: results.map((r) => r.submit), dispatches: results[0].dispatchWorkgroups, error };
  },
};

export type GpuPage = typeof gpu;
Object.assign(window, { gpu });
