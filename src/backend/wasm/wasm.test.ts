import { OpKind } from 'virtual:rivulet-kernels';
import { resolveObjectURL } from 'node:buffer';
import { Worker as NodeThread } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { randomModel } from '../../../e2e/models';
import type { Config } from '../../model/config';
import type { Dtype } from '../../tensor/dtype';
import type { Backend, Runner } from '../backend';
import { CONFORMANCE_CASES, runConformanceCase } from '../conformance';
import { planCost } from '../cost';
import { recordPlan, type Plan, type PlanNode } from '../plan';
import { seededRandom, writeRandomMatrix } from '../random_weights';
import { openReferenceBackend } from '../reference/backend';
import { GREEDY_SAMPLING, sampleToken, type SamplingParams } from '../sampling';
import { openWasmBackend } from './backend';
import './encoders';
import { kernelDeclarations } from './kernels/build';
import { OP, PLAN, SAMPLING, WEIGHT } from './structs';

/** A web worker on a thread of Node, as far as threads.ts needs one. */
class NodeWorker {
  onerror: ((event: { message: string }) => void) | null = null;
  private readonly thread: Promise<NodeThread>;

  constructor(url: string) {
    const prelude = `var onmessage; require('node:worker_threads').parentPort.on('message', (data) => onmessage({ data }));`;
    this.thread = resolveObjectURL(url)!
      .text()
      .then((source) => {
        const thread = new NodeThread(prelude + source, { eval: true });
        thread.on('error', (error) => this.onerror?.({ message: String(error) }));
        return thread;
      });
  }

  postMessage(message: unknown, transfer: MessagePort[]): void {
    void this.thread.then((thread) => thread.postMessage(message, transfer as never));
  }

  terminate(): void {
    void this.thread.then((thread) => thread.terminate());
  }
}

beforeAll(() => void vi.stubGlobal('Worker', NodeWorker));
afterAll(() => void vi.unstubAllGlobals());

const open = async (threads: number, options = {}): Promise<Backend> => {
  const backend = await openWasmBackend({ threads, variant: 'simd', ...options });
  await backend.reserve(8 << 20);
  return backend;
};

const config: Config = {
  vocabSize: 131, hiddenSize: 256, ffnSize: 288, layers: ['conv', 'attention', 'conv', 'attention'], heads: 6, kvHeads: 2, headDim: 32,
  convLength: 3, normEps: 1e-5, ropeTheta: 10000, contextLength: 1000,
}; // prettier-ignore

/**
 * A small model with every kind of op and several weight formats. One attention has q, k and v as three segments, as in
 * most checkpoints: then it needs no barrier before it. The other has them in one.
 */
function dtypeOf(gguf: string): Dtype {
  if (/token_embd|attn_v/.test(gguf)) return 'Q6_K';
  if (/in_proj|attn_output/.test(gguf)) return 'Q8_0';
  if (/ffn_down/.test(gguf)) return gguf.startsWith('blk.1.') ? 'F16' : 'Q8_0';
  return 'Q4_0';
}

const smallPlan = (backend: Backend): Promise<Plan> =>
  randomModel(backend, config, dtypeOf, (gguf) => gguf === 'blk.3.attn_qkv.weight');
const smallRunner = async (backend: Backend, prefillBatch: number): Promise<Runner> =>
  backend.compile(await smallPlan(backend), { contextLength: 1000, prefillBatch });

const tokens = (n: number, name = 'tokens'): Uint32Array => {
  const next = seededRandom(name);
  return Uint32Array.from({ length: n }, () => next() % config.vocabSize);
};

async function feed(runner: Runner, all: Uint32Array, piece: number): Promise<void> {
  for (let at = 0; at < all.length; at += piece) await runner.prefill(all.slice(at, at + piece));
}

async function logitsOf(runner: Runner, all: Uint32Array, piece: number): Promise<Float32Array> {
  runner.rewind(0);
  await feed(runner, all, piece);
  return runner.logits();
}

const power = (values: Float32Array): number => values.reduce((sum, v) => sum + v * v, 0);

it('holds what its cost tells, also with several threads', async () => {
  const backend = await open(3);
  const plan = await smallPlan(backend);
  const options = { contextLength: 1000, prefillBatch: 16 };
  const { weights, scratch, state } = await planCost(backend, plan, options);
  await feed(await backend.compile(plan, options), tokens(1000), 16);
  expect(backend.memory()).toBe(weights + scratch + state);
  expect((await planCost(backend, plan, options)).scratch).toBe(scratch); // although a runner may have ended threads
  await backend.dispose();
});

