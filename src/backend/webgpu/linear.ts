/**
 * The linear maps as dispatches: embed, linear, swiglu and the way into a short convolution, over packed matrices (repack.ts).
 * One token and 2 … 8 tokens go through matvec, more through matmul. A matrix of several parts (dtypes, or too large for one binding) takes a
 * dispatch for each, with one token a dispatch for two.
 */
import type { Norm } from '../../model/ops';
import { ANY, type Gpu, type GpuVector, type Region, type Step, type Tuning } from './gpu';
import { FORMATS, type GpuMatrix, type Part } from './repack';
import { AGAIN } from './shader';

/** The most tokens that go through matvec. */
export const FEW = 8;

export interface Linear {
  w: GpuMatrix;
  /** [T, cols] f32 */
  x: Region;
  /** [T, rows] f32; may be the buffer of `add`, not that of `x` */
  y: Region;
  /** tokens the step is made for; `step.count` of them are computed, or 1 when T is 1 */
  T: number;
  norm?: Norm;
  /** [rows] f32 */
  bias?: Region;
  /** [T, rows] f32 */
  add?: Region;
}

export interface Swiglu {
  w1: GpuMatrix;
  w3: GpuMatrix;
  x: Region;
  y: Region;
  T: number;
  norm: Norm;
}

export interface ConvIn {
  /** [3D, D]: B, C, x */
  inProj: GpuMatrix;
  /** [1, D] */
  x: Region;
  /** [1, D], C ⊙ conv(B ⊙ x) */
  y: Region;
  norm: Norm;
  /** [D, L] */
  taps: Region;
  /** [D], of the convolution */
  bias?: Region;
  /** [R, D], B ⊙ x by position mod R, appended to */
  ring: Region;
  channels: number;
  length: number;
  /** R, a power of two */
  slots: number;
}

