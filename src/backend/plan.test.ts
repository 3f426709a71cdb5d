import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { printByLayer, shapePlan, SIXTEEN_LAYERS, tinyCheckpoint } from '../../e2e/fake_device';
import type { Matrix, Vector } from '../model/ops';
import type { Dtype } from '../tensor/dtype';
import type { Backend } from './backend';
import { CONFORMANCE_CASES, type CaseTensorFactory } from './conformance';
import {
  activationInputs,
  FIELD_ROLES,
  mapMatrices,
  matricesOf,
  recordPlan,
  weightsOf,
  type Plan,
  type PlanNode,
} from './plan';
import { writeRandomMatrix } from './random_weights';
import { openReferenceBackend } from './reference/backend';
import { openWasmBackend } from './wasm/backend';
import { selfTestPlan } from './webgpu/self_test';

const matrix = (name: string, rows: number, cols: number, dtype: Dtype | [Dtype, number][] = 'F32'): Matrix => {
  const segments =
    typeof dtype === 'string'
      ? [{ name, rows, dtype }]
      : dtype.map(([type, n], i) => ({ name: `${name}.${i}`, rows: n, dtype: type }));
  return { name, rows, cols, segments };
};
const vector = (name: string, length: number): Vector => ({ name, length });
const make: CaseTensorFactory = {
  matrix,
  vector,
  norm: (name, length) => ({ weight: vector(name, length), eps: 1e-5 }),
  input: (op, cols) => op.embed(matrix('grid', 131, cols)),
};

const conformanceNodes = CONFORMANCE_CASES.flatMap(({ build }) => recordPlan((op) => build(op, make)).nodes);

/** 'linear.norm' for each field that some node uses */
const usedFields = (nodes: PlanNode[]): string[] => [
  ...new Set(
    nodes.flatMap((node) => Object.entries(node).flatMap(([field, value]) => (value ? [`${node.op}.${field}`] : []))),
  ),
];

describe('the table of ops', () => {
  it('has a conformance case for each op and each of its fields', () => {
    const fields = Object.entries(FIELD_ROLES).flatMap(([op, roles]) =>
      Object.keys(roles).map((field) => `${op}.${field}`),
    );
    expect(fields.length).toBeGreaterThan(15);
    expect(usedFields(conformanceNodes)).toEqual(expect.arrayContaining(fields));
  });

  it('has a subject of the self test for each op', async () => {
    const weights = openReferenceBackend();
    const plans = [await selfTestPlan(weights, 'Q4_0'), await selfTestPlan(weights, 'long')];
    expect(new Set(plans.flatMap(({ nodes }) => nodes.map(({ op }) => op)))).toEqual(new Set(Object.keys(FIELD_ROLES)));
  });

  it('is the only list of ops: no other file asks for the op of a node, except lowerings with their neighbours and the tables of attention', () => {
    const src = join(import.meta.dirname, '..');
    const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(
      (file) => file.endsWith('.ts') && !file.endsWith('.test.ts'),
    );
    const asking = files.filter((file) =>
      /\.op (===|!==)|switch \(\w+\.op\)/.test(readFileSync(join(src, file), 'utf8')),
    );
    expect(asking.sort()).toEqual(
      ['wasm/lower.ts', 'webgpu/lower.ts', 'webgpu/state.ts'].map((file) => join('backend', file)),
    );
  });

  it('knows the weights and the inputs of a node', () => {
    const { nodes } = recordPlan((op) => {
      const x = op.embed(matrix('table', 9, 4));
      const g = op.swiglu(matrix('w1', 8, 4), matrix('w3', 8, 4), x, { norm: make.norm('n', 4) });
      return op.linear(matrix('w2', 4, 8), g, { add: x });
    });
    const names = (values: { name: string }[]): string[] => values.map(({ name }) => name);
    expect(nodes.map((node) => names(weightsOf(node)))).toEqual([['table'], ['w1', 'w3'], ['w2']]);
    expect(nodes.map((node) => names(matricesOf(node)))).toEqual([[], ['w1', 'w3'], ['w2']]);
    expect(nodes.map((node) => names(activationInputs(node)))).toEqual([[], ['table'], ['w1', 'table']]);
    const mapped = nodes.map((node) => mapMatrices(node, (m) => ({ ...m, name: `${m.name}'` })));
    expect(mapped.map((node) => names(weightsOf(node)))).toEqual([["table'"], ["w1'", "w3'"], ["w2'"]]);
    mapped.forEach((node, i) => expect(node).toMatchObject({ op: nodes[i].op, out: nodes[i].out }));
    expect(names(weightsOf(nodes[1]))).toEqual(['w1', 'w3']);
  });
});

