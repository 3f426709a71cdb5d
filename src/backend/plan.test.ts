import '../modules/experts';
import type { ESTree } from 'vite';
import { describe, expect, it } from 'vitest';
import { printByLayer, shapePlan, SIXTEEN_LAYERS, tinyCheckpoint } from '../../e2e/fake_device';
import { parseSource } from '../../e2e/sources';
import type { Act, Attend, Linear, Matrix, Ops, Vector } from '../model/ops';
import type { Dtype } from '../tensor/dtype';
import { firstState, type Backend, type State } from './backend';
import { CONFORMANCE_CASES, runConformanceCase } from './conformance';
import type { CaseTensorFactory } from './conformance_case';
import { ENCODER_CASES } from './conformance_encoders';
import {
  activationInputs,
  checkOps,
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
import { GREEDY_SAMPLING } from './sampling';
import { openWasmBackend } from './wasm/backend';
import { WEBGPU_ENCODER_LOWERINGS } from './webgpu/encoders_layers';
import { LOWERINGS } from './webgpu/lower';
import { selfTestPlan } from './webgpu/self_test';

const matrix = (
  name: string,
  rows: number,
  cols: number,
  dtype: Dtype | [Dtype, number, string?][] = 'F32',
): Matrix => {
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
  layerNorm: (name, length, biased) => ({
    kind: 'layer',
    ...make.norm(name, length),
    bias: biased ? vector('bias', length) : undefined,
  }),
  input: (op, cols) => op.embed(matrix('grid', 131, cols)),
};

const conformanceNodes = [...CONFORMANCE_CASES, ...ENCODER_CASES].flatMap(
  ({ build }) => recordPlan((op) => build(op, make)).nodes,
);

/** 'linear.norm' for each field that some node uses */
const usedFields = (nodes: PlanNode[]): string[] => [
  ...new Set(
    nodes.flatMap((node) => Object.entries(node).flatMap(([field, value]) => (value ? [`${node.op}.${field}`] : []))),
  ),
];

interface DeclaredField {
  op: string;
  field: string;
  optional: boolean;
  /** of a field that has one of a few texts */
  values: string[];
}

type Declared = ESTree.TSType | ESTree.TSInterfaceBody;

/** The fields that the types in plan.ts and model/ops.ts declare for each op, except `op` and `out`. */
function declaredFields(): DeclaredField[] {
  const declared = ['src/backend/plan.ts', 'src/model/ops.ts'].flatMap((file) =>
    parseSource(file).body.flatMap((statement) =>
      statement.type === 'ExportNamedDeclaration' ? (statement.declaration ?? []) : statement,
    ),
  );
  const typeNamed = (name: string): Declared | undefined => {
    const found = declared.find((one) => 'id' in one && one.id?.type === 'Identifier' && one.id.name === name);
    if (found?.type === 'TSInterfaceDeclaration') return found.body;
    return found?.type === 'TSTypeAliasDeclaration' ? found.typeAnnotation : undefined;
  };
  const textsOf = (type: ESTree.TSType | undefined): string[] =>
    type?.type === 'TSUnionType'
      ? type.types.flatMap(textsOf)
      : type?.type === 'TSLiteralType' && type.literal.type === 'Literal' && typeof type.literal.value === 'string'
        ? [type.literal.value]
        : [];
  const membersOf = (type: Declared | undefined): ESTree.TSPropertySignature[] => {
    if (type?.type === 'TSParenthesizedType') return membersOf(type.typeAnnotation);
    if (type?.type === 'TSIntersectionType') return type.types.flatMap(membersOf);
    if (type?.type === 'TSTypeReference' && type.typeName.type === 'Identifier')
      return membersOf(typeNamed(type.typeName.name));
    const members = type?.type === 'TSTypeLiteral' ? type.members : type?.type === 'TSInterfaceBody' ? type.body : [];
    return members.filter((member) => member.type === 'TSPropertySignature');
  };
  /** the members of a union, and of the unions that it names */
  const unionOf = (type: Declared | undefined): Declared[] => {
    if (type?.type === 'TSUnionType') return type.types.flatMap(unionOf);
    if (type?.type === 'TSTypeReference' && type.typeName.type === 'Identifier')
      return unionOf(typeNamed(type.typeName.name));
    return type ? [type] : [];
  };
  return unionOf(typeNamed('PlanNode')).flatMap((node) => {
    const fields = membersOf(node).map(({ key, optional, typeAnnotation }) => ({
      field: key.type === 'Identifier' ? key.name : '',
      optional,
      values: textsOf(typeAnnotation?.typeAnnotation),
    }));
    const op = fields.find(({ field }) => field === 'op')?.values[0] ?? '';
    return fields.filter(({ field }) => field !== 'op' && field !== 'out').map((field) => ({ op, ...field }));
  });
}

describe('the table of ops', () => {
  it('has a conformance case for each op and each of its fields, and for each value of a scalar option', () => {
    const fields = declaredFields();
    const withFields = Object.entries(FIELD_ROLES).flatMap(([op, roles]) => (Object.keys(roles).length ? op : []));
    expect(new Set(fields.map(({ op }) => op))).toEqual(new Set(withFields));
    expect(new Set(conformanceNodes.map(({ op }) => op))).toEqual(new Set(Object.keys(FIELD_ROLES)));
    expect(fields.length).toBeGreaterThan(20);
    const used = usedFields(conformanceNodes);
    for (const { op, field, optional, values } of fields) {
      expect(used, `${op}.${field}`).toContain(`${op}.${field}`);
      const given = conformanceNodes
        .filter((node) => node.op === op)
        .map((node) => Reflect.get(node, field) as unknown);
      if (optional) expect(given, `${op} without ${field}`).toContain(undefined);
      // the default may be left out
      const missing = values.filter((value) => !given.includes(value));
      expect(missing.length, `${op}.${field}: ${missing}`).toBeLessThanOrEqual(optional ? 1 : 0);
    }
  });

  it('has a subject of the self test for each op', async () => {
    const weights = openReferenceBackend();
    const cases = ['Q4_0', 'long', 'normAdd', 'experts'] as const;
    const plans = await Promise.all(cases.map((one) => selfTestPlan(weights, one)));
    // the host writes the rows of an input: there is no kernel
    const ops = Object.keys(FIELD_ROLES).filter((op) => !(op in WEBGPU_ENCODER_LOWERINGS) && op !== 'input');
    expect(new Set(plans.flatMap(({ nodes }) => nodes.map(({ op }) => op)))).toEqual(new Set(ops));
  });

  it('hands each option of an op to a node', () => {
    const norm = make.norm('n', 8);
    const linear = (add: Act): Required<Linear> => ({
      ...{ norm, bias: vector('b', 8), act: 'gelu', post: make.norm('post', 8), add },
    });
    const attend: Required<Attend> = {
      ...{ qNorm: make.norm('q', 4), kNorm: make.norm('k', 4), heads: 12, kvHeads: 3 },
      ...{ rope: { theta: 10_000 }, window: 17, gate: true },
    };
    const shortConv: Required<NonNullable<Parameters<Ops['shortConv']>[3]>> = {
      ...{ bias: vector('c', 8), gated: false, causal: true },
    };
    const given: object[] = [attend, shortConv];
    const { nodes } = recordPlan((op) => {
      const [x, qkv] = [op.embed(matrix('t', 9, 8)), op.embed(matrix('u', 9, 84))];
      const options = linear(x);
      given.push(options);
      op.attend(qkv, undefined, attend);
      op.shortConv(x, vector('taps', 24), undefined, shortConv);
      return [
        op.attend(qkv, { kind: 'kv', layer: 0, kvHeads: 3, headDim: 4 }, attend),
        op.linear(matrix('w', 8, 8), x, options),
        op.swiglu(matrix('w1', 8, 8), matrix('w3', 8, 8), x, { norm: make.norm('m', 8) }),
      ];
    });
    const held = nodes.flatMap((node): unknown[] => Object.values(node));
    for (const options of given)
      for (const [name, value] of Object.entries(options)) expect(held, name).toContain(value);
    expect(nodes.at(-1)).toMatchObject({ norm: make.norm('m', 8) });
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
    expect(
      slotsOf((op) => {
        const x = op.embed(w);
        return op.linear(w, op.linear(w, x), { add: x });
      }),
    ).toEqual([0, 1, 0]);
    expect(
      slotsOf((op) => {
        const x = op.embed(w);
        return op.linear(w, x, { add: x });
      }),
    ).toEqual([0, 1]);
    expect(
      slotsOf((op) => {
        const x = op.embed(w);
        const y = op.linear(w, op.linear(w, x), { add: x });
        return op.linear(w, y, { add: x });
      }),
    ).toEqual([0, 1, 2, 0]);
  });
});

describe('options of a linear map', () => {
  it('become nodes after and before it, which need no slots but that of the LayerNorm', () => {
    const w = matrix('w', 4, 4);
    const { nodes } = recordPlan((op) => {
      const x = op.embed(w);
      const norm = make.layerNorm('n', 4, true);
      return op.linear(w, x, { norm, act: 'gelu', post: make.norm('p', 4), add: x, bias: vector('b', 4) });
    });
    expect(nodes.map(({ op, out }) => [op, out.slot])).toEqual([
      ['embed', 0],
      ['layerNorm', 1],
      ['linear', 2],
      ['activate', 2],
      ['normAdd', 2],
    ]);
    expect(nodes.map((node) => ('add' in node ? node.add : undefined))).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      nodes[0].out,
    ]);
  });
});

