/** Lowers a plan to dispatches for a bucket of T tokens: one list per node, in the order of the plan. */
import { CONV_RING_POSITIONS } from 'virtual:rivulet-kernels';
import { fail } from '../../errors';
import {
  activationInputs,
  headsOf,
  kvCachesOf,
  lowerNode,
  matricesOf,
  shareRead,
  type AttentionNode,
  type Lowerings,
  type MoreLowerings,
  type NodeOf,
  type Plan,
  type PlanActivation,
  type PlanNode,
} from '../plan';
import {
  ANY_KERNEL,
  reductionLibrary,
  type DispatchContext,
  type GpuWeightVector,
  type BufferRegion,
  type Dispatch,
} from './dispatch';
import { inProjConvDispatches, embedDispatches, linearDispatches, swigluDispatches } from './linear';
import type { GpuMatrix } from './repack';
import { attentionNodes, splitAttentionIntoSpans, ropeOf, MAX_ATTENTION_SPAN, type ProgramScratch } from './scratch';
import { keyCacheBytes, type PlanBuffers } from './state_buffers';
import type { ConvState, Norm, Vector } from '../../model/ops';

export const weightVectorRegion = (vector: Vector): BufferRegion => (vector as GpuWeightVector).region;

/** The regions of the plan's outputs. */
export const planOutputRegions = (plan: Plan, scratch: ProgramScratch): BufferRegion[] =>
  plan.outputs.map(activationRegions(plan, scratch, 1));

/** @param context positions that attention of one token covers: it is split into spans for them */
export function lowerPlanToDispatches(
  gpu: DispatchContext,
  plan: Plan,
  state: PlanBuffers,
  T: number,
  context = 1,
): Dispatch[][] {
  const at = activationRegions(plan, state, T);
  const dispatches = plan.nodes.map((node) =>
    lowerNode(LOWERINGS, node, {
      gpu,
      state,
      at,
      T: node.out.rows === 1 ? 1 : T,
      context,
      bounds: state.slots[plan.bounds!],
    }),
  );
  if (T === 1) plan.nodes.forEach((_, i) => fuseConvolution(gpu, plan, i, state, at, dispatches));
  return dispatches;
}

/**
 * Bytes of a node's matrices, keys and values that one of its dispatches reads for a token at the end of `positions`.
 */
export function bytesRead(
  { bindings }: Dispatch,
  node: PlanNode,
  { caches, f16Cache }: PlanBuffers,
  positions: number,
): number {
  const bytes = new Map<BufferRegion | undefined, number | undefined>();
  const share = shareRead(node);
  for (const matrix of matricesOf(node))
    for (const { w, scales } of (matrix as GpuMatrix).parts)
      bytes.set(w, share * w.size).set(scales, scales && share * scales.size);
  for (const cache of kvCachesOf(node))
    for (const region of Object.values(caches.get(cache.layer)!))
      bytes.set(region, keyCacheBytes(cache, positions, f16Cache));
  return Object.values(bindings).reduce((sum, region) => sum + (bytes.get(region) ?? 0), 0);
}

/**
 * Fuses in_proj with the convolution after it: the workgroup that computes B, C and x of a channel also computes its
 * convolution.
 */
function fuseConvolution(
  gpu: DispatchContext,
  plan: Plan,
  i: number,
  state: PlanBuffers,
  at: (act: PlanActivation) => BufferRegion,
  dispatches: Dispatch[][],
): void {
  const [map, conv] = [plan.nodes[i], plan.nodes[i + 1]];
  if (map.op !== 'linear' || conv?.op !== 'shortConv' || conv.bcx !== map.out) return;
  if (
    map.bias ||
    map.add ||
    !map.norm ||
    plan.outputs.includes(map.out) ||
    plan.nodes.some((node) => node !== conv && activationInputs(node).includes(map.out))
  )
    return;
  const { layer, channels, length } = conv.state;
  const fused = inProjConvDispatches(gpu, {
    inProj: map.w as GpuMatrix,
    x: at(map.x),
    y: at(conv.out),
    norm: map.norm,
    taps: weightVectorRegion(conv.taps),
    bias: conv.bias && weightVectorRegion(conv.bias),
    ring: state.rings.get(layer)!,
    channels,
    length,
    slots: CONV_RING_POSITIONS,
  });
  if (fused) [dispatches[i], dispatches[i + 1]] = [fused, []];
}