describe('ops against the reference', () => {
  const names = /shortConv|attend|last|embed F32|F32.*bias|swiglu F32/;
  it.each(CONFORMANCE_CASES.filter(({ name }) => names.test(name)))('$name', async (one) => {
    const wanted = await runConformanceCase(one, openReferenceBackend());
    for (const threads of [1, 2]) {
      const backend = await open(threads, { exact: true });
      const got = await runConformanceCase(one, backend);
      await backend.dispose();
      wanted.forEach(({ run, values }, i) => {
        const worst = values.reduce((max, v, j) => Math.max(max, Math.abs(v - got[i].values[j])), 0);
        expect(worst / Math.sqrt(power(values) / values.length), `${run}, ${threads} threads`).toBeLessThan(1e-4);
      });
    }
  });

  it.each(CONFORMANCE_CASES.filter(({ name }) => /attend/.test(name)))(
    '$name, keys and values as int16',
    async (one) => {
      const wanted = await runConformanceCase(one, openReferenceBackend());
      const backend = await open(2);
      const got = await runConformanceCase(one, backend);
      await backend.dispose();
      for (const [i, { run, values }] of wanted.entries())
        expect(power(values.map((v, j) => v - got[i].values[j])) / power(values), run).toBeLessThan(5e-9);
    },
  );
});

describe('the same bits', () => {
  it('for 1 … 4 threads and any batches', async () => {
    const prompt = tokens(530); // three pages of attention
    const outcomes: [string, Float32Array, Uint32Array][] = [];
    for (const threads of [1, 2, 3, 4]) {
      const backend = await open(threads);
      const runner = await smallRunner(backend, 530);
      expect(backend.info.threads).toBe(threads);
      for (const piece of threads === 1 ? [530, 100, 3, 1] : [530, 1]) {
        const logits = await logitsOf(runner, prompt, piece);
        outcomes.push([`${threads} threads, pieces of ${piece}`, logits, await runner.decode(5, GREEDY_SAMPLING)]);
      }
      await backend.dispose();
    }
    for (const [name, logits, greedy] of outcomes) {
      expect(logits, name).toEqual(outcomes[0][1]);
      expect(greedy, name).toEqual(outcomes[0][2]);
    }
    expect(outcomes[0][1].every(Number.isFinite)).toBe(true);
  });
});

describe('the declarations of the kernels', () => {
  it('have no field that nobody writes', async () => {
    const layouts = Object.entries({ Op: OP, Plan: PLAN, Sampling: SAMPLING, Weight: WEIGHT });
    const writes = layouts.map(([, layout]) => vi.spyOn(layout, 'write'));
    const backend = await open(1);
    const runner = await smallRunner(backend, 8);
    await runner.prefill(tokens(3));
    await runner.decode(2, GREEDY_SAMPLING);
    const encoder = CONFORMANCE_CASES.find(({ name }) => /within.*interleaved/.test(name))!;
    await runConformanceCase(encoder, backend);
    await backend.dispose();
    const { structs } = kernelDeclarations();
    for (const [i, [name]] of layouts.entries()) {
      const written = new Set(writes[i].mock.calls.flatMap(([, , values]) => Object.keys(values)));
      const fields = structs
        .get(name)!
        .fields.map((field) => field.name.replace(/_./g, ([, letter]) => letter.toUpperCase()));
      expect([...written].sort(), name).toEqual(fields.filter((field) => field !== 'sampling').sort()); // Plan.sampling is a struct of its own
    }
    vi.restoreAllMocks();
  });

  it('have a kind for every op', () => {
    const ops = { embed: 0, linear: 0, swiglu: 0, shortConv: 0, attend: 0, last: 0 } satisfies Record<
      PlanNode['op'],
      0
    >;
    expect(Object.keys(OpKind).sort()).toEqual(Object.keys(ops).sort());
  });
});

