/**
 * A plan is the recorded forward pass: a flat list of nodes in execution order. It is recorded once per model and does
 * not depend on T.
 * Each backend lowers it to its own form: GPU dispatches, an op list in WASM memory, or plain loops.
 */
import { fail } from '../errors';
import type { Act, Activation, ConvState, KvCache, LayerNorm, Matrix, Norm, Ops, Rope, Vector } from '../model/ops';

/**
 * An activation of a plan. Two activations share a slot when the first has no reader left before the second is written.
 */
export interface PlanActivation extends Act {
  readonly id: number;
  /** index of the activation buffer that holds it; assigned by `recordPlan` */
  slot: number;
}

/** What all nodes of attention have. */
export interface Attention {
  qkv: PlanActivation;
  qNorm?: Norm;
  kNorm?: Norm;
  heads: number;
  gate?: boolean;
  out: PlanActivation;
}

export type CoreNode =
  | { op: 'embed'; table: Matrix; out: PlanActivation }
  | { op: 'input'; out: PlanActivation }
  | {
      op: 'linear';
      w: Matrix;
      x: PlanActivation;
      norm?: Norm;
      bias?: Vector;
      add?: PlanActivation;
      out: PlanActivation;
    }
  | { op: 'swiglu'; w1: Matrix; w3: Matrix; x: PlanActivation; norm?: Norm; out: PlanActivation }
  | { op: 'normAdd'; x: PlanActivation; norm: Norm; add?: PlanActivation; out: PlanActivation }
  | { op: 'shortConv'; bcx: PlanActivation; taps: Vector; bias?: Vector; state: ConvState; out: PlanActivation }
  | ({ op: 'attend'; cache: KvCache; rope?: Rope; window?: number } & Attention)
  | { op: 'last'; x: PlanActivation; out: PlanActivation };

/** A mixture of experts. */
export type ExpertNode =
  /** [T, 2·top]: the numbers of each token's experts, ascending, then their weights; all are floats */
  | {
      op: 'selectExperts';
      scores: PlanActivation;
      bias?: Vector;
      top: number;
      normalise?: boolean;
      scale: number;
      out: PlanActivation;
    }
  /** [T, top·I], by the experts of the token; of the matrices it reads the segments of these */
  | {
      op: 'expertsSwiglu';
      w1: Matrix;
      w3: Matrix;
      x: PlanActivation;
      chosen: PlanActivation;
      norm: Norm;
      out: PlanActivation;
    }
  | {
      op: 'expertsLinear';
      w: Matrix;
      x: PlanActivation;
      chosen: PlanActivation;
      add: PlanActivation;
      out: PlanActivation;
    };

/** Options of encoders become nodes of their own, so that a backend without encoders refuses them by name. */
export type EncoderNode =
  | { op: 'layerNorm'; x: PlanActivation; weight: Vector; bias?: Vector; eps: number; out: PlanActivation }
  /** y = act(x) + add */
  | { op: 'activate'; x: PlanActivation; act: Activation; add?: PlanActivation; out: PlanActivation }
  /** with pairs (2i, 2i + 1) */
  | ({ op: 'attendInterleaved'; cache: KvCache; rope: Rope; window?: number } & Attention)
  /** without a cache, over the rows of a sequence */
  | ({ op: 'attendWithin'; kvHeads: number; headDim: number; rope?: Rope } & Attention)
  /** shortConv without state, without gates or without both; causal is one without state */
  | {
      op: 'convolve';
      x: PlanActivation;
      taps: Vector;
      bias?: Vector;
      state?: ConvState;
      gated: boolean;
      causal?: boolean;
      out: PlanActivation;
    };

export type PlanNode = CoreNode | ExpertNode | EncoderNode;

export type NodeOf<Op extends PlanNode['op']> = Extract<PlanNode, { op: Op }>;

/**
 * What a node does with a field. It reads an input; the output may overwrite an input 'in place', which is read element
 * by element. For each token it reads all rows of a matrix, the segments of `chosen` experts, and one row of a table. A
 * norm counts as a vector.
 */
type RoleOf<T> = T extends PlanActivation
  ? 'input' | 'in place'
  : T extends Matrix
    ? 'matrix' | 'experts' | 'table'
    : T extends Vector | Norm
      ? 'vector'
      : T extends KvCache
        ? 'kv'
        : T extends ConvState
          ? 'conv'
          : never;