/**
 * The region of each activation. With one token `last` needs no dispatch: it is another name for its input, unless it
 * is the output. With several outputs it is a copy, because a node of another output may overwrite the input.
 */
function activationRegions(
  { nodes, outputs }: Plan,
  { slots }: ProgramScratch,
  T: number,
): (act: PlanActivation) => BufferRegion {
  const alias = new Map<PlanActivation, PlanActivation>();
  if (T === 1 && outputs.length === 1)
    for (const node of nodes) if (node.op === 'last' && node.out !== outputs[0]) alias.set(node.out, node.x);
  return (act) => slots[(alias.get(act) ?? act).slot];
}

export interface WebGpuLoweringContext {
  gpu: DispatchContext;
  state: PlanBuffers;
  at(act: PlanActivation): BufferRegion;
  /** most rows of the output */
  T: number;
  /** positions that attention of one token covers */
  context: number;
  /** of sequences: begin and end for each token, u32 [T, 2] */
  bounds: BufferRegion | undefined;
}

export const LOWERINGS: Lowerings<WebGpuLoweringContext, Dispatch[]> = {
  embed: ({ table, out }, { gpu, at, T }) => embedDispatches(gpu, table as GpuMatrix, at(out), T),
  input: () => [],
  linear: ({ w, x, norm, bias, add, out }, { gpu, at, T }) =>
    linearDispatches(gpu, {
      w: w as GpuMatrix,
      x: at(x),
      y: at(out),
      T,
      norm,
      bias: bias && weightVectorRegion(bias),
      add: add && at(add),
    }),
  swiglu: ({ w1, w3, x, norm, out }, { gpu, at, T }) =>
    swigluDispatches(gpu, { w1: w1 as GpuMatrix, w3: w3 as GpuMatrix, x: at(x), y: at(out), T, norm }),
  normAdd: ({ norm, add, out }, { gpu, at, T }) => [
    {
      label: 'norm_add',
      sources: [reductionLibrary(gpu.features), 'lib/step', 'norm_add'],
      constants: { cols: out.cols, eps: norm.eps, added: Number(!!add), group_size: 256 },
      bindings: {
        norm: weightVectorRegion(norm.weight),
        add: add ? at(add) : weightVectorRegion(norm.weight),
        y: at(out), // the input, in place
        step: gpu.step,
      },
      grid: [T, 1, 1],
    },
  ],
  shortConv: shortConvDispatches,
  attend: attendCached,
  last: ({ x, out }, { gpu, at }) => (at(x) === at(out) ? [] : [copyLastRowDispatch(gpu, x.cols, at(x), at(out))]),
};

/** Adds the lowerings of a side file, for plans that are compiled later. */
export const registerWebGpuLowerings = (lowerings: MoreLowerings<WebGpuLoweringContext, Dispatch[]>): void =>
  void Object.assign(LOWERINGS, lowerings);

/** @throws CheckpointError if it cannot hold the past of a token */
export function convolutionRing(rings: PlanBuffers['rings'], { layer, length }: ConvState): BufferRegion {
  if (length > CONV_RING_POSITIONS)
    fail('CheckpointError', {
      what: `The short convolution of layer ${layer} is too long`,
      got: length,
      wanted: `at most ${CONV_RING_POSITIONS}`,
    });
  return rings.get(layer)!;
}

