/** The cases of conformance.ts that need the side file `encoders`. */
import { attendCase, factors, LONGEST } from './conformance';
import type { ConformanceCase } from './conformance_case';
import { visibleRows, type Sight } from './visible_rows';

const NO_NORMS = { qNorm: undefined, kNorm: undefined };
const INTERLEAVED = { theta: 10000, pairs: 'interleaved' } as const;
const ENDS = [1, 3, 40, 41, LONGEST];

/** The sequences of ENDS, of which some have padding. */
const seen = (sight: Sight): Uint32Array<ArrayBuffer> =>
  visibleRows(
    ENDS.map((end, i) => ({ length: end - (ENDS[i - 1] ?? 0), attended: [1, 1, 20, 1, 77][i] })),
    sight,
  );

/** Of rows that the caller gives, as those of pictures: WASM rounds weights in floats, and heads, to 8 bits. */
const GIVEN: ConformanceCase[] = [
  ...(
    [
      ['F16', 37, 224],
      ['BF16', 72, 300],
      ['F32', 9, 40],
      ['Q8_0', 130, 1088],
      ['Q4_0', 37, 224],
    ] as const
  ).map(([dtype, rows, cols]): ConformanceCase => ({
    name: `linear ${dtype} ${rows}×${cols} of given rows`,
    offGrid: true,
    rows: 'all',
    build: (op, make) => op.linear(make.matrix('w', rows, cols, dtype), op.input(cols)),
  })),
  {
    name: 'linear F16, Q8_0 of given rows, bias add',
    offGrid: true,
    rows: 'all',
    build: (op, make) => {
      const x = op.input(224);
      const w = make.matrix('w', 224, 224, [
        ['F16', 64],
        ['Q8_0', 160],
      ]);
      return op.linear(w, x, { bias: make.vector('bias', 224), add: x });
    },
  },
  ...(
    [
      [3, 64],
      [2, 72],
      [1, 40],
    ] as const
  ).map(([heads, d]): ConformanceCase => ({
    name: `attend H ${heads} d ${d} within given rows`,
    offGrid: true,
    rows: 'all',
    sequences: ENDS,
    build: (op) => op.attend(op.input(3 * heads * d), undefined, { heads }),
  })),
];

