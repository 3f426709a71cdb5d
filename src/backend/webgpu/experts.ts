/**
 * The dispatches of a mixture of experts. One token multiplies with the rows of its experts in one matvec for each
 * matrix (shaders/experts/). Of several tokens, select_experts sorts the entries, an entry for each expert of each
 * token; a tile of matmul is 64 entries of one expert (experts/tile_experts). A dispatch passes over experts whose rows
 * are in another part of the matrix.
 */
import { fail } from '../../errors';
import type { Matrix, Vector } from '../../model/ops';
import type { ExpertOp, Lowerings, NodeOf, PlanActivation } from '../plan';
import type { BufferRegion, Dispatch, DispatchContext, GpuWeightVector, KernelTuning } from './dispatch';
import { tilesOf, type ExpertBuffers } from './expert_buffers';
import { partDispatch, samePartition, type PartOperands, type PartRows } from './linear';
import { PACKED_FORMATS, type GpuMatrix, type MatrixPart } from './repack';

/** What the lowerings of a mixture of experts read of their context. */
interface ExpertsContext {
  gpu: DispatchContext;
  state: { experts?: ExpertBuffers };
  at(act: PlanActivation): BufferRegion;
  T: number;
}

/** Invocations of select_experts: each takes an expert. */
const MAX_EXPERTS = 256;

export function selectExpertsDispatches(
  { scores, bias, top, normalise, scale, out }: NodeOf<'selectExperts'>,
  { gpu, state, at, T }: ExpertsContext,
): Dispatch[] {
  const E = scores.cols;
  const several = T > 1;
  const { list_at } = tilesOf(T, top, E);
  return [
    {
      label: `select_experts${several ? '.sort' : ''}`,
      sources: [...(several ? ['lib/step', 'lib/tokens_8'] : ['lib/tokens_1']), 'experts/select_experts'],
      constants: {
        E,
        top,
        scale,
        normalise: Number(!!normalise),
        biased: Number(!!bias),
        sorts: Number(several),
        list_at,
      },
      bindings: {
        scores: at(scores),
        bias: bias ? vectorRegion(bias) : at(scores),
        chosen: at(out),
        sorted: state.experts!.sorted,
        ...(several && { step: gpu.step }),
      },
      grid: [1, 1, 1],
    },
  ];
}

/** One token takes one dispatch for each part of W1 and W3 together, if they have the same parts. */
export function expertsSwigluDispatches(
  { w1, w3, x, chosen, norm, out }: NodeOf<'expertsSwiglu'>,
  { gpu, state, at, T }: ExpertsContext,
): Dispatch[] {
  const shape = shapeOf(w1, chosen, state);
  const { rows: I, top } = shape;
  const gates = partsOf(w1, shape);
  const ups = partsOf(w3, shape);
  const map = { x: at(x), y: at(out), norm, cols: w1.cols };
  const apart = (made: (part: MatrixPart, output: 'store' | 'gate') => Dispatch): Dispatch[] => [
    ...gates.map((part) => made(part, 'store')),
    ...ups.map((part) => made(part, 'gate')),
  ];
  if (T > 1) {
    const tiles = { ...map, T, width: I, per_row: top };
    return apart((part, output) => tilesDispatch(gpu, part, shape, state, { ...tiles, output }));
  }
  const token = { ...map, width: top * I, rows: top * I, chosen: at(chosen) };
  if (samePartition(w1 as GpuMatrix, w3 as GpuMatrix))
    return gates.map((part, i) =>
      tokenDispatch(gpu, part, shape, { ...token, op: 'experts_gate_up', output: 'store', up: ups[i] }),
    );
  const one = { ...token, op: 'experts_rows', tuning: FOUR_ROWS } as const;
  return apart((part, output) => tokenDispatch(gpu, part, shape, { ...one, output }));
}

/** One token takes one dispatch for each part; they add to each other. */
export function expertsLinearDispatches(
  { w, x, chosen, add, out }: NodeOf<'expertsLinear'>,
  { gpu, state, at, T }: ExpertsContext,
): Dispatch[] {
  const shape = shapeOf(w, chosen, state);
  const { rows: D, top } = shape;
  const parts = partsOf(w, shape);
  const y = at(out);
  const rest = at(add);
  const output = rest.buffer === y.buffer ? 'accumulate' : 'add';
  if (T === 1)
    return parts.map((part, i) =>
      tokenDispatch(gpu, part, shape, {
        op: 'experts_down',
        x: at(x),
        y,
        add: rest,
        cols: w.cols,
        width: D,
        rows: D,
        units: top * part.layout.units,
        output: i ? 'accumulate' : output,
        chosen: at(chosen),
        tuning: FOUR_ROWS,
      }),
    );
  const { results } = state.experts!;
  const tiles = { x: at(x), y: results, T, cols: w.cols, width: D, per_row: 1, output: 'store' } as const;
  return [
    ...parts.map((part) => tilesDispatch(gpu, part, shape, state, tiles)),
    {
      label: `sum_experts.${output}`,
      sources: ['lib/step', 'lib/bias_none', `lib/output_${output}`, 'experts/sum_experts'],
      constants: { cols: D, top, width: D },
      bindings: { chosen: at(chosen), x: results, y, step: gpu.step, ...(output === 'add' && { add: rest }) },
      grid: [Math.ceil(D / 64), T, 1],
    },
  ];
}

