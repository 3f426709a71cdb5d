/** A plan as dispatches for a bucket of T tokens: one list of steps a node, in the plan's order. */
import { fail } from '../../errors';
import { inputs, type Node, type Plan, type PlanAct } from '../plan';
import { ANY, sumLibrary, type Gpu, type GpuVector, type Region, type Step } from './gpu';
import { convInSteps, embedSteps, linearSteps, swigluSteps } from './linear';
import type { GpuMatrix } from './repack';
import { attends, cut, RING, ropeKey, SPAN, type State } from './state';
import type { Vector } from '../../model/ops';

export const regionOf = (vector: Vector): Region => (vector as GpuVector).region;

/** Where the plan's output lies after a step of a bucket of T. */
export const outputRegion = (plan: Plan, state: State, T: number): Region => place(plan, state, T)(plan.output);

/** @param reach positions that attention of one token must see: it is cut into spans for that */
export function lower(gpu: Gpu, plan: Plan, state: State, T: number, reach = 1): Step[][] {
  const at = place(plan, state, T);
  const steps = plan.nodes.map((node) => lowerNode(gpu, node, state, at, node.out.rows === 1 ? 1 : T, reach));
  if (T === 1) plan.nodes.forEach((_, i) => fuseConvolution(gpu, plan, i, state, at, steps));
  return steps;
}

/** in_proj and the convolution behind it in one dispatch: a workgroup that makes B, C and x of a channel can go on to its convolution. */
function fuseConvolution(gpu: Gpu, plan: Plan, i: number, state: State, at: (act: PlanAct) => Region, steps: Step[][]): void {
  const [map, conv] = [plan.nodes[i], plan.nodes[i + 1]];
  if (map.op !== 'linear' || conv?.op !== 'shortConv' || conv.bcx !== map.out) return;
  if (map.bias || map.add || !map.norm || map.out === plan.output || plan.nodes.some((node) => node !== conv && inputs(node).includes(map.out))) return;
  const { layer, channels, length } = conv.state;
  const fused = convInSteps(gpu, {
    inProj: map.w as GpuMatrix,
    x: at(map.x),
    y: at(conv.out),
    norm: map.norm,
    taps: regionOf(conv.taps),
    bias: conv.bias && regionOf(conv.bias),
    ring: state.rings.get(layer)!,
    channels,
    length,
    slots: RING,
  });
  if (fused) [steps[i], steps[i + 1]] = [fused, []];
}

/** With one token, its row is the last row: `last` is no dispatch but another name, unless it is the output itself. */
function place(plan: Plan, state: State, T: number): (act: PlanAct) => Region {
  const alias = new Map<PlanAct, PlanAct>();
  if (T === 1) for (const node of plan.nodes) if (node.op === 'last' && node.out !== plan.output) alias.set(node.out, node.x);
  return (act) => state.slots[(alias.get(act) ?? act).slot];
}

function lowerNode(gpu: Gpu, node: Node, state: State, at: (act: PlanAct) => Region, T: number, reach: number): Step[] {
  const y = at(node.out);
  switch (node.op) {
    case 'embed':
      return embedSteps(gpu, node.table as GpuMatrix, y, T);
    case 'linear': {
      const { w, x, norm, bias, add } = node;
      return linearSteps(gpu, { w: w as GpuMatrix, x: at(x), y, T, norm, bias: bias && regionOf(bias), add: add && at(add) });
    }
    case 'swiglu':
      return swigluSteps(gpu, { w1: node.w1 as GpuMatrix, w3: node.w3 as GpuMatrix, x: at(node.x), y, T, norm: node.norm });
    case 'shortConv':
      return shortConvSteps(gpu, node, at(node.bcx), y, state, T);
    case 'attend':
      return T === 1 ? attendSteps(gpu, node, at(node.qkv), y, state, reach) : attendPrefillSteps(gpu, node, at(node.qkv), y, state, T);
    case 'last':
      return at(node.x) === y ? [] : [lastStep(gpu, node.x.cols, at(node.x), y)];
  }
}

function shortConvSteps(gpu: Gpu, node: Node & { op: 'shortConv' }, bcx: Region, y: Region, state: State, T: number): Step[] {
  const { channels: D, length: L, layer } = node.state;
  if (L > RING) fail('CheckpointError', { what: `The short convolution of layer ${layer} is too long`, got: L, wanted: `≤ ${RING}` });
  const ring = state.rings.get(layer)!;
  const taps = regionOf(node.taps);
  const appends = T <= RING - (L - 1);
  const grid: Step['grid'] = [Math.ceil(D / 64), T, 1];
  const conv: Step = {
    label: `short_conv${node.bias ? '.bias' : ''}`,
    sources: ['lib/step', 'short_conv'],
    constants: { D, L, R: RING, biased: node.bias ? 1 : 0, appends: appends ? 1 : 0 },
    bindings: { bcx, taps, bias: node.bias ? regionOf(node.bias) : taps, ring, y, step: gpu.step },
    grid,
  };
  if (appends) return [conv];
  return [conv, { label: 'conv_append', sources: ['lib/step', 'conv_append'], constants: { D, R: RING }, bindings: { bcx, ring, step: gpu.step }, grid }];
}