describe('attention', () => {
  it('is refused with factors of RoPE that are not one for each pair', () =>
    expect(() =>
      recordPlan((op) =>
        op.attend(op.embed(matrix('t', 9, 24)), undefined, { heads: 1, rope: { theta: 1, factors: [1, 2, 3] } }),
      ),
    ).toThrow(/The factors of RoPE are wrong: got 3, wanted 4/));
});

describe('the sequences of a call', () => {
  const stateOf = (build: Parameters<typeof recordPlan>[0]): Promise<State> =>
    firstState(openReferenceBackend(), recordPlan(build), { contextLength: 8, prefillBatch: 6 });
  const build = (op: Ops): Act => op.attend(op.embed(empty), undefined, { heads: 1 });
  const empty = { ...matrix('t', 9, 24), values: new Float32Array(9 * 24) };

  it('are refused by a plan that does not tell them apart, and if they do not end with the call', async () => {
    const wrong = expect.objectContaining({ name: 'RequestError' });
    const causal = await stateOf((op) => op.embed(empty));
    await expect(causal.prefill(Uint32Array.of(1, 2), { sequences: Uint32Array.of(2) })).rejects.toEqual(wrong);
    const within = await stateOf(build);
    await expect(within.prefill(Uint32Array.of(1, 2), { sequences: Uint32Array.of(1) })).rejects.toEqual(wrong);
  });

  it('begin at position 0 again, because nothing is kept of those before', async () => {
    const state = await stateOf(build);
    for (const T of [6, 4, 6]) {
      await state.prefill(new Uint32Array(T));
      expect(state.position).toBe(T);
    }
    const drawing = await stateOf((op) => op.last(build(op)));
    await drawing.prefill(Uint32Array.of(1));
    await expect(drawing.decode(2, GREEDY_SAMPLING)).rejects.toMatchObject({ name: 'RequestError' });
  });
});

