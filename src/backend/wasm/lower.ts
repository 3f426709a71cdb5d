/** Lowers a plan to the op list of the C kernels (kernels/plan.h). */
import { CONV_RING_POSITIONS, KV_PAGE_POSITIONS, OpKind } from 'virtual:rivulet-kernels';
import { fail } from '../../errors';
import type { Matrix, Norm, Vector } from '../../model/ops';
import type { SegmentReader } from '../backend';
import {
  activationInputs,
  checkOps,
  headsOf,
  lowerNode,
  matricesOf,
  ropeFrequencies,
  type AttentionNode,
  type Lowerings,
  type MoreLowerings,
  type NodeOf,
  type PlanNode,
  type Plan,
  type PlanActivation,
} from '../plan';
import type { HeapScope, WasmHeap } from './memory';
import type { KernelExports } from './module';
import type { ThreadPool } from './threads';

/** fields of the C struct Op; those that are absent are 0 */
export type Op = Record<string, number | undefined>;

/** A matrix whose segments, one for each expert, are read when a token needs them. */
export interface PagedMatrix {
  /** address of the Weight structs; those without data are not in memory */
  weights: number;
  /** of each segment, packed */
  bytes: number[];
  /** Reads a segment to where its Weight says. @returns the bytes read */
  load(segment: number): Promise<number>;
  packed: SegmentReader['packed'];
}

/** The addresses of packed weights. */
export interface WeightAddressLookup {
  /** the Weight structs of a matrix, one per segment */
  matrix(m: Matrix): number;
  vector(v: Vector): number;
  /** of experts that are read when a token needs them */
  paged(m: Matrix): PagedMatrix | undefined;
  /** whether any segment reads int8 activations */
  int8(m: Matrix): boolean;
}

/** The table of cos and sin at `offset` of a page: [KV_PAGE_POSITIONS, headDim]; the first half of a row is cos. */
export interface RopeTableInPage {
  /** angles from one position to the next */
  frequencies: number[];
  offset: number;
}

/** One of the blocks of rows, by position, that a page has for each kv head: [KV_PAGE_POSITIONS, bytes] at `offset`. */
export interface CacheRowsInPage {
  offset: number;
  bytes: number;
}

/** The ring of a convolution at `offset` of a state's rings: f32 [CONV_RING_POSITIONS, channels]. */
export interface ConvRing {
  offset: number;
  channels: number;
  /** taps of the convolution */
  length: number;
}

export interface LoweredPlan {
  /** address and number of the ops */
  ops: number;
  count: number;
  /** addresses of the activation slots */
  slots: number[];
  ropes: RopeTableInPage[];
  /** keys, values and scales */
  cacheRows: CacheRowsInPage[];
  pageBytes: number;
  convRings: ConvRing[];
  ringBytes: number;
  /** widest input of a linear map */
  widest: number;
  attentionBytes: number;
  /** the ops with their fields */
  list: readonly Op[];
  /** rows that the experts of an op read, and floats in them */
  experts: { rows: number; floats: number };
}

/** floats per row of keys or values */
const rowStride = (headDim: number): number => Math.ceil(headDim / 16) * 16;

/** What the op list refers to. */
export interface LoweringTarget {
  heap: WasmHeap;
  kernels: KernelExports;
  pool: ThreadPool;
  /** addresses of weights */
  at: WeightAddressLookup;
  /** store keys and values as int16 with a scale per row, not as f32 */
  int16: boolean;
}

export interface WasmLoweringContext extends LoweringTarget {
  plan: Plan;
  /** most rows of a call */
  prefillBatch: number;
  /** memory of this program */
  scope: HeapScope;
  /** the address of an activation */
  address(x: PlanActivation): number;
  /** reserves bytes of each page: their offset */
  inPage(bytes: number): number;
  /** Reserves bytes of each state's rings: their offset. */
  inRings(bytes: number): number;
  ropes: RopeTableInPage[];
  cacheRows: CacheRowsInPage[];
  convRings: ConvRing[];
  /** offsets of partial results, by shape: all layers of a shape share them */
  partials: Map<string, number>;
  /** the address of the bounds of sequences; 0 without them */
  bounds: number;
}

export const normFields = (norm: Norm | undefined, at: WeightAddressLookup): Op | undefined =>
  norm && { norm: at.vector(norm.weight), eps: norm.eps };

