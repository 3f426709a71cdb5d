/**
 * The dispatches of embed, linear, swiglu and of in_proj fused with its short convolution, over packed matrices
 * (repack.ts).
 * Up to 8 tokens take matvec, more take matmul. A matrix has several parts when it has several dtypes or is too large
 * for one binding;
 * each part takes a dispatch, and with one token two parts share one.
 */
import type { Norm } from '../../model/ops';
import {
  ANY_KERNEL,
  type DispatchContext,
  type GpuWeightVector,
  type BufferRegion,
  type ShaderLibrary,
  type Dispatch,
  type KernelTuning,
} from './dispatch';
import { PACKED_FORMATS, type GpuMatrix, type MatrixPart } from './repack';
import { SECOND_COPY_SUFFIX } from './shader';

/** The most tokens that matvec takes; more go through matmul. */
export const MATVEC_MAX_TOKENS = 8;

/** y = W · norm(x) + bias + add */
export interface LinearOperands {
  w: GpuMatrix;
  /** [T, cols] f32 */
  x: BufferRegion;
  /** [T, rows] f32; may be the buffer of `add`, not that of `x` */
  y: BufferRegion;
  /** most tokens of the dispatch: it computes `step.count` of them, or one when T is 1 */
  T: number;
  norm?: Norm;
  /** [rows] f32 */
  bias?: BufferRegion;
  /** [T, rows] f32 */
  add?: BufferRegion;
}

/** y = silu(W1 · norm(x)) ⊙ (W3 · norm(x)) */
export interface SwigluOperands {
  w1: GpuMatrix;
  w3: GpuMatrix;
  x: BufferRegion;
  y: BufferRegion;
  T: number;
  norm?: Norm;
}

/** in_proj and the short convolution of one token, fused */
export interface InProjConvOperands {
  /** [3D, D]: B, C, x */
  inProj: GpuMatrix;
  /** [1, D] */
  x: BufferRegion;
  /** [1, D], C ⊙ conv(B ⊙ x) */
  y: BufferRegion;
  norm: Norm;
  /** [D, L] */
  taps: BufferRegion;
  /** [D], of the convolution */
  bias?: BufferRegion;
  /** [R, D], B ⊙ x by position mod R; the new row is written */
  ring: BufferRegion;
  channels: number;
  length: number;
  /** R, a power of two */
  slots: number;
}

/** y[t] = the row of tokens[position + t] */
export function embedDispatches(gpu: DispatchContext, table: GpuMatrix, y: BufferRegion, T: number): Dispatch[] {
  const { tokens, step } = gpu;
  return table.parts.map((part) => {
    const { sources, constants, bindings } = weights(gpu, part);
    return {
      label: `embed.${part.dtype.toLowerCase()}`,
      sources: ['lib/step', ...sources, 'lib/embed_row', 'embed'],
      constants: { ...constants, cols: table.cols, rows: part.rows, first: part.first },
      bindings: { ...bindings, tokens, step, y },
      grid: [Math.ceil(table.cols / 256), T, 1],
    };
  });
}

/**
 * Lets the kernel that draws a token also look up its row of the table, so that the next step needs no dispatch for
 * that. A table split over several buffers needs the dispatches of `embedDispatches`.
 */
export function embedDrawnTokenLibrary(
  gpu: DispatchContext,
  table: GpuMatrix | undefined,
  y: BufferRegion,
): ShaderLibrary {
  if (table?.parts.length !== 1) return { sources: ['lib/embed_none'], constants: {}, bindings: {} };
  const { sources, constants, bindings } = weights(gpu, table.parts[0]);
  return {
    sources: [...sources, 'lib/embed_row', 'lib/embed_next'],
    constants: { ...constants, cols: table.cols },
    bindings: { ...bindings, y },
  };
}

export function linearDispatches(
  gpu: DispatchContext,
  { w, add, ...map }: LinearOperands,
  tuning: Partial<KernelTuning> = {},
): Dispatch[] {
  const output = add ? (add.buffer === map.y.buffer ? 'accumulate' : 'add') : 'store';
  const shared = { ...map, cols: w.cols, width: w.rows, output, add, tuning } as const;
  const pairs = map.T === 1 && !map.bias && output !== 'add'; // more would exceed 8 storage buffers
  const dispatches: Dispatch[] = [];
  for (let i = 0; i < w.parts.length; i += pairs ? 2 : 1)
    dispatches.push(partDispatch(gpu, w.parts[i], { ...shared, nextPart: pairs ? w.parts[i + 1] : undefined }));
  return dispatches;
}

