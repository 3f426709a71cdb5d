import '../../modules/experts';
import { OpKind } from 'virtual:rivulet-kernels';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { feed, logitsOf, NodeWorker, open, smallPlan, smallState, tokens } from '../../../e2e/small_wasm';
import { firstState } from '../backend';
import { CONFORMANCE_CASES, runConformanceCase } from '../conformance';
import { EXPERT_CASES } from '../conformance_experts';
import { planCost } from '../cost';
import { recordPlan, type PlanNode } from '../plan';
import { seededRandom, writeRandomMatrix } from '../random_weights';
import { openReferenceBackend } from '../reference/backend';
import { GREEDY_SAMPLING, sampleToken, type SamplingParams } from '../sampling';
import { openWasmBackend } from './backend';
import { kernelDeclarations } from './kernels/build';
import { STRUCTS } from './structs';

beforeAll(() => void vi.stubGlobal('Worker', NodeWorker));
afterAll(() => void vi.unstubAllGlobals());

const power = (values: Float32Array): number => values.reduce((sum, v) => sum + v * v, 0);

it('holds what its cost tells, also with several threads', async () => {
  const backend = await open(3);
  const plan = await smallPlan(backend);
  const options = { contextLength: 1000, prefillBatch: 16 };
  const { weights, scratch, state } = await planCost(backend, plan, options);
  await feed(await firstState(backend, plan, options), tokens(1000), 16);
  expect(backend.memory()).toBe(weights + scratch + state);
  expect((await planCost(backend, plan, options)).scratch).toBe(scratch); // although a state may have ended threads
  await backend.dispose();
});

describe('ops against the reference', () => {
  const names = /shortConv|attend|last|embed F32|F32.*bias|swiglu F32|post/;
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
      const state = await smallState(backend, 530);
      expect(backend.info.threads).toBe(threads);
      for (const piece of threads === 1 ? [530, 100, 3, 1] : [530, 1]) {
        const logits = await logitsOf(state, prompt, piece);
        outcomes.push([`${threads} threads, pieces of ${piece}`, logits, await state.decode(5, GREEDY_SAMPLING)]);
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
    const { OP, PAGE, PLAN, SAMPLING, WEIGHT } = STRUCTS;
    const layouts = Object.entries({ Op: OP, Page: PAGE, Plan: PLAN, Sampling: SAMPLING, Weight: WEIGHT });
    const writes = layouts.map(([, layout]) => vi.spyOn(layout, 'write'));
    const backend = await open(1);
    const state = await smallState(backend, 8);
    await state.prefill(tokens(3));
    await state.decode(2, GREEDY_SAMPLING);
    await runConformanceCase(EXPERT_CASES[0], backend);
    await backend.dispose();
    const { structs } = kernelDeclarations();
    for (const [i, [name]] of layouts.entries()) {
      const written = new Set(writes[i].mock.calls.flatMap(([, , values]) => Object.keys(values)));
      const fields = structs
        .get(name)!
        .fields.map((field) => field.name.replace(/_./g, ([, letter]) => letter.toUpperCase()));
      // Plan.sampling is a struct of its own; only encoders write Op.mode and Op.bounds, only C counts
      expect([...written].sort(), name).toEqual(
        fields.filter((field) => !['sampling', 'mode', 'bounds', 'clock', 'expertUses'].includes(field)).sort(),
      );
    }
    vi.restoreAllMocks();
  });

  it('have a kind for every op', () => {
    const ops = {
      embed: 0,
      linear: 0,
      swiglu: 0,
      shortConv: 0,
      attend: 0,
      last: 0,
      normAdd: 0,
      layerNorm: 0,
      activate: 0,
      convolve: 0,
      attendInterleaved: 0,
      attendWithin: 0,
      input: 0,
      selectExperts: 0,
      expertsSwiglu: 0,
      expertsLinear: 0,
    } satisfies Record<PlanNode['op'], 0>;
    expect(Object.keys(OpKind).sort()).toEqual(Object.keys(ops).sort());
  });
});