export const linearFields = ({ w, norm, bias, add }: NodeOf<'linear'>, { at, address }: WasmLoweringContext): Op => ({
  w: at.matrix(w), segments: w.segments.length, ...normFields(norm, at), bias: bias && at.vector(bias), add: add && address(add),
}); // prettier-ignore

/** The fields of a convolution; its taps are transposed, and with state it has a ring. */
export function convolutionFields(
  { taps, bias, state, out: { cols: D } }: NodeOf<'shortConv' | 'convolve'>,
  { heap, at, scope, inRings, convRings }: WasmLoweringContext,
): Op {
  const L = taps.length / D;
  if (state && L + 64 > CONV_RING_POSITIONS)
    fail('DeviceError', {
      what: `The convolution ${taps.name} is too long`,
      got: L,
      wanted: `at most ${CONV_RING_POSITIONS - 64}`,
    });
  const transposed = scope.alloc(D * L * 4, 'convolution taps');
  const source = at.vector(taps) / 4;
  const f32 = heap.f32;
  for (let c = 0; c < D; c++) for (let k = 0; k < L; k++) f32[transposed / 4 + k * D + c] = f32[source + c * L + k];
  const ring = state && inRings(CONV_RING_POSITIONS * D * 4);
  if (state) convRings.push({ offset: ring!, channels: D, length: L });
  return { bias: bias && at.vector(bias), taps: transposed, ring, length: L };
}

/** Reserves the keys or the values of a layer in each page: the rows of all heads, then the scales of int16 rows. */
function reserveCache({ int16, inPage, cacheRows }: WasmLoweringContext, kvHeads: number, headDim: number): number {
  const widths = int16 ? [2 * rowStride(headDim), 4] : [4 * rowStride(headDim)];
  const bytes = widths.map((width) => KV_PAGE_POSITIONS * width);
  const first = inPage(kvHeads * bytes.reduce((a, b) => a + b));
  let offset = first;
  for (const width of widths)
    for (let head = 0; head < kvHeads; head++, offset += KV_PAGE_POSITIONS * width)
      cacheRows.push({ offset, bytes: width });
  return first;
}

/** Reserves the keys and values of a layer. */
export const reserveCaches = (context: WasmLoweringContext, { kvHeads, headDim }: ReturnType<typeof headsOf>): Op => ({
  keys: reserveCache(context, kvHeads, headDim),
  values: reserveCache(context, kvHeads, headDim),
});

/** The fields of attention but for the places of keys and values. */
export function attentionFields(
  node: AttentionNode & { window?: number },
  { at, int16, inPage, ropes, partials }: WasmLoweringContext,
): Op {
  const { heads, qNorm, kNorm, rope, window, gate } = node;
  const { kvHeads, headDim } = headsOf(node);
  if (heads % kvHeads || headDim % 2)
    fail('DeviceError', {
      what: 'The WASM kernels do not support this attention shape',
      got: `${heads} query heads, ${kvHeads} key/value heads, head width ${headDim}`,
      wanted: 'an even head width, and query heads in equal groups',
    });
  const frequencies = ropeFrequencies(rope, headDim);
  let table = ropes.find((one) => `${one.frequencies}` === `${frequencies}`);
  if (!table) ropes.push((table = { frequencies, offset: inPage(KV_PAGE_POSITIONS * headDim * 4) }));
  const shape = `${heads} ${headDim}`;
  if (!partials.has(shape)) partials.set(shape, inPage(heads * (rowStride(headDim) + 16) * 4));
  return {
    heads, kvHeads, headDim, ...normFields(qNorm, at), kNorm: kNorm && at.vector(kNorm.weight), kEps: kNorm?.eps, window, gate: Number(!!gate),
    rope: table.offset, partials: partials.get(shape), int16: Number(int16),
  }; // prettier-ignore
}

/** The fields of an op beside those of its activations, `int8` and the barrier after it. */
const LOWERINGS: Lowerings<WasmLoweringContext, Op> = {
  embed: ({ table }, { at }) => ({ w: at.matrix(table), segments: table.segments.length, cols: table.cols }),
  input: () => ({}),
  linear: linearFields,
  swiglu({ w1, w3, norm }, { at }) {
    if (w1.segments.length + w3.segments.length > 2)
      fail('DeviceError', { what: `${w1.name} or ${w3.name} has several segments`, wanted: 'one segment each' });
    return { w: at.matrix(w1), segments: 1, w3: at.matrix(w3), ...normFields(norm, at) };
  },
  normAdd: ({ norm, add }, { at, address }) => ({ ...normFields(norm, at), add: add && address(add) }),
  shortConv: convolutionFields,
  attend: (node, context) => ({ ...attentionFields(node, context), ...reserveCaches(context, node.cache) }),
  last: () => ({}),
};

