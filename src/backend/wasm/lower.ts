/** Lowers a plan to the op list that the kernels walk: the structs of kernels/plan.h, word by word. */
import { fail } from '../../errors';
import type { Matrix, Vector } from '../../model/ops';
import type { Node, Plan, PlanAct } from '../plan';
import type { Heap } from './memory';
import type { Kernels } from './module';

/** positions of a page, and positions that a conv layer remembers: PAGE and RING of kernels/plan.h */
export const PAGE = 256;
export const RING = 128;

const KINDS = ['embed', 'linear', 'swiglu', 'shortConv', 'attend', 'last'] as const;

const OP = [
  'kind', 'single', 'x', 'y', 'cols', 'rows', 'w', 'segments', 'parts', 'apart', 'w3', 'norm', 'eps', 'bias', 'add', 'int8', 'taps', 'ring', 'length',
  'heads', 'kvHeads', 'headDim', 'kNorm', 'kEps', 'rope', 'partials', 'keys', 'values', 'int16',
] as const; // prettier-ignore
type Op = Partial<Record<(typeof OP)[number], number>>;
const FLOATS = new Set<string>(['eps', 'kEps']);
const OP_BYTES = OP.length * 4;

/** Where weights lie. */
export interface Addresses {
  /** of a matrix: its Weight structs, one a segment */
  matrix(m: Matrix): number;
  vector(v: Vector): number;
  /** whether any segment wants int8 activations */
  int8(m: Matrix): boolean;
}

/** cos and sin of a page, at `offset`: [PAGE, headDim], the first half of a row cos */
export interface Rope {
  theta: number;
  headDim: number;
  offset: number;
}

export interface Lowered {
  ops: number;
  count: number;
  /** of the activation slots */
  slots: number[];
  ropes: Rope[];
  pageBytes: number;
  /** widest input of a linear map */
  widest: number;
  attentionBytes: number;
  /** greatest length of a conv layer */
  convLength: number;
  /** every allocation made here */
  held: number[];
}

const stride = (headDim: number): number => Math.ceil(headDim / 16) * 16;

/**
 * @param int16 keys and values are stored as int16 with a scale a row, not f32
 * @throws MemoryError, DeviceError for a plan that these kernels cannot run
 */