describe('state', () => {
  it('rewinds to a position that the convolution rings still hold', async () => {
    const backend = await open(1);
    const state = await smallState(backend, 64);
    const other = tokens(20, 'other');
    const wanted = await logitsOf(state, Uint32Array.from([...tokens(280), ...other]), 64);

    state.rewind(0);
    await feed(state, tokens(310), 64);
    await state.decode(10, GREEDY_SAMPLING);
    expect(state.position).toBe(319); // the tenth is pending
    expect(state.rewind(100)).toBe(false);
    expect(state.position).toBe(319);
    expect(state.rewind(400)).toBe(false);
    expect(state.rewind(280)).toBe(true);
    await expect(state.decode(1, GREEDY_SAMPLING)).rejects.toMatchObject({ name: 'RequestError' });
    await state.prefill(other);
    expect(await state.logits()).toEqual(wanted);
    expect(state.rewind(0)).toBe(true);
    await backend.dispose();
  });

  it('refuses requests that do not fit, and keeps its state', async () => {
    const backend = await open(1);
    const state = await smallState(backend, 600);
    await state.prefill(tokens(600));
    const before = await state.logits();
    await expect(state.prefill(tokens(401))).rejects.toMatchObject({ name: 'ContextError' });
    await expect(state.prefill(tokens(601))).rejects.toMatchObject({ name: 'RequestError' });
    await expect(state.prefill(Uint32Array.of(131))).rejects.toMatchObject({ name: 'RequestError' });
    await expect(state.decode(402, GREEDY_SAMPLING)).rejects.toMatchObject({ name: 'ContextError' });
    expect([state.position, await state.logits()]).toEqual([600, before]);
    expect(() =>
      backend.matrix({ name: 'm', rows: 1, cols: 32, segments: [{ name: 'm', rows: 1, dtype: 'F32' }] }).finish(),
    ).toThrow(/missing/);
    await backend.dispose();
    await expect(state.decode(1, GREEDY_SAMPLING)).rejects.toMatchObject({ name: 'DeviceError' });
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
    const state = await firstState(
      backend,
      recordPlan((op) => op.embed(embed)),
      { contextLength: 3000, prefillBatch: 10 },
    );
    expect(backend.memory()).toBeGreaterThan(before);
    state.program.dispose();
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
    const state = await firstState(
      backend,
      recordPlan((op) => op.last(op.embed(embed))),
      { contextLength: 64, prefillBatch: 32 },
    );
    const next = seededRandom(`cases ${spread}`);
    const pick = <T>(...choices: T[]): T => choices[next() % choices.length];

    for (let i = 0; i < 150; i++) {
      const s: SamplingParams = {
        temperature: pick(0, 0.1, 0.3, 1, 2), topK: pick(0, 0, 1, 2, 15, 40, 500, 2000),
        topP: pick(1, 1, 0.1, 0.5, 0.9, 0.999),
        minP: pick(0, 0, 0.05, 0.15, 0.9), repetitionPenalty: pick(1, 1.05, 1.3), frequencyPenalty: pick(0, 0, 0.4),
        presencePenalty: pick(0, 0, 0.7),
        seed: next(), bias: pick(undefined, undefined, new Map([[5, 3.25], [V - 1, 9], [17, -1]])),
        mask: pick(undefined, undefined, Uint32Array.from({ length: Math.ceil(V / 32) }, () => next() & next())),
      }; // prettier-ignore
      const prompt = Uint32Array.from({ length: 1 + (next() % 20) }, () => next() % V);
      state.rewind(0);
      await state.prefill(prompt);
      const drawn: number[] = [];
      for (const steps of s.mask ? [1, 1, 1, 1] : [3, 1]) drawn.push(...(await state.decode(steps, s)));

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