type Role = RoleOf<PlanActivation | Matrix | Vector | KvCache | ConvState>;
type Plain = number | string | boolean | Rope;

/**
 * The roles of all fields of all ops, except the output and plain values. Without an op or a field it does not
 * compile.
 */
export const FIELD_ROLES: {
  [Op in PlanNode['op']]: {
    [
      Field in keyof NodeOf<Op> as NonNullable<NodeOf<Op>[Field]> extends Plain ? never : Exclude<Field, 'out'>
    ]-?: RoleOf<NonNullable<NodeOf<Op>[Field]>>;
  };
} = {
  embed: { table: 'table' },
  input: {},
  linear: { w: 'matrix', x: 'input', norm: 'vector', bias: 'vector', add: 'in place' },
  swiglu: { w1: 'matrix', w3: 'matrix', x: 'input', norm: 'vector' },
  normAdd: { x: 'in place', norm: 'vector', add: 'in place' },
  selectExperts: { scores: 'input', bias: 'vector' },
  expertsSwiglu: { w1: 'experts', w3: 'experts', x: 'input', chosen: 'input', norm: 'vector' },
  expertsLinear: { w: 'experts', x: 'input', chosen: 'input', add: 'in place' },
  shortConv: { bcx: 'input', taps: 'vector', bias: 'vector', state: 'conv' },
  attend: { qkv: 'input', cache: 'kv', qNorm: 'vector', kNorm: 'vector' },
  last: { x: 'input' },
  layerNorm: { x: 'input', weight: 'vector', bias: 'vector' },
  activate: { x: 'in place', add: 'in place' },
  attendInterleaved: { qkv: 'input', cache: 'kv', qNorm: 'vector', kNorm: 'vector' },
  attendWithin: { qkv: 'input', qNorm: 'vector', kNorm: 'vector' },
  convolve: { x: 'input', taps: 'vector', bias: 'vector', state: 'conv' },
};

/** The fields of a node with one of these roles; absent options are left out. */
const fieldsOf = <T>(node: PlanNode, ...roles: Role[]): T[] =>
  Object.entries(node).flatMap(([field, value]) =>
    value && roles.includes((FIELD_ROLES[node.op] as Record<string, Role>)[field]) ? [value as T] : [],
  );

/** The activations a node reads. */
export const activationInputs = (node: PlanNode): PlanActivation[] => fieldsOf(node, 'input', 'in place');
/** The matrices that a node multiplies with. */
export const matricesOf = (node: PlanNode): Matrix[] => fieldsOf(node, 'matrix', 'experts');
/** The part of the rows of its matrices that a node reads for each token: of experts, those of the chosen ones. */
export const shareRead = (node: PlanNode): number =>
  'chosen' in node ? node.chosen.cols / 2 / matricesOf(node)[0].segments.length : 1;
/** Multiply-adds of a node for one token. */
export const macsOf = (node: PlanNode): number =>
  shareRead(node) * matricesOf(node).reduce((sum, { rows, cols }) => sum + rows * cols, 0);
/** The tables of which a node reads one row for each token. */
export const tablesOf = (node: PlanNode): Matrix[] => fieldsOf(node, 'table');
/** The matrices and tables of a node. */
export const weightsOf = (node: PlanNode): Matrix[] => fieldsOf(node, 'matrix', 'experts', 'table');
/** The vectors of a node, those of its norms among them. */
export const vectorsOf = (node: PlanNode): Vector[] =>
  fieldsOf<Norm | Vector>(node, 'vector').map((one) => ('weight' in one ? one.weight : one));
export const kvCachesOf = (node: PlanNode): KvCache[] => fieldsOf(node, 'kv');
export const convStatesOf = (node: PlanNode): ConvState[] => fieldsOf(node, 'conv');
/** The node with other matrices and tables in place of its own. */
export const mapMatrices = (node: PlanNode, map: (matrix: Matrix) => Matrix): PlanNode =>
  Object.fromEntries(
    Object.entries(node).map(([field, value]) => [
      field,
      weightsOf(node).includes(value) ? map(value as Matrix) : value,
    ]),
  ) as PlanNode;