function shortConvDispatches(node: NodeOf<'shortConv'>, { gpu, state, at, T }: WebGpuLoweringContext): Dispatch[] {
  const { channels: D, length: L } = node.state;
  const [bcx, ring, taps] = [at(node.bcx), convolutionRing(state.rings, node.state), weightVectorRegion(node.taps)];
  const appends = T <= CONV_RING_POSITIONS - (L - 1);
  const grid: Dispatch['grid'] = [Math.ceil(D / 64), T, 1];
  const conv: Dispatch = {
    label: `short_conv${node.bias ? '.bias' : ''}`,
    sources: ['lib/step', 'short_conv'],
    constants: { D, L, R: CONV_RING_POSITIONS, biased: node.bias ? 1 : 0, appends: appends ? 1 : 0 },
    bindings: {
      bcx,
      taps,
      bias: node.bias ? weightVectorRegion(node.bias) : taps,
      ring,
      y: at(node.out),
      step: gpu.step,
    },
    grid,
  };
  if (appends) return [conv];
  return [
    conv,
    {
      label: 'conv_append',
      sources: ['lib/step', 'conv_append'],
      constants: { D, R: CONV_RING_POSITIONS },
      bindings: { bcx, ring, step: gpu.step },
      grid,
    },
  ];
}

/** The constants of a shape. */
export function attendShape(node: AttentionNode): { H: number; K: number; d: number; gate?: number } {
  const { heads: H, gate } = node;
  const { kvHeads: K, headDim: d } = headsOf(node);
  if (d % 8 || d > 128 || H % K || H / K > 32 || (gate && H % 4))
    fail('CheckpointError', {
      what: `The attention of ${node.out.name} has a shape that the kernels do not support`,
      got: `${H} query heads, ${K} key/value heads, head width ${d}`,
      wanted: `a head width that is a multiple of 8 and at most 128${gate ? ', and heads in fours' : ''}`,
    });
  return { H, K, d, ...(gate && { gate: H }) };
}

/** A kernel without norms or tables binds something else in their place. */
const normOrNothing = (norm: Norm | undefined, gpu: DispatchContext): BufferRegion =>
  norm ? weightVectorRegion(norm.weight) : gpu.step;
/** The norms of q and k, without which their eps is negative, and the table of RoPE. */
export const headPreparation = (
  node: AttentionNode,
  { gpu, state }: WebGpuLoweringContext,
): Pick<Dispatch, 'constants' | 'bindings'> => ({
  constants: { q_eps: node.qNorm?.eps ?? -1, k_eps: node.kNorm?.eps ?? -1 },
  bindings: {
    q_norm: normOrNothing(node.qNorm, gpu),
    k_norm: normOrNothing(node.kNorm, gpu),
    rope: state.ropes.get(`${ropeOf(node)}`)!,
  },
});

const tunedSpan = ({ tunings }: DispatchContext, tuneKey: string): number =>
  tunings.get(tuneKey)?.span ?? tunings.get(ANY_KERNEL)?.span ?? MAX_ATTENTION_SPAN;
function attendTuneKey(node: AttentionNode, f16Cache: boolean): string {
  const { kvHeads, headDim } = headsOf(node);
  return `attend ${cacheFormat(f16Cache)} ${node.heads}/${kvHeads}×${headDim}`;
}

/** Positions of the shortest attention span of a plan. */
export const shortestTunedSpan = (gpu: DispatchContext, plan: Plan, f16Cache: boolean): number =>
  Math.min(MAX_ATTENTION_SPAN, ...attentionNodes(plan).map((node) => tunedSpan(gpu, attendTuneKey(node, f16Cache))));

export function attendCached(node: NodeOf<'attend'>, context: WebGpuLoweringContext): Dispatch[] {
  return (context.T === 1 ? attendDispatches : attendPrefillDispatches)(node, context);
}