/** Reserves offsets in a block of memory; `bytes` is its size so far. */
function blockLayout(): { bytes: number; reserve(bytes: number): number } {
  const block = {
    bytes: 0,
    reserve(bytes: number): number {
      const offset = block.bytes;
      block.bytes += Math.ceil(bytes / 64) * 64;
      return offset;
    },
  };
  return block;
}

/** Adds the lowerings of a side file, for plans that are compiled later. */
export const registerWasmLowerings = (lowerings: MoreLowerings<WasmLoweringContext, Op>): void =>
  void Object.assign(LOWERINGS, lowerings);

/**
 * @param scope gets what is allocated, also if this throws
 * @throws MemoryError, DeviceError for a plan that these kernels do not support
 */
export function lowerPlanToWasmOps(
  plan: Plan,
  prefillBatch: number,
  scope: HeapScope,
  target: LoweringTarget,
): LoweredPlan {
  checkOps(plan, LOWERINGS, 'WASM');
  const { heap, heap: { build: { structs: { OP } } }, kernels, at } = target; // prettier-ignore
  const slots = plan.slots.map(({ rows, cols }) =>
    scope.alloc((rows === 1 ? 1 : prefillBatch) * cols * 4 + 16, 'activations'),
  );
  const address = (x: PlanActivation): number => slots[x.slot];
  const [page, rings] = [blockLayout(), blockLayout()];
  const parts = { ropes: [] as RopeTableInPage[], cacheRows: [] as CacheRowsInPage[], convRings: [] as ConvRing[] };
  const context = {
    ...target,
    plan,
    prefillBatch,
    ...parts,
    scope,
    address,
    inPage: page.reserve,
    inRings: rings.reserve,
    partials: new Map<string, number>(),
    bounds: slots[plan.bounds!] ?? 0,
  };

  const list = plan.nodes.map((node, i): Op => {
    const [x] = activationInputs(node);
    const { out } = node;
    return {
      kind: OpKind[node.op], single: Number(out.rows === 1), x: x && address(x), cols: x?.cols, y: address(out), rows: out.cols,
      int8: Number(matricesOf(node).some(at.int8)), ...lowerNode(LOWERINGS, node, context), ...(node.op === 'linear' && shareRows(node, plan.nodes[i + 1])),
    }; // prettier-ignore
  });
  const ops = scope.alloc(list.length * OP.bytes, 'the plan');
  list.forEach((op, i) => OP.write(heap, ops + i * OP.bytes, op));
  const attentionBytes = Math.max(
    0,
    ...list.map(({ heads, kvHeads, headDim }) => (heads ? kernels.attention_size(heads, kvHeads!, headDim!) : 0)),
  );
  const widest = Math.max(
    0,
    ...plan.nodes.map((node) => (matricesOf(node).length ? activationInputs(node)[0].cols : 0)),
  );
  return { ops, count: list.length, list, slots, ...parts, pageBytes: page.bytes, ringBytes: rings.bytes, widest, attentionBytes, experts: expertRooms(plan, prefillBatch) }; // prettier-ignore
}

/** The most rows that the experts of a node read, and floats in them, each expert's in tiles of four. */
function expertRooms({ nodes }: Plan, T: number): LoweredPlan['experts'] {
  const rooms = { rows: 0, floats: 0 };
  for (const node of nodes)
    if ('chosen' in node) {
      const [w] = matricesOf(node);
      const rows = (T * node.chosen.cols) / 2;
      rooms.rows = Math.max(rooms.rows, rows);
      rooms.floats = Math.max(rooms.floats, (rows + 3 * Math.min(rows, w.segments.length)) * w.cols);
    }
  return rooms;
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
      const { heads, cache: { kvHeads, headDim: d } } = next; // prettier-ignore
      const wanted = [heads, kvHeads, kvHeads].map((n) => n * d);
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