const vectorRegion = (vector: Vector): BufferRegion => (vector as GpuWeightVector).region;

/** The experts of a layer: E of them, of `rows` rows each, of which a token has `top`. */
interface ExpertShape {
  E: number;
  rows: number;
  top: number;
  /** where each stands in the matrix */
  frames: Pick<Dispatch, 'sources' | 'bindings'>;
}

const shapeOf = (
  { rows, segments }: Matrix,
  chosen: PlanActivation,
  { experts }: ExpertsContext['state'],
): ExpertShape => ({
  E: experts?.paged?.E ?? segments.length,
  rows: rows / segments.length,
  top: chosen.cols / 2,
  frames: experts?.paged
    ? { sources: ['experts/frames_paged'], bindings: { frames: experts.paged.frames } }
    : { sources: ['experts/frames_all'], bindings: {} },
});

/** @throws DeviceError if kernels cannot read the experts of a matrix, MemoryError if a part has not all of one */
function partsOf(matrix: Matrix, { E, rows }: ExpertShape): readonly MatrixPart[] {
  const { parts, cols, name } = matrix as GpuMatrix;
  const unit = Math.max(...parts.map(({ dtype }) => PACKED_FORMATS[dtype].unitColumns));
  const cut = parts.some((part) => part.first % rows || part.rows % rows);
  if (cut || rows % 4 || cols % unit || E > MAX_EXPERTS)
    fail(cut ? 'MemoryError' : 'DeviceError', {
      what: `The experts of ${name} have a shape that the GPU kernels do not support`,
      got: `${E} of ${rows} rows and ${cols} columns`,
      wanted: `at most ${MAX_EXPERTS}, multiples of 4 and ${unit}, and no expert larger than a binding`,
      cure: 'Use the WASM backend.',
    });
  return parts;
}

/** The constants of experts/experts. */
const expertConstants = (part: MatrixPart, rows: number): Record<string, number> => ({
  groups: rows / 4,
  part: part.rows / 4,
  before: part.first / 4,
});

/** more rows of an invocation make no difference to these kernels */
const FOUR_ROWS: Partial<KernelTuning> = { rows: 4 };

interface TokenOperands extends Pick<PartOperands, 'x' | 'y' | 'norm' | 'add' | 'cols' | 'width' | 'output' | 'up'> {
  /** of the tune key, and the library of its rows */
  op: 'experts_gate_up' | 'experts_rows' | 'experts_down';
  /** of y */
  rows: number;
  /** units of a row of x, if it has one for each expert */
  units?: number;
  chosen: BufferRegion;
  tuning?: Partial<KernelTuning>;
}

function tokenDispatch(
  gpu: DispatchContext,
  part: MatrixPart,
  { E, rows: R, top, frames }: ExpertShape,
  { op, rows, units, chosen, tuning = {}, ...map }: TokenOperands,
): Dispatch {
  const libraries = [...frames.sources, 'experts/experts', 'experts/experts_chosen', `experts/${op}`];
  const shape = `${top}/${E}·${R}×${map.cols}`;
  const assigned: PartRows = { op, shape, libraries, matrices: map.up ? 2 : 1, units };
  const made = partDispatch(gpu, { ...part, first: 0, rows }, { ...map, T: 1, rows: assigned, tuning });
  return {
    ...made,
    label: made.label.replace('matvec', op),
    // experts/experts_down has the gains
    sources: units ? made.sources.filter((name) => name !== 'lib/norm_none') : made.sources,
    constants: { ...made.constants, E, top, ...expertConstants(part, R), ...(units && { x_units: units }) },
    bindings: { ...made.bindings, ...frames.bindings, chosen },
  };
}

interface TilesOperands extends Pick<PartOperands, 'x' | 'y' | 'T' | 'norm' | 'cols' | 'width' | 'output'> {
  /** entries that read one row of x */
  per_row: number;
}

function tilesDispatch(
  gpu: DispatchContext,
  part: MatrixPart,
  { E, rows, top, frames }: ExpertShape,
  { experts }: ExpertsContext['state'],
  { per_row, ...map }: TilesOperands,
): Dispatch {
  const tiles = [...frames.sources, 'experts/experts', 'experts/tile_experts'];
  const { tiles: most, list_at } = tilesOf(map.T, top, E);
  const made = partDispatch(gpu, { ...part, first: 0, rows }, { ...map, tiles, tuning: {} });
  return {
    ...made,
    label: `experts_${made.label}`,
    constants: { ...made.constants, ...expertConstants(part, rows), list_at, per_row },
    bindings: { ...made.bindings, ...frames.bindings, sorted: experts!.sorted },
    grid: [made.grid[0], most, 1],
  };
}

export const WEBGPU_EXPERT_LOWERINGS: Lowerings<ExpertsContext, Dispatch[], ExpertOp> = {
  selectExperts: selectExpertsDispatches,
  expertsSwiglu: expertsSwigluDispatches,
  expertsLinear: expertsLinearDispatches,
};