/** The ops whose lowerings the side files `encoders` and `experts` register. */
export type EncoderOp = EncoderNode['op'];
export type ExpertOp = ExpertNode['op'];

/** How a backend translates the nodes of each op. Without an op it does not compile. */
export type Lowerings<Context, Lowered, Ops extends PlanNode['op'] = Exclude<PlanNode['op'], EncoderOp | ExpertOp>> = {
  [Op in Ops]: (node: NodeOf<Op>, context: Context) => Lowered;
};

/** What a side file registers in a backend: its ops, and ops of the engine with more options. */
export type MoreLowerings<Context, Lowered> = Partial<Lowerings<Context, Lowered, PlanNode['op']>>;

export const lowerNode = <Context, Lowered>(
  lowerings: MoreLowerings<Context, Lowered>,
  node: PlanNode,
  context: Context,
): Lowered => (lowerings[node.op] as unknown as (node: PlanNode, context: Context) => Lowered)(node, context);

/** @throws DeviceError if a plan has an op of a side file that the backend lacks */
export function checkOps({ nodes }: Plan, lowerings: object, backend: string): void {
  const unknown = nodes.find(({ op }) => !(op in lowerings));
  if (unknown) fail('DeviceError', { what: `${backend} lacks an operation of the model`, got: unknown.op });
}

export type AttentionNode = Extract<PlanNode, Attention>;

/** The key/value heads and the width of a head. */
export const headsOf = (node: AttentionNode): { kvHeads: number; headDim: number } =>
  'cache' in node ? node.cache : node;

/** The angle by which each pair of a head turns from one position to the next, [d/2]. */
export const ropeFrequencies = (rope: Rope | undefined, headDim: number): number[] =>
  Array.from({ length: headDim / 2 }, (_, i) =>
    rope ? rope.theta ** (-i / (headDim / 2)) / (rope.factors?.[i] ?? 1) : 0,
  );

/** One activation buffer. */
export interface ActivationSlot {
  rows: 'T' | 1;
  /** width of the widest activation it holds */
  cols: number;
}

export interface Plan {
  nodes: PlanNode[];
  slots: ActivationSlot[];
  /** Their slots are never used again in the same step. A state draws from the first one, the logits [1, V]. */
  outputs: PlanActivation[];
  /** the slot of what each row sees (PrefillOptions.bounds), u32 [T, 4], if a node reads sequences and no state */
  bounds?: number;
}

/**
 * Records the ops that `build` calls; the activations it returns are the plan's outputs.
 * @throws CheckpointError if the factors of RoPE are not d/2
 */