function attendShape({ heads: H, cache: { kvHeads: K, headDim: d, layer } }: Node & { op: 'attend' }): { H: number; K: number; d: number } {
  if (d % 8 || d > 128 || H % K || H / K > 32)
    fail('CheckpointError', { what: `Attention of layer ${layer} has a shape that the kernels do not know`, got: `${H} heads, ${K} kv heads of ${d}`, wanted: 'width a multiple of 8, at most 128' });
  return { H, K, d };
}

const spanFor = ({ tunings }: Gpu, shape: string): number => tunings.get(shape)?.span ?? tunings.get(ANY)?.span ?? SPAN;
const attendName = (node: Node & { op: 'attend' }, halves: boolean): string => `attend ${halves ? 'f16' : 'f32'} ${node.heads}/${node.cache.kvHeads}×${node.cache.headDim}`;

/** Positions of the shortest spans in force for a plan. */
export const spanOf = (gpu: Gpu, plan: Plan, { halves }: State): number => Math.min(SPAN, ...attends(plan).map((node) => spanFor(gpu, attendName(node, halves))));

/** Norm, rotation, append and attention of one token in one dispatch; where there are several spans, one more that merges them. */
function attendSteps(gpu: Gpu, node: Node & { op: 'attend' }, qkv: Region, y: Region, state: State, reach: number): Step[] {
  const { H, K, d } = attendShape(node);
  const { keys, values } = state.caches.get(node.cache.layer)!;
  const shape = attendName(node, state.halves);
  const { span, spans } = cut(reach, spanFor(gpu, shape));
  const attend: Step = {
    label: `attend.${state.halves ? 'f16' : 'f32'}${spans > 1 ? `.spans_${spans}` : ''}`,
    shape,
    sources: [sumLibrary(gpu.features), 'lib/step', 'lib/rope', kvLibrary(state), 'attend'],
    // a single span is one kernel, whatever could have been its length
    constants: { H, K, d, spans, SPAN: spans > 1 ? span : SPAN, q_eps: node.qNorm.eps, k_eps: node.kNorm.eps, group_size: SPAN / 4 },
    bindings: {
      qkv,
      q_norm: regionOf(node.qNorm.weight),
      k_norm: regionOf(node.kNorm.weight),
      rope: state.ropes.get(ropeKey(node.ropeTheta, d))!,
      keys,
      values,
      y: spans > 1 ? state.spans : y,
      step: gpu.step,
    },
    grid: [K * Math.ceil(H / K / 4), spans, 1],
  };
  if (spans === 1) return [attend];
  const merge: Step = {
    label: 'attend_merge',
    sources: ['lib/step', 'attend_merge'],
    constants: { d, spans, SPAN: span },
    bindings: { part: state.spans, y, step: gpu.step },
    grid: [H, 1, 1],
  };
  return [attend, merge];
}

function attendPrefillSteps(gpu: Gpu, node: Node & { op: 'attend' }, qkv: Region, y: Region, state: State, T: number): Step[] {
  const { H, K, d } = attendShape(node);
  const { keys, values } = state.caches.get(node.cache.layer)!;
  const cache = { keys, values, step: gpu.step };
  const storage = state.halves ? 'f16' : 'f32';
  return [
    {
      label: `rope_append.${storage}`,
      sources: [sumLibrary(gpu.features), 'lib/step', 'lib/rope', kvLibrary(state), 'rope_append'],
      constants: { H, K, d, q_eps: node.qNorm.eps, k_eps: node.kNorm.eps, group_size: 2 ** Math.ceil(Math.log2(Math.max(d / 2, 4))) },
      bindings: { qkv, q_norm: regionOf(node.qNorm.weight), k_norm: regionOf(node.kNorm.weight), rope: state.ropes.get(ropeKey(node.ropeTheta, d))!, ...cache },
      grid: [H + 2 * K, T, 1],
    },
    {
      label: `attend_prefill.${storage}`,
      sources: ['lib/step', kvLibrary(state), 'attend_prefill'],
      constants: { H, K, d },
      bindings: { qkv, y, ...cache },
      grid: [Math.ceil(T / Math.floor(32 / (H / K))), K, 1],
    },
  ];
}

const kvLibrary = (state: State): string => (state.halves ? 'lib/kv_f16' : 'lib/kv_f32');

/** y = the last row of x */
export const lastStep = (gpu: Gpu, cols: number, x: Region, y: Region): Step => ({
  label: 'copy_last',
  sources: ['lib/step', 'copy_last'],
  constants: { cols },
  bindings: { x, y, step: gpu.step },
  grid: [Math.ceil(cols / 64), 1, 1],
});