describe('slots', () => {
  it('of all outputs are kept, also from a node that adds in place', () => {
    const { nodes, outputs } = recordPlan((op) => {
      const x = op.embed(matrix('table', 9, 4));
      const hidden = op.linear(matrix('a', 4, 4), x, { add: x });
      const next = op.linear(matrix('b', 4, 4), op.linear(matrix('c', 4, 4), hidden), { add: hidden });
      return [op.linear(matrix('head', 9, 4), op.last(next)), hidden, next];
    });
    expect(outputs.map(({ cols, rows }) => [rows, cols])).toEqual([[1, 9], ['T', 4], ['T', 4]]); // prettier-ignore
    for (const output of outputs) {
      const later = nodes.slice(nodes.findIndex(({ out }) => out === output) + 1);
      expect(later.filter(({ out }) => out.slot === output.slot)).toEqual([]);
    }
  });

  it('are overwritten in place only by the last reader, which reads the activation once', () => {
    const slotsOf = (build: Parameters<typeof recordPlan>[0]): number[] =>
      recordPlan(build).nodes.map(({ out }) => out.slot);
    const w = matrix('w', 4, 4);
    expect(slotsOf((op) => { const x = op.embed(w); return op.linear(w, op.linear(w, x), { add: x }); })).toEqual([0, 1, 0]); // prettier-ignore
    expect(slotsOf((op) => { const x = op.embed(w); return op.linear(w, x, { add: x }); })).toEqual([0, 1]); // prettier-ignore
    expect(slotsOf((op) => { const x = op.embed(w); const y = op.linear(w, op.linear(w, x), { add: x }); return op.linear(w, y, { add: x }); })).toEqual([0, 1, 2, 0]); // prettier-ignore
  });
});

describe('an op of a side file that a backend lacks', () => {
  const withUnknownOp = async (backend: Backend): Promise<Plan> => {
    const table = await writeRandomMatrix(backend, matrix('table', 16, 32));
    const plan = recordPlan((op) => op.last(op.embed(table)));
    return {
      ...plan,
      nodes: [...plan.nodes, { op: 'experts', x: plan.outputs[0], out: plan.outputs[0] } as unknown as PlanNode],
    };
  };
  const refusal = { name: 'DeviceError', message: expect.stringMatching(/lacks an operation.*experts/) };

  it('is refused by name before WASM allocates anything', async () => {
    const backend = await openWasmBackend({ threads: 1, variant: 'simd' });
    const plan = await withUnknownOp(backend);
    const held = backend.memory();
    await expect(backend.compile(plan, { contextLength: 64, prefillBatch: 8 })).rejects.toMatchObject(refusal);
    expect(backend.memory()).toBe(held);
    await backend.dispose();
  });

  it.each([
    ['attendWithin', undefined, {}],
    ['attendInterleaved', { kind: 'kv', layer: 0, kvHeads: 1, headDim: 8 } as const, { rope: { theta: 1e4, pairs: 'interleaved' } as const }], // prettier-ignore
  ])('is refused by name where it is the option %s of attend', async (name, cache, options) => {
    const backend = await openWasmBackend({ threads: 1, variant: 'simd' });
    const table = await writeRandomMatrix(backend, matrix('table', 16, 24));
    const plan = recordPlan((op) => op.attend(op.embed(table), cache, { heads: 1, ...options }));
    const held = backend.memory();
    await expect(backend.compile(plan, { contextLength: 64, prefillBatch: 8 })).rejects.toMatchObject({
      name: 'DeviceError',
      message: expect.stringMatching(new RegExp(`lacks an operation.*${name}`)),
    });
    expect(backend.memory()).toBe(held);
    await backend.dispose();
  });

  it('is refused by name by the reference', async () => {
    const backend = openReferenceBackend();
    await expect(
      backend.compile(await withUnknownOp(backend), { contextLength: 64, prefillBatch: 8 }),
    ).rejects.toMatchObject(refusal);
  });
});

/** A field of a node: a matrix, a vector, an activation, or what holds them. */
function print(value: unknown): string {
  if (typeof value !== 'object' || !value)
    return typeof value === 'number' ? String(Number(value.toPrecision(6))) : String(value);
  if ('segments' in value) {
    const { name, rows, cols, segments } = value as Matrix;
    return `${name}[${rows}×${cols} ${segments.map((segment) => `${segment.rows} ${segment.dtype}`).join(' + ')}]`;
  }
  if ('slot' in value)
    return `slot ${value.slot} ${'rows' in value && 'cols' in value && `[${value.rows}, ${value.cols}]`}`;
  if ('name' in value) return `${(value as Vector).name}[${(value as Vector).length}]`;
  return Object.entries(value).map(([key, part]) => `${key} ${print(part)}`).join(' '); // prettier-ignore
}

// a change of the forward pass, of its recording or of the slots changes this text: nothing may change it unnoticed
it('records the forward pass of a 16-layer model in these nodes and slots', async () => {
  const { nodes, slots, outputs } = shapePlan(await tinyCheckpoint(SIXTEEN_LAYERS));
  const lines = nodes.map(({ op, ...fields }) => `${op}\n${Object.entries(fields).filter(([, value]) => value !== undefined).map(([key, value]) => `  ${key}: ${print(value)}\n`).join('')}`); // prettier-ignore
  const text = `${printByLayer(lines)}output: ${outputs.map(print).join(', ')}\n${slots.map((slot, i) => `slot ${i}: [${slot.rows}, ${slot.cols}]\n`).join('')}`;
  await expect(text).toMatchFileSnapshot('plan.expected.txt');
});
