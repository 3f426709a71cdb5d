/** Lowers a plan to the op list of the C kernels: the structs of kernels/plan.h, word by word. */
import { fail } from '../../errors';
import type { Matrix, Vector } from '../../model/ops';
import { CONV_RING_POSITIONS } from '../backend';
import type { PlanNode, Plan, PlanActivation } from '../plan';
import type { WasmHeap } from './memory';
import type { KernelExports } from './module';

/** positions per page of the KV cache: the constant of the same name in kernels/plan.h */
export const KV_PAGE_POSITIONS = 256;

/** the order of the C enum OpKind */
const OP_KINDS = ['embed', 'linear', 'swiglu', 'shortConv', 'attend', 'last'] as const;

/** the fields of the C struct Op */
const OP_FIELDS = [
  'kind', 'single', 'x', 'y', 'cols', 'rows', 'w', 'segments', 'parts', 'noBarrierAfter', 'w3', 'norm', 'eps', 'bias', 'add', 'int8', 'taps', 'ring', 'length',
  'heads', 'kvHeads', 'headDim', 'kNorm', 'kEps', 'rope', 'partials', 'keys', 'values', 'int16',
] as const; // prettier-ignore
type Op = Partial<Record<(typeof OP_FIELDS)[number], number>>;
const FLOATS = new Set<string>(['eps', 'kEps']);
const OP_BYTES = OP_FIELDS.length * 4;

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
  theta: number;
  headDim: number;
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

/**
 * @param int16 store keys and values as int16 with a scale per row, not as f32
 * @throws MemoryError, DeviceError for a plan that these kernels do not support
 */
export function lowerPlanToWasmOps(plan: Plan, prefillBatch: number, int16: boolean, heap: WasmHeap, kernels: KernelExports, at: WeightAddressLookup): LoweredPlan {
  const held: number[] = [];
  const alloc = (bytes: number, what: string): number => {
    const address = heap.zeros(bytes, what);
    held.push(address);
    return address;
  };
  const slots = plan.slots.map(({ rows, cols }) => alloc((rows === 1 ? 1 : prefillBatch) * cols * 4 + 16, 'activations'));
  const address = (x: PlanActivation): number => slots[x.slot];
  const vector = (v: Vector | undefined): number => (v ? at.vector(v) : 0);
  let [pageBytes, widest, convLength] = [0, 0, 1];
  const ropes: RopeTableInPage[] = [];
  const inPage = (bytes: number): number => {
    const offset = pageBytes;
    pageBytes += Math.ceil(bytes / 64) * 64;
    return offset;
  };

  // all layers of a shape share a RoPE table and partial results
  const partials = new Map<string, number>();
  for (const node of plan.nodes)
    if (node.op === 'attend') {
      const { ropeTheta: theta, heads, cache: { headDim } } = node; // prettier-ignore
      if (!ropes.some((r) => r.theta === theta && r.headDim === headDim)) ropes.push({ theta, headDim, offset: inPage(KV_PAGE_POSITIONS * headDim * 4) });
      const shape = `${heads} ${headDim}`;
      if (!partials.has(shape)) partials.set(shape, inPage(heads * (rowStride(headDim) + 16) * 4));
    }

  const lowerNode = (node: PlanNode, i: number): Op => {
    const op: Op = { kind: OP_KINDS.indexOf(node.op), single: node.out.rows === 1 ? 1 : 0, y: address(node.out), rows: node.out.cols };
    switch (node.op) {
      case 'embed':
        return { ...op, w: at.matrix(node.table), segments: node.table.segments.length, cols: node.table.cols };
      case 'linear': {
        const { w, x, norm, bias, add } = node;
        widest = Math.max(widest, x.cols);
        return {
          ...op, x: address(x), cols: x.cols, w: at.matrix(w), segments: w.segments.length, norm: vector(norm?.weight), eps: norm?.eps ?? 0,
          bias: vector(bias), add: add && address(add), int8: Number(at.int8(w)), ...shareRows(node, plan.nodes[i + 1]),
        }; // prettier-ignore
      }
      case 'swiglu': {
        const { w1, w3, x, norm } = node;
        if (w1.segments.length + w3.segments.length > 2) fail('DeviceError', { what: `${w1.name} or ${w3.name} has several segments`, wanted: 'one segment each' });
        widest = Math.max(widest, x.cols);
        const int8 = Number(at.int8(w1) || at.int8(w3));
        return { ...op, x: address(x), cols: x.cols, w: at.matrix(w1), segments: 1, w3: at.matrix(w3), norm: vector(norm.weight), eps: norm.eps, int8 };
      }
      case 'shortConv': {
        const { channels: D, length: L } = node.state;
        if (L + 64 > CONV_RING_POSITIONS) fail('DeviceError', { what: `The convolution ${node.taps.name} is too long`, got: L, wanted: `at most ${CONV_RING_POSITIONS - 64}` });
        convLength = Math.max(convLength, L);
        const taps = alloc(D * L * 4, 'convolution taps');
        const source = at.vector(node.taps) / 4;
        const f32 = heap.f32;
        for (let c = 0; c < D; c++) for (let k = 0; k < L; k++) f32[taps / 4 + k * D + c] = f32[source + c * L + k];
        return { ...op, x: address(node.bcx), cols: 3 * D, bias: vector(node.bias), taps, ring: alloc(CONV_RING_POSITIONS * D * 4, 'convolution state'), length: L };
      }
      case 'attend': {
        const { qkv, cache: { kvHeads, headDim }, heads, qNorm, kNorm, ropeTheta } = node; // prettier-ignore
        if (heads % kvHeads || headDim % 2)
          fail('DeviceError', { what: 'The WASM kernels do not support this attention shape', got: `${heads} query heads, ${kvHeads} key/value heads, head width ${headDim}`, wanted: 'an even head width, and query heads in equal groups' });
        const cacheBytes = kvHeads * KV_PAGE_POSITIONS * (int16 ? 2 * rowStride(headDim) + 4 : 4 * rowStride(headDim));
        return {
          ...op, x: address(qkv), cols: qkv.cols, heads, kvHeads, headDim, norm: vector(qNorm.weight), eps: qNorm.eps, kNorm: vector(kNorm.weight),
          kEps: kNorm.eps, rope: ropes.find((r) => r.theta === ropeTheta && r.headDim === headDim)!.offset,
          partials: partials.get(`${heads} ${headDim}`), keys: inPage(cacheBytes), values: inPage(cacheBytes), int16: Number(int16),
        }; // prettier-ignore
      }
      case 'last':
        return { ...op, x: address(node.x), cols: node.x.cols };
    }
  };

  const list = plan.nodes.map(lowerNode);
  const ops = alloc(list.length * OP_BYTES, 'the plan');
  list.forEach((op, i) =>
    OP_FIELDS.forEach((field, word) => {
      const index = ops / 4 + i * OP_FIELDS.length + word;
      if (FLOATS.has(field)) heap.f32[index] = op[field] ?? 0;
      else heap.u32[index] = op[field] ?? 0;
    }),
  );
  const attentionBytes = Math.max(0, ...plan.nodes.map((node) => (node.op === 'attend' ? kernels.attention_size(node.heads, node.cache.kvHeads, node.cache.headDim) : 0)));
  return { ops, count: list.length, slots, ropes, pageBytes, widest, attentionBytes, convLength, held };
}