export function lower(plan: Plan, chunk: number, int16: boolean, heap: Heap, kernels: Kernels, at: Addresses): Lowered {
  const held: number[] = [];
  const alloc = (bytes: number, what: string): number => {
    const address = heap.zeros(bytes, what);
    held.push(address);
    return address;
  };
  const slots = plan.slots.map(({ rows, cols }) => alloc((rows === 1 ? 1 : chunk) * cols * 4 + 16, 'activations'));
  const address = (x: PlanAct): number => slots[x.slot];
  const vector = (v: Vector | undefined): number => (v ? at.vector(v) : 0);
  let [pageBytes, widest, convLength] = [0, 0, 1];
  const ropes: Rope[] = [];
  const inPage = (bytes: number): number => {
    const offset = pageBytes;
    pageBytes += Math.ceil(bytes / 64) * 64;
    return offset;
  };

  // tables and partial results are one for all layers of a shape
  const partials = new Map<string, number>();
  for (const node of plan.nodes)
    if (node.op === 'attend') {
      const { ropeTheta: theta, heads, cache: { headDim } } = node; // prettier-ignore
      if (!ropes.some((r) => r.theta === theta && r.headDim === headDim)) ropes.push({ theta, headDim, offset: inPage(PAGE * headDim * 4) });
      const shape = `${heads} ${headDim}`;
      if (!partials.has(shape)) partials.set(shape, inPage(heads * (stride(headDim) + 16) * 4));
    }

  const lowerNode = (node: Node, i: number): Op => {
    const op: Op = { kind: KINDS.indexOf(node.op), single: node.out.rows === 1 ? 1 : 0, y: address(node.out), rows: node.out.cols };
    switch (node.op) {
      case 'embed':
        return { ...op, w: at.matrix(node.table), segments: node.table.segments.length, cols: node.table.cols };
      case 'linear': {
        const { w, x, norm, bias, add } = node;
        widest = Math.max(widest, x.cols);
        return {
          ...op, x: address(x), cols: x.cols, w: at.matrix(w), segments: w.segments.length, norm: vector(norm?.weight), eps: norm?.eps ?? 0,
          bias: vector(bias), add: add && address(add), int8: Number(at.int8(w)), ...followed(node, plan.nodes[i + 1]),
        }; // prettier-ignore
      }
      case 'swiglu': {
        const { w1, w3, x, norm } = node;
        if (w1.segments.length + w3.segments.length > 2) fail('DeviceError', { what: `${w1.name} or ${w3.name} has several segments`, wanted: 'one' });
        widest = Math.max(widest, x.cols);
        const int8 = Number(at.int8(w1) || at.int8(w3));
        return { ...op, x: address(x), cols: x.cols, w: at.matrix(w1), segments: 1, w3: at.matrix(w3), norm: vector(norm.weight), eps: norm.eps, int8 };
      }
      case 'shortConv': {
        const { channels: D, length: L } = node.state;
        if (L + 64 > RING) fail('DeviceError', { what: `${node.taps.name}: the convolution is too long`, got: L, wanted: `at most ${RING - 64}` });
        convLength = Math.max(convLength, L);
        const taps = alloc(D * L * 4, 'convolution taps');
        const source = at.vector(node.taps) / 4;
        const f32 = heap.f32;
        for (let c = 0; c < D; c++) for (let k = 0; k < L; k++) f32[taps / 4 + k * D + c] = f32[source + c * L + k];
        return { ...op, x: address(node.bcx), cols: 3 * D, bias: vector(node.bias), taps, ring: alloc(RING * D * 4, 'convolution state'), length: L };
      }
      case 'attend': {
        const { qkv, cache: { kvHeads, headDim }, heads, qNorm, kNorm, ropeTheta } = node; // prettier-ignore
        if (heads % kvHeads || headDim % 2)
          fail('DeviceError', { what: 'The attention shape is not supported', got: `${heads} heads, ${kvHeads} key/value heads of ${headDim}` });
        const cacheBytes = kvHeads * PAGE * (int16 ? 2 * stride(headDim) + 4 : 4 * stride(headDim));
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
    OP.forEach((field, word) => {
      const index = ops / 4 + i * OP.length + word;
      if (FLOATS.has(field)) heap.f32[index] = op[field] ?? 0;
      else heap.u32[index] = op[field] ?? 0;
    }),
  );
  const attentionBytes = Math.max(0, ...list.map((op, i) => (op.heads ? kernels.attention_size(ops + i * OP_BYTES) : 0)));
  return { ops, count: list.length, slots, ropes, pageBytes, widest, attentionBytes, convLength, held };
}

/**
 * How a linear map's rows are shared out so that the op behind it reads, in each thread, only what that thread wrote: then none waits between
 * them. Where the two write must not be what the first reads: a slower thread may still be there.
 */
function followed({ w: { segments, rows }, x, add, out }: Extract<Node, { op: 'linear' }>, next: Node | undefined): { parts: number; apart: number } {
  const shared = (parts: number, apart: boolean): { parts: number; apart: number } => (apart ? { parts, apart: 1 } : { parts: 1, apart: 0 });
  if (!next || next.out.slot === x.slot || next.out.slot === add?.slot) return shared(1, false);
  switch (next.op) {
    case 'shortConv':
      return shared(3, next.bcx === out && segments.length === 1 && rows % 48 === 0);
    case 'attend': {
      const { heads, cache: { kvHeads, headDim: d } } = next; // prettier-ignore
      const wanted = [heads, kvHeads, kvHeads].map((n) => n * d);
      return shared(1, next.qkv === out && d % 16 === 0 && segments.length === 3 && segments.every((s, i) => s.rows === wanted[i]));
    }
    case 'last':
      return shared(1, next.x === out && segments.length === 1);
    default:
      return shared(1, false);
  }
}

/** Fills the tables of the page that begins at `position`. Angles in f64: in f32 those of position 16,000 are off by 1e-3. */
export function writeRope(f32: Float32Array, page: number, position: number, ropes: Rope[]): void {
  for (const { theta, headDim, offset } of ropes) {
    const half = headDim / 2;
    const frequency = Array.from({ length: half }, (_, i) => theta ** (-i / half));
    let at = (page + offset) / 4;
    for (let p = position; p < position + PAGE; p++, at += headDim)
      for (let i = 0; i < half; i++) {
        f32[at + i] = Math.cos(p * frequency[i]);
        f32[at + half + i] = Math.sin(p * frequency[i]);
      }
  }
}
