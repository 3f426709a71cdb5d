/** Lowers a plan to the op list of the C kernels (kernels/plan.h). */
import { CONV_RING_POSITIONS, KV_PAGE_POSITIONS, OpKind } from 'virtual:rivulet-kernels';
import { fail } from '../../errors';
import type { Matrix, Vector } from '../../model/ops';
import {
  activationInputs,
  checkOps,
  convStatesOf,
  headsOf,
  lowerNode,
  matricesOf,
  type Lowerings,
  type NodeOf,
  type PlanNode,
  type Plan,
  type PlanActivation,
  ropeFrequencies,
} from '../plan';
import type { WasmHeap } from './memory';
import type { KernelExports } from './module';
import { OP } from './structs';

/** fields of the C struct Op; those that are absent are 0 */
export type Op = Record<string, number | undefined>;

/** The addresses of packed weights. */
export interface WeightAddressLookup {
  /** the Weight structs of a matrix, one per segment */
  matrix(m: Matrix): number;
  vector(v: Vector): number;
  /** whether any segment reads int8 activations */
  int8(m: Matrix): boolean;
}

/** The table of cos and sin at `offset` of a page: [KV_PAGE_POSITIONS, headDim]; the first half of a row is cos. */
export interface RopeTableInPage {
  /** angles from one position to the next */
  frequencies: number[];
  offset: number;
}

export interface LoweredPlan {
  /** address and number of the ops */
  ops: number;
  count: number;
  /** addresses of the activation slots */
  slots: number[];
  ropes: RopeTableInPage[];
  pageBytes: number;
  /** widest input of a linear map */
  widest: number;
  attentionBytes: number;
  /** longest convolution */
  convLength: number;
  /** all allocations of this plan */
  held: number[];
}

/** floats per row of keys or values */
const rowStride = (headDim: number): number => Math.ceil(headDim / 16) * 16;

export interface LoweringContext {
  heap: WasmHeap;
  /** addresses of weights */
  at: WeightAddressLookup;
  int16: boolean;
  /** zeroed memory of this plan */
  alloc(bytes: number, what: string): number;
  /** the address of an activation */
  address(x: PlanActivation): number;
  /** reserves bytes of each page: their offset */
  inPage(bytes: number): number;
  ropes: RopeTableInPage[];
  /** offsets of partial results, by shape: all layers of a shape share them */
  partials: Map<string, number>;
  /** the address of the bounds of sequences */
  bounds: number | undefined;
}

/** The norms of q and k. */
export const headNorms = ({ qNorm, kNorm }: NodeOf<'attend'>, at: WeightAddressLookup): Op => ({
  norm: qNorm && at.vector(qNorm.weight),
  eps: qNorm?.eps,
  kNorm: kNorm && at.vector(kNorm.weight),
  kEps: kNorm?.eps,
});

/** The fields of an op beside those of its activations, `int8` and the barrier after it. */
export const LOWERINGS: Lowerings<LoweringContext, Op> = {
  embed: ({ table }, { at }) => ({ w: at.matrix(table), segments: table.segments.length, cols: table.cols }),
  linear: ({ w, norm, bias, add }, { at, address }) => ({
    w: at.matrix(w), segments: w.segments.length, norm: norm && at.vector(norm.weight), eps: norm?.eps, bias: bias && at.vector(bias), add: add && address(add),
  }), // prettier-ignore
  swiglu({ w1, w3, norm }, { at }) {
    if (w1.segments.length + w3.segments.length > 2)
      fail('DeviceError', { what: `${w1.name} or ${w3.name} has several segments`, wanted: 'one segment each' });
    return { w: at.matrix(w1), segments: 1, w3: at.matrix(w3), norm: at.vector(norm.weight), eps: norm.eps };
  },
  shortConv({ taps, bias, state: { channels: D, length: L } }, { heap, at, alloc }) {
    if (L + 64 > CONV_RING_POSITIONS)
      fail('DeviceError', {
        what: `The convolution ${taps.name} is too long`,
        got: L,
        wanted: `at most ${CONV_RING_POSITIONS - 64}`,
      });
    const transposed = alloc(D * L * 4, 'convolution taps');
    const source = at.vector(taps) / 4;
    const f32 = heap.f32;
    for (let c = 0; c < D; c++) for (let k = 0; k < L; k++) f32[transposed / 4 + k * D + c] = f32[source + c * L + k];
    return {
      bias: bias && at.vector(bias),
      taps: transposed,
      ring: alloc(CONV_RING_POSITIONS * D * 4, 'convolution state'),
      length: L,
    };
  },
  attend(node, { at, int16, inPage, ropes, partials }) {
    const { cache: { kvHeads, headDim }, heads, window, gate } = node; // prettier-ignore
    if (heads % kvHeads || headDim % 2)
      fail('DeviceError', {
        what: 'The WASM kernels do not support this attention shape',
        got: `${heads} query heads, ${kvHeads} key/value heads, head width ${headDim}`,
        wanted: 'an even head width, and query heads in equal groups',
      });
    const frequencies = ropeFrequencies(node.rope, headDim);
    let rope = ropes.find((r) => `${r.frequencies}` === `${frequencies}`);
    if (!rope) ropes.push((rope = { frequencies, offset: inPage(KV_PAGE_POSITIONS * headDim * 4) }));
    const shape = `${heads} ${headDim}`;
    if (!partials.has(shape)) partials.set(shape, inPage(heads * (rowStride(headDim) + 16) * 4));
    const cacheBytes = kvHeads * KV_PAGE_POSITIONS * (int16 ? 2 * rowStride(headDim) + 4 : 4 * rowStride(headDim));
    return {
      heads, kvHeads, headDim, ...headNorms(node, at), window, gate: Number(gate ?? 0),
      rope: rope.offset, partials: partials.get(shape), keys: inPage(cacheBytes), values: inPage(cacheBytes), int16: Number(int16),
    }; // prettier-ignore
  },
  last: () => ({}),
};