describe('the rows of a call', () => {
  const stateOf = (build: Parameters<typeof recordPlan>[0]): Promise<State> =>
    firstState(openReferenceBackend(), recordPlan(build), { contextLength: 8, prefillBatch: 6 });
  const rows = (at: number[], numbers = 4 * at.length) => ({
    rows: [{ at: Uint32Array.from(at), values: new Float32Array(numbers) }],
  });
  const tokens = Uint32Array.of(1, 2, 3);

  it.each([
    [[0, 3], 8, /got rows for 2 of 3 tokens, wanted tokens of this call, ascending/],
    [[1, 0], 8, /wanted tokens of this call, ascending/],
    [[1, 1], 8, /wanted tokens of this call, ascending/],
    [[0, 1], 7, /got 7 numbers, wanted 2 rows of 4/],
  ])('are refused if they are no rows of its tokens: %j, %d numbers', async (at, numbers, message) => {
    const state = await stateOf((op) => op.embed({ ...matrix('t', 9, 4), values: new Float32Array(36) } as Matrix));
    await expect(state.prefill(tokens, rows(at, numbers))).rejects.toThrow(message);
    expect(state.position).toBe(0);
    await state.prefill(tokens, rows([0, 2]));
  });

  it('are wanted for all tokens where the plan has no table, and it draws no tokens to read', async () => {
    const state = await stateOf((op) => op.last(op.input(4)));
    await expect(state.prefill(tokens)).rejects.toThrow(/got rows for 0 of 3 tokens, wanted a row for each/);
    await expect(state.prefill(tokens, rows([0, 1]))).rejects.toThrow(/wanted a row for each/);
    await state.prefill(tokens, rows([0, 1, 2]));
    await expect(state.decode(2, GREEDY_SAMPLING)).rejects.toMatchObject({ name: 'RequestError' });
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

  const refused = /^(linear F32 (layer norm|relu)|shortConv (centred D 64|D 33) .*|attend .* (within|interleaved))$/;
  it.each(ENCODER_CASES.filter(({ name }) => refused.test(name)))('is refused by name: $name', async (one) => {
    const named =
      /lacks an operation of the model: got (layerNorm|activate|convolve|attendWithin|attendInterleaved)\.$/;
    const backend = await openWasmBackend({ threads: 1, variant: 'simd' });
    await expect(runConformanceCase(one, backend)).rejects.toMatchObject({
      name: 'DeviceError',
      message: expect.stringMatching(named),
    });
    await backend.dispose();
    const plan = recordPlan((op) => one.build(op, make));
    expect(() => checkOps(plan, LOWERINGS, 'WebGPU')).toThrow(named);
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
  const lines = nodes.map(
    ({ op, ...fields }) =>
      `${op}\n${Object.entries(fields)
        .filter(([, value]) => value !== undefined)
        .map(([key, value]) => `  ${key}: ${print(value)}\n`)
        .join('')}`,
  );
  const text = `${printByLayer(lines)}output: ${outputs.map(print).join(', ')}\n${slots.map((slot, i) => `slot ${i}: [${slot.rows}, ${slot.cols}]\n`).join('')}`;
  await expect(text).toMatchFileSnapshot('plan.expected.txt');
});