/** One dispatch for norm, RoPE, append and attention of one token; with several spans, a second one merges them. */
function attendDispatches(node: NodeOf<'attend'>, lowering: WebGpuLoweringContext): Dispatch[] {
  const { gpu, state, at, context } = lowering;
  const { H, K, d, ...gate } = attendShape(node);
  const { constants, bindings } = headPreparation(node, lowering);
  const window = node.window && { window: node.window };
  const { keys, values } = state.caches.get(node.cache.layer)!;
  const y = at(node.out);
  const tuneKey = attendTuneKey(node, state.f16Cache);
  const { span, spans } = splitAttentionIntoSpans(
    Math.min(context, (node.window ?? context) + MAX_ATTENTION_SPAN), // a window begins within a span
    tunedSpan(gpu, tuneKey),
  );
  const attend: Dispatch = {
    label: `attend.${cacheFormat(state.f16Cache)}${spans > 1 ? `.spans_${spans}` : ''}`,
    tuneKey,
    sources: [reductionLibrary(gpu.features), 'lib/step', 'lib/rope', kvLibrary(state.f16Cache), 'attend'],
    // the same constants for any single span, so that it is one pipeline
    constants: {
      H,
      K,
      d,
      spans,
      SPAN: spans > 1 ? span : MAX_ATTENTION_SPAN,
      ...constants,
      group_size: MAX_ATTENTION_SPAN / 4,
      ...gate,
      ...window,
    },
    bindings: {
      qkv: at(node.qkv),
      ...bindings,
      keys,
      values,
      y: spans > 1 ? state.spans : y,
      step: gpu.step,
    },
    grid: [K * Math.ceil(H / K / 4), spans, 1],
  };
  if (spans === 1) return [attend];
  const merge: Dispatch = {
    label: 'attend_merge',
    partOf: attend,
    sources: ['lib/step', 'attend_merge'],
    constants: { d, spans, SPAN: span, ...window },
    bindings: { span_results: state.spans, y, step: gpu.step },
    grid: [H, 1, 1],
  };
  return [attend, merge];
}

function attendPrefillDispatches(node: NodeOf<'attend'>, lowering: WebGpuLoweringContext): Dispatch[] {
  const { gpu, state, at, T } = lowering;
  const { H, K, d, ...gate } = attendShape(node);
  const { constants, bindings } = headPreparation(node, lowering);
  const { keys, values } = state.caches.get(node.cache.layer)!;
  const qkv = at(node.qkv);
  const cache = { keys, values, step: gpu.step };
  const storage = cacheFormat(state.f16Cache);
  return [
    {
      label: `rope_append.${storage}`,
      sources: [reductionLibrary(gpu.features), 'lib/step', 'lib/rope', kvLibrary(state.f16Cache), 'rope_append'],
      constants: {
        H,
        K,
        d,
        ...constants,
        group_size: 2 ** Math.ceil(Math.log2(Math.max(d / 2, 4))),
        ...gate,
      },
      bindings: { qkv, ...bindings, ...cache },
      grid: [H + 2 * K, T, 1],
    },
    {
      label: `attend_prefill.${storage}`,
      sources: ['lib/step', kvLibrary(state.f16Cache), 'attend_prefill'],
      constants: { H, K, d, ...gate, ...(node.window && { window: node.window }) },
      bindings: { qkv, y: at(node.out), ...cache },
      grid: [Math.ceil(T / Math.floor(32 / (H / K))), K, 1],
    },
  ];
}

const cacheFormat = (f16Cache: boolean): string => (f16Cache ? 'f16' : 'f32');
const kvLibrary = (f16Cache: boolean): string => `lib/kv_${cacheFormat(f16Cache)}`;

/** y = the last row of x: the kernel with the least work */
export const copyLastRowDispatch = (
  gpu: DispatchContext,
  cols: number,
  x: BufferRegion,
  y: BufferRegion,
): Dispatch => ({
  label: 'copy_last',
  sources: ['lib/step', 'copy_last'],
  constants: { cols },
  bindings: { x, y, step: gpu.step },
  grid: [Math.ceil(cols / 64), 1, 1],
});