describe('state', () => {
  it('rewinds to a position that the convolution rings still hold', async () => {
    const backend = await open(1);
    const runner = await smallRunner(backend, 64);
    const other = tokens(20, 'other');
    const wanted = await logitsOf(runner, Uint32Array.from([...tokens(280), ...other]), 64);

    runner.rewind(0);
    await feed(runner, tokens(310), 64);
    await runner.decode(10, GREEDY_SAMPLING);
    expect(runner.position).toBe(319); // the tenth is pending
    expect(runner.rewind(100)).toBe(false);
    expect(runner.position).toBe(319);
    expect(runner.rewind(400)).toBe(false);
    expect(runner.rewind(280)).toBe(true);
    await expect(runner.decode(1, GREEDY_SAMPLING)).rejects.toMatchObject({ name: 'RequestError' });
    await runner.prefill(other);
    expect(await runner.logits()).toEqual(wanted);
    expect(runner.rewind(0)).toBe(true);
    await backend.dispose();
  });

  it('refuses requests that do not fit, and keeps its state', async () => {
    const backend = await open(1);
    const runner = await smallRunner(backend, 600);
    await runner.prefill(tokens(600));
    const before = await runner.logits();
    await expect(runner.prefill(tokens(401))).rejects.toMatchObject({ name: 'ContextError' });
    await expect(runner.prefill(tokens(601))).rejects.toMatchObject({ name: 'RequestError' });
    await expect(runner.prefill(Uint32Array.of(131))).rejects.toMatchObject({ name: 'RequestError' });
    await expect(runner.decode(402, GREEDY_SAMPLING)).rejects.toMatchObject({ name: 'ContextError' });
    expect([runner.position, await runner.logits()]).toEqual([600, before]);
    expect(() =>
      backend.matrix({ name: 'm', rows: 1, cols: 32, segments: [{ name: 'm', rows: 1, dtype: 'F32' }] }).finish(),
    ).toThrow(/missing/);
    await backend.dispose();
    await expect(runner.decode(1, GREEDY_SAMPLING)).rejects.toMatchObject({ name: 'DeviceError' });
  });

  it('releases memory, and names the size of a model that does not fit', async () => {
    const backend = await open(1);
    const embed = await writeRandomMatrix(backend, {
      name: 'e',
      rows: 10,
      cols: 64,
      segments: [{ name: 'e', rows: 10, dtype: 'F32' }],
    });
    const before = backend.memory();
    const runner = await backend.compile(
      recordPlan((op) => op.embed(embed)),
      { contextLength: 3000, prefillBatch: 10 },
    );
    expect(backend.memory()).toBeGreaterThan(before);
    runner.dispose();
    expect(backend.memory()).toBe(before);
    await backend.dispose();
    const large = await openWasmBackend({ threads: 1, variant: 'simd' });
    expect(() => large.reserve(5e9)).toThrow(/5000 MB.*smaller/);
  });
});

describe('the sampler', () => {
  const V = 1003;
  // row v of the table holds the logits after token v, so that a draw depends on the last token
  const table = (spread: number, ties: boolean): Float32Array => {
    const next = seededRandom(`table ${spread}`);
    const unit = (): number => next() / 2 ** 32 + 2 ** -33;
    return Float32Array.from({ length: V * V }, () => {
      const normal = spread * Math.sqrt(-2 * Math.log(unit())) * Math.cos(2 * Math.PI * unit());
      return ties ? Math.round(normal * 2) / 2 : normal;
    });
  };

  it.each([
    ['wide', 4, false],
    ['flat', 0.3, false],
    ['with ties', 3, true],
  ] as const)('draws as sampling.ts defines: %s logits', async (_, spread, ties) => {
    const values = table(spread, ties);
    const backend = await open(1);
    const writer = backend.matrix({
      name: 'table',
      rows: V,
      cols: V,
      segments: [{ name: 'table', rows: V, dtype: 'F32' }],
    });
    await writer.write(0, 0, new Uint8Array(values.buffer));
    const embed = await writer.finish();
    const runner = await backend.compile(
      recordPlan((op) => op.last(op.embed(embed))),
      { contextLength: 64, prefillBatch: 32 },
    );
    const next = seededRandom(`cases ${spread}`);
    const pick = <T>(...choices: T[]): T => choices[next() % choices.length];

    for (let i = 0; i < 150; i++) {
      const s: SamplingParams = {
        temperature: pick(0, 0.1, 0.3, 1, 2), topK: pick(0, 0, 1, 2, 15, 40, 500, 2000), topP: pick(1, 1, 0.1, 0.5, 0.9, 0.999),
        minP: pick(0, 0, 0.05, 0.15, 0.9), repetitionPenalty: pick(1, 1.05, 1.3), frequencyPenalty: pick(0, 0, 0.4), presencePenalty: pick(0, 0, 0.7),
        seed: next(), bias: pick(undefined, undefined, new Map([[5, 3.25], [V - 1, 9], [17, -1]])),
        mask: pick(undefined, undefined, Uint32Array.from({ length: Math.ceil(V / 32) }, () => next() & next())),
      }; // prettier-ignore
      const prompt = Uint32Array.from({ length: 1 + (next() % 20) }, () => next() % V);
      runner.rewind(0);
      await runner.prefill(prompt);
      const drawn = [...(await runner.decode(3, s)), ...(await runner.decode(1, s))];

      const history = [...prompt];
      const wanted = drawn.map(() => {
        const last = history[history.length - 1];
        const token = sampleToken(values.slice(last * V, (last + 1) * V), s, history, prompt.length, history.length);
        history.push(token);
        return token;
      });
      expect(drawn, JSON.stringify({ ...s, mask: !!s.mask, bias: !!s.bias })).toEqual(wanted);
    }
    await backend.dispose();
  });
});