/**
 * @param int16 store keys and values as int16 with a scale per row, not as f32
 * @throws MemoryError, DeviceError for a plan that these kernels do not support
 */
export function lowerPlanToWasmOps(
  plan: Plan,
  prefillBatch: number,
  int16: boolean,
  heap: WasmHeap,
  kernels: KernelExports,
  at: WeightAddressLookup,
): LoweredPlan {
  checkOps(plan, LOWERINGS, 'WASM');
  const held: number[] = [];
  const alloc = (bytes: number, what: string): number => {
    const address = heap.zeros(bytes, what);
    held.push(address);
    return address;
  };
  const slots = plan.slots.map(({ rows, cols }) =>
    alloc((rows === 1 ? 1 : prefillBatch) * cols * 4 + 16, 'activations'),
  );
  const address = (x: PlanActivation): number => slots[x.slot];
  let pageBytes = 0;
  const inPage = (bytes: number): number => {
    const offset = pageBytes;
    pageBytes += Math.ceil(bytes / 64) * 64;
    return offset;
  };
  const ropes: RopeTableInPage[] = [];
  const context = {
    heap,
    at,
    int16,
    alloc,
    address,
    inPage,
    ropes,
    partials: new Map<string, number>(),
    bounds: slots[plan.bounds!],
  };

  const list = plan.nodes.map((node, i): Op => {
    const [x] = activationInputs(node);
    const { out } = node;
    return {
      kind: OpKind[node.op], single: Number(out.rows === 1), x: x && address(x), cols: x?.cols, y: address(out), rows: out.cols,
      int8: Number(matricesOf(node).some(at.int8)), ...lowerNode(LOWERINGS, node, context), ...(node.op === 'linear' && shareRows(node, plan.nodes[i + 1])),
    }; // prettier-ignore
  });
  const ops = alloc(list.length * OP.bytes, 'the plan');
  list.forEach((op, i) => OP.write(heap, ops + i * OP.bytes, op));
  const attentionBytes = Math.max(
    0,
    ...list.map(({ heads, kvHeads, headDim }) => (heads ? kernels.attention_size(heads, kvHeads!, headDim!) : 0)),
  );
  const widest = Math.max(0, ...plan.nodes.flatMap(matricesOf).map(({ cols }) => cols));
  const convLength = Math.max(1, ...plan.nodes.flatMap(convStatesOf).map(({ length }) => length));
  return { ops, count: list.length, slots, ropes, pageBytes, widest, attentionBytes, convLength, held };
}

/**
 * Divides the rows of a linear map among the threads so that, if possible, each thread of the next op reads only rows
 * that it wrote itself:
 * then no barrier is needed after the map. The next op must not write what the map reads, because a slower thread may
 * still read it.
 */
function shareRows(node: NodeOf<'linear'>, next: PlanNode | undefined): Pick<Op, 'parts' | 'noBarrierAfter'> {
  const { w: { segments, rows }, out } = node; // prettier-ignore
  const split = (parts: number, noBarrier: boolean): Pick<Op, 'parts' | 'noBarrierAfter'> =>
    noBarrier ? { parts, noBarrierAfter: 1 } : { parts: 1, noBarrierAfter: 0 };
  if (!next || activationInputs(node).some(({ slot }) => slot === next.out.slot)) return split(1, false);
  switch (next.op) {
    case 'shortConv':
      return split(3, next.bcx === out && segments.length === 1 && rows % 48 === 0);
    case 'attend': {
      const { kvHeads, headDim: d } = headsOf(next);
      const wanted = [next.heads, kvHeads, kvHeads].map((n) => n * d);
      return split(
        1,
        next.qkv === out && d % 16 === 0 && segments.length === 3 && segments.every((s, i) => s.rows === wanted[i]),
      );
    }
    case 'last':
      return split(1, next.x === out && segments.length === 1);
    default:
      return split(1, false);
  }
}

/**
 * Fills the RoPE tables of the page that begins at `position`. Angles are f64: in f32 those of position 16,000 are off
 * by 1e-3.
 */
export function writeRopeTables(f32: Float32Array, page: number, position: number, ropes: RopeTableInPage[]): void {
  for (const { frequencies, offset } of ropes) {
    const half = frequencies.length;
    let at = (page + offset) / 4;
    for (let p = position; p < position + KV_PAGE_POSITIONS; p++, at += 2 * half)
      for (let i = 0; i < half; i++) {
        f32[at + i] = Math.cos(p * frequencies[i]);
        f32[at + half + i] = Math.sin(p * frequencies[i]);
      }
  }
}
