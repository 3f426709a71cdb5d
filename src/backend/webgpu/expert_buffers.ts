/** The buffers of a mixture of experts (experts.ts), which a program allocates with its scratch. */
import type { Plan } from '../plan';
import type { BufferRegion } from './dispatch';

/** Buffers for several tokens, used by one layer at a time. */
export interface ExpertBuffers {
  /** u32, the entries by expert (experts/tile_experts.wgsl) */
  sorted: BufferRegion;
  /** [T · top, D] f32, the results of all entries */
  results: BufferRegion;
  /** of experts that lie in frames: how many a layer has, and the table of shaders/experts/frames_paged.wgsl */
  paged?: { E: number; frames: BufferRegion };
}

/** The most tiles of so many tokens, each with entries of one expert, and where the list of entries begins. */
export function tilesOf(T: number, top: number, E: number): { tiles: number; list_at: number } {
  const tiles = Math.floor((T * top + 63 * Math.min(E, T * top)) / 64);
  return { tiles, list_at: 1 + 3 * tiles };
}

/** Bytes of the two buffers of ExpertBuffers; undefined for a plan without experts. */
export function expertBufferBytes({ nodes }: Plan, T: number): { sorted: number; results: number } | undefined {
  const choices = nodes.flatMap((node) => ('scores' in node ? [[node.out.cols / 2, node.scores.cols] as const] : []));
  if (!choices.length) return undefined;
  const results = nodes.map((node) =>
    'chosen' in node && 'w' in node ? (node.chosen.cols / 2) * T * node.out.cols : 0,
  );
  return {
    sorted: 4 * Math.max(...choices.map(([top, E]) => tilesOf(T, top, E).list_at + T * top)),
    results: 4 * Math.max(...results),
  };
}