export function recordPlan(build: (op: Ops) => Act | Act[]): Plan {
  const nodes: PlanNode[] = [];
  let next = 0;
  const act = (name: string, rows: 'T' | 1, cols: number): PlanActivation => ({
    id: next++,
    name,
    rows,
    cols,
    slot: -1,
  });
  const push = <N extends PlanNode>(node: N): PlanActivation => (nodes.push(node), node.out);
  /** The input and the norm of a linear map: a LayerNorm is a node before it. */
  const normed = (x: Act, norm?: Norm | LayerNorm): { x: PlanActivation; norm?: Norm } => {
    const input = x as PlanActivation;
    if (!norm?.kind) return { x: input, norm };
    const { weight, bias, eps } = norm;
    return { x: push({ op: 'layerNorm', x: input, weight, bias, eps, out: act(weight.name, x.rows, x.cols) }) };
  };

  const built = build({
    embed: (table) => push({ op: 'embed', table, out: act(table.name, 'T', table.cols) }),
    input: (D) => push({ op: 'input', out: act('input', 'T', D) }),
    norm: (x, norm) =>
      norm.kind
        ? normed(x, norm).x
        : push({ op: 'normAdd', x: x as PlanActivation, norm, out: act(norm.weight.name, x.rows, x.cols) }),
    linear(w, x, { norm, bias, act: activation, post, add } = {}) {
      const rest = add as PlanActivation | undefined;
      const out = (): PlanActivation => act(w.name, x.rows, w.rows);
      /** what the last node adds */
      const addOf = (last: boolean): PlanActivation | undefined => (last ? rest : undefined);
      let y = push({ op: 'linear', w, ...normed(x, norm), bias, add: addOf(!activation && !post), out: out() });
      if (activation) y = push({ op: 'activate', x: y, act: activation, add: addOf(!post), out: out() });
      return post ? push({ op: 'normAdd', x: y, norm: post, add: rest, out: out() }) : y;
    },
    swiglu: (w1, w3, x, { norm }) =>
      push({ op: 'swiglu', w1, w3, ...normed(x, norm), out: act(w1.name, x.rows, w1.rows) }),
    experts(router, { w1, w3, w2 }, x, { norm, bias, top, normalise, scale, add }) {
      const E = w1.segments.length;
      const input = x as PlanActivation;
      const scores = push({ op: 'linear', w: router, x: input, norm, out: act(router.name, x.rows, E) });
      const choice = act(`${router.name}.chosen`, x.rows, 2 * top);
      const chosen = push({ op: 'selectExperts', scores, bias, top, normalise, scale, out: choice });
      const out = act(w1.name, x.rows, (top * w1.rows) / E);
      const g = push({ op: 'expertsSwiglu', w1, w3, x: input, chosen, norm, out });
      const rest = add as PlanActivation;
      return push({ op: 'expertsLinear', w: w2, x: g, chosen, add: rest, out: act(w2.name, x.rows, w2.rows / E) });
    },
    shortConv(bcx, taps, state, { bias, gated = true, causal } = {}) {
      const x = bcx as PlanActivation;
      const out = act(taps.name, x.rows, gated ? x.cols / 3 : x.cols);
      return state && gated
        ? push({ op: 'shortConv', bcx: x, taps, bias, state, out })
        : push({ op: 'convolve', x, taps, bias, state, gated, causal, out });
    },
    attend(x, cache, { qNorm, kNorm, heads, kvHeads = heads, rope, window, gate }) {
      const headDim = cache?.headDim ?? (x.cols - (gate ? heads : 0)) / (heads + 2 * kvHeads);
      const factors = rope?.factors?.length ?? headDim / 2;
      if (factors !== headDim / 2)
        fail('CheckpointError', { what: 'The factors of RoPE are wrong', got: factors, wanted: headDim / 2 });
      const out = act(`${x.name}.attend`, x.rows, heads * headDim);
      const qkv = x as PlanActivation;
      const options = { qNorm, kNorm, heads, rope, gate, out };
      if (!cache) return push({ op: 'attendWithin', qkv, kvHeads, headDim, ...options });
      return rope?.pairs === 'interleaved'
        ? push({ op: 'attendInterleaved', qkv, cache, ...options, rope, window })
        : push({ op: 'attend', qkv, cache, ...options, window });
    },
    last: (x) => push({ op: 'last', x: x as PlanActivation, out: act(`${x.name}.last`, 1, x.cols) }),
  });

  const outputs = [built].flat() as PlanActivation[];
  const slots = assignSlots(nodes, outputs);
  const within = nodes.some((node) => 'kvHeads' in node || ('gated' in node && !node.state));
  return { nodes, slots, outputs, ...(within && { bounds: slots.push({ rows: 'T', cols: 4 }) - 1 }) };
}

/** Linear scan: a slot is free after its last reader, that of an output never. */
function assignSlots(nodes: PlanNode[], outputs: PlanActivation[]): ActivationSlot[] {
  const lastReader = new Map<PlanActivation, number>();
  nodes.forEach((node, i) => activationInputs(node).forEach((x) => lastReader.set(x, i)));
  for (const output of outputs) lastReader.set(output, nodes.length);

  const slots: ActivationSlot[] = [];
  const free: number[] = [];
  nodes.forEach((node, i) => {
    const out = node.out;
    const dying = activationInputs(node).filter((x) => lastReader.get(x) === i);
    const inPlace = fieldsOf<PlanActivation>(node, 'in place').find(
      (x) => x.rows === out.rows && dying.filter((y) => y === x).length === 1,
    );
    if (inPlace) out.slot = inPlace.slot;
    else {
      const at = free.findIndex((s) => slots[s].rows === out.rows);
      out.slot = at < 0 ? slots.push({ rows: out.rows, cols: 0 }) - 1 : free.splice(at, 1)[0];
    }
    slots[out.slot].cols = Math.max(slots[out.slot].cols, out.cols);
    for (const x of dying) if (x !== inPlace && !free.includes(x.slot)) free.push(x.slot);
  });
  return slots;
}