/** y[t] = the row of tokens[position + t] */
export function embedSteps(gpu: Gpu, table: GpuMatrix, y: Region, T: number): Step[] {
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

/** What a draw is given to look the chosen token up: then the next step need not begin with that. Nothing where the table lies in several parts. */
export function embedNext(gpu: Gpu, table: GpuMatrix | undefined, y: Region): Pick<Step, 'sources' | 'constants' | 'bindings'> {
  if (table?.parts.length !== 1) return { sources: ['lib/embed_none'], constants: {}, bindings: {} };
  const { sources, constants, bindings } = weights(gpu, table.parts[0]);
  return { sources: [...sources, 'lib/embed_row', 'lib/embed_next'], constants: { ...constants, cols: table.cols }, bindings: { ...bindings, y } };
}

/** y = W · norm(x) + bias + add */
export function linearSteps(gpu: Gpu, { w, add, ...map }: Linear, tuning: Partial<Tuning> = {}): Step[] {
  const put = add ? (add.buffer === map.y.buffer ? 'accumulate' : 'add') : 'store';
  const shared = { ...map, cols: w.cols, width: w.rows, put, add, tuning } as const;
  const pairs = map.T === 1 && !map.bias && put !== 'add'; // 8 storage buffers are bound at most
  const steps: Step[] = [];
  for (let i = 0; i < w.parts.length; i += pairs ? 2 : 1) steps.push(partStep(gpu, w.parts[i], { ...shared, beside: pairs ? w.parts[i + 1] : undefined }));
  return steps;
}

/** y = silu(W1 · norm(x)) ⊙ (W3 · norm(x)): one dispatch a part with one token; else two, the second over the result of the first */
export function swigluSteps(gpu: Gpu, { w1, w3, ...map }: Swiglu, tuning: Partial<Tuning> = {}): Step[] {
  const shared = { ...map, cols: w1.cols, width: w1.rows, tuning };
  if (map.T === 1 && alike(w1, w3)) return w1.parts.map((part, i) => partStep(gpu, part, { ...shared, put: 'store', up: w3.parts[i] }));
  return [
    ...w1.parts.map((part) => partStep(gpu, part, { ...shared, put: 'store' })),
    ...w3.parts.map((part) => partStep(gpu, part, { ...shared, put: 'gate' })),
  ];
}

/**
 * in_proj and the short convolution of one token in one dispatch; undefined where B, C and x do not lie in one part, or x and y in one buffer
 */
export function convInSteps(gpu: Gpu, { inProj, x, y, norm, taps, bias, ring, channels: D, length: L, slots: R }: ConvIn): Step[] | undefined {
  const [part, ...others] = inProj.parts;
  if (others.length || D % 4 || inProj.rows !== 3 * D || x.buffer === y.buffer) return undefined;
  const step = partStep(gpu, { ...part, rows: D }, { x, y, T: 1, norm, cols: inProj.cols, width: D, put: 'store', rows: 'lib/conv_in', tuning: {} });
  return [
    {
      ...step,
      label: step.label.replace('matvec', 'conv_in'),
      sources: ['lib/step', ...step.sources],
      constants: { ...step.constants, D, L, R, biased: Number(!!bias) },
      bindings: { ...step.bindings, step: gpu.step, taps, conv_bias: bias ?? taps, ring },
    },
  ];
}

/** What a second part of W adds to a kernel: the files that depend on its format once more, and its own constants and bindings. */
function copyFor(gpu: Gpu, part: Part, rows: string, kernel: string, options: Record<string, number>): Pick<Step, 'sources' | 'constants' | 'bindings'> {
  const { sources, constants, bindings } = weights(gpu, part);
  const rename = <T>(named: Record<string, T>): Record<string, T> => Object.fromEntries(Object.entries(named).map(([name, value]) => [name + AGAIN, value]));
  return {
    sources: [...sources.filter((name) => !name.startsWith('lib/half')), rows, 'lib/row_totals', kernel].map((name) => name + AGAIN),
    constants: rename({ ...constants, ...options, rows: part.rows, first: part.first }),
    bindings: rename(bindings),
  };
}

const alike = (a: GpuMatrix, b: GpuMatrix): boolean =>
  a.parts.length === b.parts.length && a.parts.every(({ dtype, first, rows }, i) => b.parts[i].dtype === dtype && b.parts[i].first === first && b.parts[i].rows === rows);

interface PartMap extends Pick<Linear, 'x' | 'y' | 'T' | 'norm' | 'bias' | 'add'> {
  cols: number;
  /** of a row of y */
  width: number;
  put: 'store' | 'add' | 'accumulate' | 'gate';
  /** the part of W3 beside a part of W1 */
  up?: Part;
  /** the next part of W, in the same dispatch */
  beside?: Part;
  /** the file that says which rows a workgroup takes, in place of rows_* */
  rows?: string;
  tuning: Partial<Tuning>;
}

function partStep(gpu: Gpu, part: Part, { x, y, T, norm, bias, add, cols, width, put, up, beside, rows, tuning }: PartMap): Step {
  const parts = beside ? [part, beside] : [part];
  const format = parts.map(({ dtype }) => dtype.toLowerCase()).join('+');
  const whole = parts.every(({ dtype }) => cols % FORMATS[dtype].unitColumns === 0);
  const packed = weights(gpu, part);
  const sources = [
    ...packed.sources,
    whole ? 'lib/x_vec4' : 'lib/x_scalar',
    norm ? (whole ? 'lib/norm_vec4' : 'lib/norm_scalar') : 'lib/norm_none',
    bias ? 'lib/bias' : 'lib/bias_none',
    `lib/put_${put}`,
  ];
  const constants: Record<string, number> = { ...packed.constants, cols, rows: part.rows, first: part.first, width };
  const bindings: Record<string, Region> = { ...packed.bindings, x, y };
  if (norm) {
    constants.eps = norm.eps;
    bindings.norm = (norm.weight as GpuVector).region;
  }
  if (bias) bindings.bias = bias;
  if (put === 'add' && add) bindings.add = add;
  if (T > 1) bindings.step = gpu.step;
  const options = [up && 'swiglu', norm && 'norm', bias && 'bias', put !== 'store' && put].filter(Boolean).map((name) => `.${name}`).join('');

  if (T > FEW)
    return {
      label: `matmul.${format}${options}`,
      sources: ['lib/step', ...sources, 'matmul'],
      constants,
      bindings,
      grid: [Math.ceil(part.rows / 64), Math.ceil(T / 64), 1],
    };

  const op = up ? 'swiglu' : rows ? 'conv_in' : 'linear';
  const shape = `${op} ${format} ${parts.reduce((sum, p) => sum + p.rows, 0)}×${cols}`;
  // more than four rows an invocation are more than 64 registers
  const usual = { rows: 4, subgroups: true, integers: false };
  const chosen = { ...usual, ...gpu.tunings.get(ANY), ...(T === 1 ? gpu.tunings.get(shape) : undefined), ...tuning };
  const subgroups = chosen.subgroups && gpu.features.subgroups;
  const integers = chosen.integers && gpu.features.dp4a && parts.every(({ scales }) => scales);
  const together = chosen.rows === 8 || integers;
  const size = chosen.groupSize ?? groupSize(part.layout.units * (together ? 1 : up ? 2 : rows ? 3 : 1));
  const eight = chosen.rows === 8 && T === 1 && op === 'linear';
  const kind = up ? 'lib/gate_up' : (rows ?? (eight ? 'lib/rows_8' : 'lib/rows_4'));
  if (up) {
    sources.push(up.scales ? 'lib/up_block' : 'lib/up_float');
    bindings.up = up.w;
    if (up.scales) bindings.up_scales = up.scales;
  }
  const kernel = integers ? 'matvec_integer' : 'matvec';
  const own: Record<string, number> = together && !integers ? { together: 1 } : {};
  const groups = parts.map((p) => Math.ceil(p.rows / (eight ? 8 : 4)));
  if (beside) {
    const copy = copyFor(gpu, beside, kind, kernel, own);
    sources.push(...copy.sources);
    Object.assign(constants, copy.constants, { split: groups[0] });
    Object.assign(bindings, copy.bindings);
  }
  return {
    label: `matvec${T > 1 ? `_${FEW}` : ''}.${format}${options}${integers ? '.int8' : ''}`,
    sources: [
      subgroups ? 'lib/sums_subgroup' : 'lib/sums_workgroup',
      ...(T > 1 ? ['lib/step'] : []),
      ...sources,
      `lib/cols_${T > 1 ? FEW : 1}`,
      kind,
      'lib/row_totals',
      beside ? 'lib/two_parts' : 'lib/one_part',
      kernel,
    ],
    constants: { ...constants, ...own, group_size: subgroups ? size : Math.min(64, size) },
    bindings,
    grid: grid(groups.reduce((sum, n) => sum + n)),
    shape,
  };
}

/** A unit an invocation, or two and more when there are many. */
const groupSize = (units: number): number => (units > 128 ? 128 : units > 32 ? 64 : 32);

/** 65,535 workgroups a dimension are allowed; what lies beyond the last row is computed from clamped reads and not written. */
const grid = (groups: number): [number, number, number] => (groups <= 65535 ? [groups, 1, 1] : [32768, Math.ceil(groups / 32768), 1]);

/** How a kernel is given one part of a matrix. */
function weights(gpu: Gpu, { dtype, layout, w, scales }: Part): Pick<Step, 'sources' | 'constants' | 'bindings'> {
  const sources = [...FORMATS[dtype].libraries, gpu.features.integerHalves ? 'lib/half_integer' : 'lib/half_unpack'];
  if (!scales) return { sources: ['lib/weights_float', ...sources], constants: { units: layout.units }, bindings: { w } };
  return { sources: ['lib/weights_block', ...sources], constants: { ...layout }, bindings: { w, scales } };
}
