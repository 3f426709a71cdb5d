/** What all states of a program compute with: activation slots, RoPE tables, the results of attention spans. */
import { headsOf, ropeFrequencies, type AttentionNode, type Plan } from '../plan';
import type { CompileOptions } from '../backend';
import type { BufferGroup } from './buffer_group';
import type { BufferRegion, DispatchContext } from './dispatch';
import { expertBufferBytes, type ExpertBuffers } from './expert_buffers';

export interface ProgramScratch {
  /** one buffer per activation slot (dispatch.ts gives the reason) */
  slots: BufferRegion[];
  /** tables of lib/rope.wgsl, by their frequencies */
  ropes: Map<string, BufferRegion>;
  /** partial results of attention spans, used by one layer at a time */
  spans: BufferRegion;
  /** absent in a plan without experts */
  experts?: ExpertBuffers;
  f16Cache: boolean;
}

/** Most positions of one workgroup of attend.wgsl, and the default. */
export const MAX_ATTENTION_SPAN = 512;
/** At most 16 spans: the merge reads all of them. Longer contexts use longer spans, up to MAX_ATTENTION_SPAN. */
const MAX_SHORT_SPANS = 16;

const roundUpToPower = (x: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, x)));

/** The context length for which the dispatches of `positions` are prepared: the span times a power of two. */
export const contextBucket = (positions: number, span: number): number => span * roundUpToPower(positions / span);

/** Splits attention over `positions` into spans, if possible of the tuned length. */
export function splitAttentionIntoSpans(positions: number, tunedSpan: number): { span: number; spans: number } {
  const span = Math.min(MAX_ATTENTION_SPAN, Math.max(tunedSpan, roundUpToPower(positions / MAX_SHORT_SPANS)));
  return { span, spans: roundUpToPower(positions / span) };
}

/** The angle by which each pair turns from one position to the next: nodes with equal ones share a table. */
export const ropeOf = (node: AttentionNode): number[] => ropeFrequencies(node.rope, headsOf(node).headDim);

/** They share RoPE tables and the results of spans. */
export const attentionNodes = (plan: Plan): AttentionNode[] => plan.nodes.filter((node) => 'qkv' in node);

/** @throws MemoryError; then the caller releases `group` */
export async function allocateScratch(
  gpu: DispatchContext,
  group: BufferGroup,
  plan: Plan,
  { contextLength, prefillBatch }: CompileOptions,
  f16Cache: boolean,
): Promise<ProgramScratch> {
  const slots = [];
  for (const [i, { rows, cols }] of plan.slots.entries())
    slots.push(await group.take(`slot ${i}`, 4 * cols * (rows === 'T' ? prefillBatch : 1)));
  const ropes: ProgramScratch['ropes'] = new Map();
  for (const frequencies of attentionNodes(plan).map(ropeOf)) {
    const key = `${frequencies}`;
    if (ropes.has(key)) continue;
    const table = ropeTable(frequencies, contextLength);
    const region = await group.take('rope', table.byteLength);
    gpu.device.queue.writeBuffer(region.buffer, 0, table);
    ropes.set(key, region);
  }
  const widest = Math.max(0, ...attentionNodes(plan).map((node) => node.heads * (headsOf(node).headDim + 4)));
  const spans = await group.take(
    'attention spans',
    4 * widest * Math.max(MAX_SHORT_SPANS, splitAttentionIntoSpans(contextLength, MAX_ATTENTION_SPAN).spans),
  );
  const bytes = expertBufferBytes(plan, prefillBatch);
  const experts = bytes && {
    sorted: await group.take('sorted experts', bytes.sorted),
    results: await group.take('results of experts', bytes.results),
  };
  return { slots, ropes, spans, experts, f16Cache };
}

/**
 * cos and sin of positions 0 … 255, then of positions 256·j, computed in f64: [256 + ⌈context / 256⌉, d/2, 2]
 * (lib/rope.wgsl)
 */
export function ropeTable(frequencies: number[], contextLength: number): Float32Array<ArrayBuffer> {
  const half = frequencies.length;
  const rows = 256 + Math.ceil(contextLength / 256);
  const table = new Float32Array(2 * rows * half);
  for (let row = 0, at = 0; row < rows; row++)
    for (let i = 0; i < half; i++) {
      const angle = (row < 256 ? row : 256 * (row - 256)) * frequencies[i];
      table[at++] = Math.cos(angle);
      table[at++] = Math.sin(angle);
    }
  return table;
}