export const ENCODER_CASES: ConformanceCase[] = [
  ...GIVEN,
  ...(['F32', 'F16', 'Q4_0', 'Q8_0', 'Q6_K'] as const).map((dtype): ConformanceCase => {
    const cols = dtype[0] === 'F' ? 69 : 512;
    return {
      name: `linear ${dtype} layer norm`,
      offGrid: true,
      build: (op, make) => {
        const norm = make.layerNorm('norm', cols, dtype !== 'F16');
        return op.linear(make.matrix('w', 37, cols, dtype), make.input(op, cols), { norm });
      },
    };
  }),
  {
    name: 'linear F32 layer norm of rows far from zero',
    build: (op, make) => {
      const { weight: bias } = make.norm('shift', 68); // its mean is 1, the other term is small beside it
      const x = op.linear(make.matrix('small', 68, 4, 'F32'), make.input(op, 4), { bias });
      return op.linear(make.matrix('w', 40, 68, 'F32'), x, { norm: make.layerNorm('norm', 68, true) });
    },
  },
  {
    name: 'layer norm alone',
    build: (op, make) => op.norm(make.input(op, 69), make.layerNorm('norm', 69, true)),
  },
  {
    name: 'linear F32 layer norm of the last row',
    build: (op, make) =>
      op.linear(make.matrix('w', 40, 64, 'F32'), op.last(make.input(op, 64)), { norm: make.layerNorm('n', 64, true) }),
  },
  ...(['F32', 'Q4_0'] as const).map((dtype): ConformanceCase => ({
    name: `swiglu ${dtype} layer norm`,
    offGrid: true,
    build: (op, make) =>
      op.swiglu(make.matrix('w1', 97, 64, dtype), make.matrix('w3', 97, 64, dtype), make.input(op, 64), {
        norm: make.layerNorm('norm', 64, true),
      }),
  })),
  ...(['gelu', 'gelu_tanh', 'silu', 'relu'] as const).flatMap((act) =>
    (['F32', 'Q8_0'] as const).map((dtype): ConformanceCase => ({
      name: `linear ${dtype} ${act}${dtype === 'F32' ? '' : ' bias add'}`,
      offGrid: dtype !== 'F32',
      build: (op, make) => {
        const x = make.input(op, 96);
        const options = dtype === 'F32' ? { act } : { act, bias: make.vector('bias', 96), add: x };
        return op.linear(make.matrix('w', dtype === 'F32' ? 77 : 96, 96, dtype), x, options);
      },
    })),
  ),
  {
    name: 'linear F32 with every option',
    build: (op, make) => {
      const x = make.input(op, 65);
      const norms = { norm: make.layerNorm('norm', 65, true), post: make.norm('post', 65) };
      const w = make.matrix('w', 65, 65, 'F32');
      return op.linear(w, x, { ...norms, bias: make.vector('bias', 65), act: 'gelu', add: x });
    },
  },
  ...(
    [
      [64, 3, true],
      [33, 3, true],
      [130, 4, true],
      [65, 9, false],
      [32, 2, false],
    ] as const
  ).map(([D, L, gated]): ConformanceCase => ({
    // prettier-ignore
    name: `shortConv centred D ${D} L ${L}${gated ? '' : ' without gates'}`,
    build: (op, make) =>
      op.shortConv(make.input(op, gated ? 3 * D : D), make.vector('taps', D * L), undefined, {
        bias: D === 33 || D === 65 ? make.vector('b', D) : undefined,
        gated,
      }),
    sequences: D === 32 ? [67, LONGEST] : ENDS,
    bounds: seen({ causal: false, zeroed: D % 2 === 0 }),
  })),
  ...(
    [
      [64, 3, true],
      [33, 4, true],
      [65, 3, false],
    ] as const
  ).map(([D, L, gated]): ConformanceCase => ({
    // prettier-ignore
    name: `shortConv causal within D ${D} L ${L}${gated ? '' : ' without gates'}`,
    build: (op, make) =>
      op.shortConv(make.input(op, gated ? 3 * D : D), make.vector('taps', D * L), undefined, {
        bias: D === 33 ? make.vector('b', D) : undefined,
        gated,
        causal: true,
      }),
    sequences: ENDS,
    bounds: seen({ causal: true, zeroed: D !== 33 }),
  })),
  ...(
    [
      [33, 3],
      [130, 9],
    ] as const
  ).map(([D, L]): ConformanceCase => ({
    // prettier-ignore
    name: `shortConv D ${D} L ${L} without gates`,
    build: (op, make) =>
      op.shortConv(
        make.input(op, D),
        make.vector('taps', D * L),
        { kind: 'conv', layer: 0, channels: D, length: L },
        { bias: D === 33 ? make.vector('b', D) : undefined, gated: false },
      ),
  })),
  attendCase(' interleaved', [4, 2, 64], { rope: INTERLEAVED }),
  attendCase(' interleaved gate', [4, 2, 64], { kNorm: undefined, rope: INTERLEAVED, gate: true }),
  attendCase(' interleaved without norms, window 64', [3, 1, 32], {
    ...NO_NORMS,
    rope: { ...INTERLEAVED, factors: factors(32) },
    window: 64,
  }),
  attendCase(' within', [3, 3, 72], { ...NO_NORMS, rope: undefined }, { sequences: ENDS }),
  attendCase(' within norms rope gate', [8, 2, 64], { gate: true }, { sequences: [67, LONGEST] }),
  ...[true, false].map((causal) =>
    attendCase(
      ` within, ${causal ? 'causal, ' : ''}padding`,
      causal ? [8, 2, 64] : [4, 2, 64],
      {},
      { sequences: ENDS, bounds: seen({ causal, zeroed: true }) },
    ),
  ),
  attendCase(
    ' within norm of q, interleaved',
    [6, 2, 80],
    { kNorm: undefined, rope: INTERLEAVED },
    { sequences: ENDS },
  ),
];