/** One token takes one dispatch per part; more tokens take two, W1 first, then W3 over its result. */
export function swigluDispatches(
  gpu: DispatchContext,
  { w1, w3, ...map }: SwigluOperands,
  tuning: Partial<KernelTuning> = {},
): Dispatch[] {
  const shared = { ...map, cols: w1.cols, width: w1.rows, tuning };
  if (map.T === 1 && samePartition(w1, w3))
    return w1.parts.map((part, i) => partDispatch(gpu, part, { ...shared, output: 'store', up: w3.parts[i] }));
  return [
    ...w1.parts.map((part) => partDispatch(gpu, part, { ...shared, output: 'store' })),
    ...w3.parts.map((part) => partDispatch(gpu, part, { ...shared, output: 'gate' })),
  ];
}

const IN_PROJ_CONV: PartRows = { op: 'in_proj_conv', libraries: ['lib/in_proj_conv'], matrices: 3 };

/** Undefined when in_proj has several parts, or x and y share a buffer: then the two ops run one after the other. */
export function inProjConvDispatches(
  gpu: DispatchContext,
  { inProj, x, y, norm, taps, bias, ring, channels: D, length: L, slots: R }: InProjConvOperands,
): Dispatch[] | undefined {
  const [part, ...others] = inProj.parts;
  if (others.length || D % 4 || inProj.rows !== 3 * D || x.buffer === y.buffer) return undefined;
  const map = partDispatch(
    gpu,
    { ...part, rows: D },
    { x, y, T: 1, norm, cols: inProj.cols, width: D, output: 'store', rows: IN_PROJ_CONV, tuning: {} },
  );
  return [
    {
      ...map,
      label: map.label.replace('matvec', 'in_proj_conv'),
      sources: ['lib/step', ...map.sources],
      constants: { ...map.constants, D, L, R, biased: Number(!!bias) },
      bindings: { ...map.bindings, step: gpu.step, taps, conv_bias: bias ?? taps, ring },
    },
  ];
}

/**
 * The second part of W in a kernel over two parts: a second copy of the files that depend on its format, with its own
 * constants and bindings.
 */
function secondCopy(
  gpu: DispatchContext,
  part: MatrixPart,
  rows: string[],
  kernel: string,
  options: Record<string, number>,
): ShaderLibrary {
  const { sources, constants, bindings } = weights(gpu, part);
  const rename = <T>(named: Record<string, T>): Record<string, T> =>
    Object.fromEntries(Object.entries(named).map(([name, value]) => [name + SECOND_COPY_SUFFIX, value]));
  return {
    sources: [...sources.filter((name) => !name.startsWith('lib/half')), ...rows, 'lib/row_totals', kernel].map(
      (name) => name + SECOND_COPY_SUFFIX,
    ),
    constants: rename({ ...constants, ...options, rows: part.rows, first: part.first }),
    bindings: rename(bindings),
  };
}

export const samePartition = (a: GpuMatrix, b: GpuMatrix): boolean =>
  a.parts.length === b.parts.length &&
  a.parts.every(
    ({ dtype, first, rows }, i) => b.parts[i].dtype === dtype && b.parts[i].first === first && b.parts[i].rows === rows,
  );

/** Where a part of W stands in a dispatch that reads some of its rows. */
export interface PartRows {
  /** of the tune key */
  op: string;
  /** shape of the tune key; by default that of the part */
  shape?: string;
  /** libraries that assign rows to a workgroup, in place of lib/rows_* */
  libraries: string[];
  /** matrices over which the invocations of a workgroup divide */
  matrices: number;
  /** units of a row of x; by default those of W */
  units?: number;
}

export interface PartOperands extends Pick<LinearOperands, 'x' | 'y' | 'T' | 'norm' | 'bias' | 'add'> {
  cols: number;
  /** values per row of y */
  width: number;
  /** the library lib/output_* that writes the result */
  output: 'store' | 'add' | 'accumulate' | 'gate';
  /** the part of W3 for the same rows: the kernel computes swiglu */
  up?: MatrixPart;
  /** the next part of W, in the same dispatch */
  nextPart?: MatrixPart;
  rows?: PartRows;
  /** libraries of matmul that choose the tokens of a tile, in place of lib/tile_tokens; then it is taken for any T */
  tiles?: string[];
  tuning: Partial<KernelTuning>;
}