/**
 * Divides the rows of a linear map among the threads so that, if possible, each thread of the next op reads only rows that it wrote itself:
 * then no barrier is needed after the map. The next op must not write what the map reads, because a slower thread may still read it.
 */
function shareRows({ w: { segments, rows }, x, add, out }: Extract<PlanNode, { op: 'linear' }>, next: PlanNode | undefined): Pick<Op, 'parts' | 'noBarrierAfter'> {
  const split = (parts: number, noBarrier: boolean): Pick<Op, 'parts' | 'noBarrierAfter'> => (noBarrier ? { parts, noBarrierAfter: 1 } : { parts: 1, noBarrierAfter: 0 });
  if (!next || next.out.slot === x.slot || next.out.slot === add?.slot) return split(1, false);
  switch (next.op) {
    case 'shortConv':
      return split(3, next.bcx === out && segments.length === 1 && rows % 48 === 0);
    case 'attend': {
      const { heads, cache: { kvHeads, headDim: d } } = next; // prettier-ignore
      const wanted = [heads, kvHeads, kvHeads].map((n) => n * d);
      return split(1, next.qkv === out && d % 16 === 0 && segments.length === 3 && segments.every((s, i) => s.rows === wanted[i]));
    }
    case 'last':
      return split(1, next.x === out && segments.length === 1);
    default:
      return split(1, false);
  }
}

/** Fills the RoPE tables of the page that begins at `position`. Angles are f64: in f32 those of position 16,000 are off by 1e-3. */
export function writeRopeTables(f32: Float32Array, page: number, position: number, ropes: RopeTableInPage[]): void {
  for (const { theta, headDim, offset } of ropes) {
    const half = headDim / 2;
    const frequency = Array.from({ length: half }, (_, i) => theta ** (-i / half));
    let at = (page + offset) / 4;
    for (let p = position; p < position + KV_PAGE_POSITIONS; p++, at += headDim)
      for (let i = 0; i < half; i++) {
        f32[at + i] = Math.cos(p * frequency[i]);
        f32[at + half + i] = Math.sin(p * frequency[i]);
      }
  }
}
