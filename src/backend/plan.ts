/**
 * A plan is the recorded forward pass: a flat list of nodes in execution order. It is recorded once per model and does not depend on T.
 * Each backend lowers it to its own form: GPU dispatches, an op list in WASM memory, or plain loops.
 */
import type { Act, Attend, ConvState, KvCache, Matrix, Norm, Ops, Vector } from '../model/ops';

/** An activation of a plan. Two activations share a slot when the first has no reader left before the second is written. */
export interface PlanActivation extends Act {
  readonly id: number;
  /** index of the activation buffer that holds it; assigned by `recordPlan` */
  slot: number;
}

export type PlanNode =
  | { op: 'embed'; table: Matrix; out: PlanActivation }
  | { op: 'linear'; w: Matrix; x: PlanActivation; norm?: Norm; bias?: Vector; add?: PlanActivation; out: PlanActivation }
  | { op: 'swiglu'; w1: Matrix; w3: Matrix; x: PlanActivation; norm: Norm; out: PlanActivation }
  | { op: 'shortConv'; bcx: PlanActivation; taps: Vector; bias?: Vector; state: ConvState; out: PlanActivation }
  | ({ op: 'attend'; qkv: PlanActivation; cache: KvCache; out: PlanActivation } & Attend)
  | { op: 'last'; x: PlanActivation; out: PlanActivation };

/** One activation buffer. */
export interface ActivationSlot {
  rows: 'T' | 1;
  /** width of the widest activation it holds */
  cols: number;
}

export interface Plan {
  nodes: PlanNode[];
  slots: ActivationSlot[];
  /** the logits, [1, V] */
  output: PlanActivation;
}

/** The activations a node reads. */
export function activationInputs(node: PlanNode): PlanActivation[] {
  switch (node.op) {
    case 'embed':
      return [];
    case 'linear':
      return node.add ? [node.x, node.add] : [node.x];
    case 'swiglu':
    case 'last':
      return [node.x];
    case 'shortConv':
      return [node.bcx];
    case 'attend':
      return [node.qkv];
  }
}

/** Records the ops that `build` calls; the activation it returns is the plan's output. */
export function recordPlan(build: (op: Ops) => Act): Plan {
  const nodes: PlanNode[] = [];
  let next = 0;
  const act = (name: string, rows: 'T' | 1, cols: number): PlanActivation => ({ id: next++, name, rows, cols, slot: -1 });
  const push = <N extends PlanNode>(node: N): PlanActivation => (nodes.push(node), node.out);

  const output = build({
    embed: (table) => push({ op: 'embed', table, out: act(table.name, 'T', table.cols) }),
    linear: (w, x, options = {}) =>
      push({ op: 'linear', w, x: x as PlanActivation, ...options, add: options.add as PlanActivation | undefined, out: act(w.name, x.rows, w.rows) }),
    swiglu: (w1, w3, x, { norm }) => push({ op: 'swiglu', w1, w3, x: x as PlanActivation, norm, out: act(w1.name, x.rows, w1.rows) }),
    shortConv: (bcx, taps, state, { bias } = {}) =>
      push({ op: 'shortConv', bcx: bcx as PlanActivation, taps, bias, state, out: act(taps.name, bcx.rows, state.channels) }),
    attend: (qkv, cache, options) =>
      push({ op: 'attend', qkv: qkv as PlanActivation, cache, ...options, out: act(options.qNorm.weight.name, qkv.rows, options.heads * cache.headDim) }),
    last: (x) => push({ op: 'last', x: x as PlanActivation, out: act(`${x.name}.last`, 1, x.cols) }),
  }) as PlanActivation;

  return { nodes, slots: assignSlots(nodes, output), output };
}

/** Linear scan: a slot is free after its last reader. Only `add` may be overwritten in place, because it is read element by element. */
function assignSlots(nodes: PlanNode[], output: PlanActivation): ActivationSlot[] {
  const lastReader = new Map<PlanActivation, number>([[output, nodes.length]]);
  nodes.forEach((node, i) => {
    for (const x of activationInputs(node)) if (x !== output) lastReader.set(x, i);
  });

  const slots: ActivationSlot[] = [];
  const free: number[] = [];
  nodes.forEach((node, i) => {
    const out = node.out;
    const dying = activationInputs(node).filter((x) => lastReader.get(x) === i);
    const inPlace = node.op === 'linear' && node.add && node.add !== node.x && node.add.rows === out.rows && dying.includes(node.add) ? node.add : undefined;
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