export function partDispatch(
  gpu: DispatchContext,
  part: MatrixPart,
  { x, y, T, norm, bias, add, cols, width, output, up, nextPart, rows, tiles, tuning }: PartOperands,
): Dispatch {
  const parts = nextPart ? [part, nextPart] : [part];
  const format = parts.map(({ dtype }) => dtype.toLowerCase()).join('+');
  const wholeUnits = parts.every(({ dtype }) => cols % PACKED_FORMATS[dtype].unitColumns === 0);
  const packed = weights(gpu, part);
  const sources = [
    ...packed.sources,
    wholeUnits ? 'lib/x_vec4' : 'lib/x_scalar',
    norm ? (wholeUnits ? 'lib/norm_vec4' : 'lib/norm_scalar') : 'lib/norm_none',
    bias ? 'lib/bias' : 'lib/bias_none',
    `lib/output_${output}`,
  ];
  const constants: Record<string, number> = { ...packed.constants, cols, rows: part.rows, first: part.first, width };
  const bindings: Record<string, BufferRegion> = { ...packed.bindings, x, y };
  if (norm) {
    constants.eps = norm.eps;
    bindings.norm = (norm.weight as GpuWeightVector).region;
  }
  if (bias) bindings.bias = bias;
  if (output === 'add' && add) bindings.add = add;
  if (T > 1) bindings.step = gpu.step;
  const options = [up && 'swiglu', norm && 'norm', bias && 'bias', output !== 'store' && output]
    .filter(Boolean)
    .map((name) => `.${name}`)
    .join('');

  if (tiles || T > MATVEC_MAX_TOKENS)
    return {
      label: `matmul.${format}${options}`,
      sources: ['lib/step', ...sources, ...(tiles ?? ['lib/tile_tokens']), 'matmul'],
      constants,
      bindings,
      grid: [Math.ceil(part.rows / 64), Math.ceil(T / 64), 1],
    };

  const op = rows?.op ?? (up ? 'swiglu' : 'linear');
  const tuneKey = `${op} ${format} ${rows?.shape ?? `${parts.reduce((sum, p) => sum + p.rows, 0)}×${cols}`}`;
  // more than four rows per invocation need more than 64 registers
  const defaults = { rows: 4, subgroups: true, int8Activations: false };
  const chosen = {
    ...defaults,
    ...gpu.tunings.get(ANY_KERNEL),
    ...(T === 1 ? gpu.tunings.get(tuneKey) : undefined),
    ...tuning,
  };
  const subgroups = chosen.subgroups && gpu.features.subgroups;
  const int8 = chosen.int8Activations && gpu.features.dp4a && parts.every(({ scales }) => scales);
  const allMatrices = chosen.rows === 8 || int8;
  const size =
    chosen.groupSize ??
    groupSize((rows?.units ?? part.layout.units) * (allMatrices ? 1 : (rows?.matrices ?? (up ? 2 : 1))));
  const eight = chosen.rows === 8 && T === 1 && op === 'linear';
  const rowLibraries = rows?.libraries ?? [up ? 'lib/gate_up' : eight ? 'lib/rows_8' : 'lib/rows_4'];
  if (up) {
    sources.push(up.scales ? 'lib/up_block' : 'lib/up_float');
    bindings.up = up.w;
    if (up.scales) bindings.up_scales = up.scales;
  }
  const kernel = int8 ? 'matvec_int8' : 'matvec';
  const overrides: Record<string, number> = allMatrices && !int8 ? { all_matrices: 1 } : {};
  const groups = parts.map((p) => Math.ceil(p.rows / (eight ? 8 : 4)));
  if (nextPart) {
    const copy = secondCopy(gpu, nextPart, rowLibraries, kernel, overrides);
    sources.push(...copy.sources);
    Object.assign(constants, copy.constants, { split: groups[0] });
    Object.assign(bindings, copy.bindings);
  }
  return {
    label: `matvec${T > 1 ? `_${MATVEC_MAX_TOKENS}` : ''}.${format}${options}${int8 ? '.int8' : ''}`,
    sources: [
      subgroups ? 'lib/reduce_array_subgroup' : 'lib/reduce_array_workgroup',
      ...(T > 1 ? ['lib/step'] : []),
      ...sources,
      `lib/tokens_${T > 1 ? MATVEC_MAX_TOKENS : 1}`,
      ...rowLibraries,
      'lib/row_totals',
      nextPart ? 'lib/main_two_parts' : 'lib/main_one_part',
      kernel,
    ],
    constants: { ...constants, ...overrides, group_size: subgroups ? size : Math.min(64, size) },
    bindings,
    grid: grid(groups.reduce((sum, n) => sum + n)),
    tuneKey,
  };
}

/** One unit per invocation, or several when there are more than 128. */
const groupSize = (units: number): number => (units > 128 ? 128 : units > 32 ? 64 : 32);

/**
 * A dimension has at most 65,535 workgroups. Workgroups after the last row read clamped addresses and write nothing.
 */
const grid = (groups: number): [number, number, number] =>
  groups <= 65535 ? [groups, 1, 1] : [32768, Math.ceil(groups / 32768), 1];

/** The files, constants and bindings with which a kernel reads one part of a matrix. */
function weights(gpu: DispatchContext, { dtype, layout, w, scales }: MatrixPart): ShaderLibrary {
  const sources = [
    ...PACKED_FORMATS[dtype].libraries,
    gpu.features.integerHalfDecode ? 'lib/half_integer' : 'lib/half_unpack',
  ];
  if (!scales)
    return { sources: ['lib/weights_float', ...sources], constants: { units: layout.units }, bindings: { w } };
  return { sources: ['lib/weights_block', ...sources], constants: { ...layout }, bindings: { w, scales } };
}
