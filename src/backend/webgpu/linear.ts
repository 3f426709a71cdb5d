/**
 * The linear maps as dispatches: embed, linear and swiglu over packed matrices (repack.ts). One token and 2 … 8 tokens go through matvec,
 * more through matmul; a matrix of several parts (dtypes, or too large for one binding) takes a dispatch for each.
 */
import type { Norm } from '../../model/ops';
import type { Gpu, GpuVector, Region, Step } from './gpu';
import { FORMATS, type GpuMatrix, type Part } from './repack';

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

/** y[t] = the row of tokens[position + t] */
export function embedSteps(gpu: Gpu, table: GpuMatrix, y: Region, T: number): Step[] {
  const { tokens, step } = gpu;
  return table.parts.map((part) => ({
    label: `embed.${part.dtype.toLowerCase()}`,
    sources: ['lib/step', ...weights(part).sources, 'lib/values', 'embed'],
    constants: { ...weights(part).constants, cols: table.cols, rows: part.rows, first: part.first },
    bindings: { ...weights(part).bindings, tokens, step, y },
    grid: [Math.ceil(table.cols / 256), T, 1],
  }));
}

/** y = W · norm(x) + bias + add */
export const linearSteps = (gpu: Gpu, map: Linear): Step[] => mapSteps(gpu, map, map.add && (map.add.buffer === map.y.buffer ? 'accumulate' : 'add'));

/** y = silu(W1 · norm(x)) ⊙ (W3 · norm(x)) */
export function swigluSteps(gpu: Gpu, { w1, w3, x, y, T, norm }: Swiglu): Step[] {
  return [...mapSteps(gpu, { w: w1, x, y, T, norm }), ...mapSteps(gpu, { w: w3, x, y, T, norm }, 'gate')];
}

type Put = 'store' | 'add' | 'accumulate' | 'gate';

function mapSteps(gpu: Gpu, { w, x, y, T, norm, bias, add }: Linear, put: Put = 'store'): Step[] {
  const many = T > FEW;
  const tokens = many ? T : T <= 1 ? 1 : T <= 2 ? 2 : T <= 4 ? 4 : FEW;
  return w.parts.map((part) => {
    const { dtype, rows, first } = part;
    const packed = weights(part);
    const whole = w.cols % FORMATS[dtype].unitColumns === 0;
    const sources = [
      ...packed.sources,
      whole ? 'lib/x_vec4' : 'lib/x_scalar',
      norm ? (whole ? 'lib/norm_vec4' : 'lib/norm_scalar') : 'lib/norm_none',
      bias ? 'lib/bias' : 'lib/bias_none',
      `lib/put_${put}`,
    ];
    const constants: Record<string, number> = { ...packed.constants, cols: w.cols, rows, first, width: w.rows, ...(norm && { eps: norm.eps }) };
    const bindings: Record<string, Region> = { ...packed.bindings, x, y };
    if (norm) bindings.norm = (norm.weight as GpuVector).region;
    if (bias) bindings.bias = bias;
    if (put === 'add') bindings.add = add!;
    if (tokens > 1) bindings.step = gpu.step;
    const options = [norm && 'norm', bias && 'bias', put !== 'store' && put].filter(Boolean).map((name) => `.${name}`).join('');
    const label = `${many ? 'matmul' : tokens > 1 ? `matvec_${tokens}` : 'matvec'}.${dtype.toLowerCase()}${options}`;
    if (many)
      return {
        label,
        sources: ['lib/step', ...sources, 'lib/values', 'matmul'],
        constants,
        bindings,
        grid: [Math.ceil(rows / 64), Math.ceil(T / 64), 1],
      };
    return {
      label,
      sources: [gpu.features.subgroups ? 'lib/sums_subgroup' : 'lib/sums_workgroup', ...(tokens > 1 ? ['lib/step'] : []), ...sources, `lib/cols_${tokens}`, 'matvec'],
      constants: { ...constants, group_size: groupSize(part.layout.units) },
      bindings,
      grid: grid(Math.ceil(rows / 4)),
    };
  });
}

/** Invocations along a row: a unit each, or two and more when there are many. Results of 8 tokens fit 16 KB of workgroup memory. */
const groupSize = (units: number): number => (units > 32 ? 64 : 32);

/** 65,535 workgroups a dimension are allowed; what lies beyond the last row is computed from clamped reads and not written. */
const grid = (groups: number): [number, number, number] => (groups <= 65535 ? [groups, 1, 1] : [32768, Math.ceil(groups / 32768), 1]);

/** How a kernel is given one part of a matrix. */
function weights({ dtype, layout, w, scales }: Part): Pick<Step, 'sources' | 'constants' | 'bindings'> {
  const { libraries } = FORMATS[dtype];
  if (!scales) return { sources: ['lib/weights_float', ...libraries], constants: { units: layout.units }, bindings: { w } };
  return { sources: ['lib/weights_block', ...libraries], constants: { ...layout }, bindings: { w, scales } };
}
