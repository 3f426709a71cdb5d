/**
 * The forward pass, recorded: a flat list of nodes in execution order. It is recorded once per model and does not depend on T;
 * each backend lowers it to what it replays (dispatches, an op list in shared memory, plain loops).
 */
import type { Act, Attend, ConvState, KvCache, Matrix, Norm, Ops, Vector } from '../model/ops';

/** An activation of a plan. Two activations share a slot when the first is dead before the second is written. */
export interface PlanAct extends Act {
  readonly id: number;
  /** which activation buffer holds it; assigned by `record` */
  slot: number;
}

export type Node =
  | { op: 'embed'; table: Matrix; out: PlanAct }
  | { op: 'linear'; w: Matrix; x: PlanAct; norm?: Norm; bias?: Vector; add?: PlanAct; out: PlanAct }
  | { op: 'swiglu'; w1: Matrix; w3: Matrix; x: PlanAct; norm: Norm; out: PlanAct }
  | { op: 'shortConv'; bcx: PlanAct; taps: Vector; bias?: Vector; state: ConvState; out: PlanAct }
  | ({ op: 'attend'; qkv: PlanAct; cache: KvCache; out: PlanAct } & Attend)
  | { op: 'last'; x: PlanAct; out: PlanAct };

export interface Slot {
  rows: 'T' | 1;
  /** width of the widest activation it holds */
  cols: number;
}

export interface Plan {
  nodes: Node[];
  slots: Slot[];
  /** the logits, [1, V] */
  output: PlanAct;
}

/** The activations a node reads. */
export function inputs(node: Node): PlanAct[] {
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

/** Records what `build` calls; its result is the plan's output. */
export function record(build: (op: Ops) => Act): Plan {
  const nodes: Node[] = [];
  let next = 0;
  const act = (name: string, rows: 'T' | 1, cols: number): PlanAct => ({ id: next++, name, rows, cols, slot: -1 });
  const push = <N extends Node>(node: N): PlanAct => (nodes.push(node), node.out);

  const output = build({
    embed: (table) => push({ op: 'embed', table, out: act(table.name, 'T', table.cols) }),
    linear: (w, x, options = {}) =>
      push({ op: 'linear', w, x: x as PlanAct, ...options, add: options.add as PlanAct | undefined, out: act(w.name, x.rows, w.rows) }),
    swiglu: (w1, w3, x, { norm }) => push({ op: 'swiglu', w1, w3, x: x as PlanAct, norm, out: act(w1.name, x.rows, w1.rows) }),
    shortConv: (bcx, taps, state, { bias } = {}) =>
      push({ op: 'shortConv', bcx: bcx as PlanAct, taps, bias, state, out: act(taps.name, bcx.rows, state.channels) }),
    attend: (qkv, cache, options) =>
      push({ op: 'attend', qkv: qkv as PlanAct, cache, ...options, out: act(options.qNorm.weight.name, qkv.rows, options.heads * cache.headDim) }),
    last: (x) => push({ op: 'last', x: x as PlanAct, out: act(`${x.name}.last`, 1, x.cols) }),
  }) as PlanAct;

  return { nodes, slots: assignSlots(nodes, output), output };
}

/** Linear scan: a slot is free after the last reader. `add` alone may be overwritten in place, because it is read element by element. */
function assignSlots(nodes: Node[], output: PlanAct): Slot[] {
  const lastUse = new Map<PlanAct, number>([[output, nodes.length]]);
  nodes.forEach((node, i) => {
    for (const x of inputs(node)) if (x !== output) lastUse.set(x, i);
  });

  const slots: Slot[] = [];
  const free: number[] = [];
  nodes.forEach((node, i) => {
    const out = node.out;
    const dying = inputs(node).filter((x) => lastUse.get(x) === i);
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

/** One line a node, for logs and tests. */
export const printPlan = (plan: Plan): string =>
  plan.nodes
    .map((node) => `${node.op.padEnd(9)} ${inputs(node).map((x) => `#${x.slot}`).join(' ').padEnd(6)} → #${node.out.slot} [${node.out.rows}, ${node.out.cols}] ${node.out.name}`)
    .join('\n');
