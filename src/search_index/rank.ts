/** Orders of documents: the best of some scores, and one order made of several. */
import { fail, show } from '../errors';
import type { IndexDocument, SearchOptions } from './types';

export interface Ranked {
  id: string;
  score: number;
}

/** The k largest scores, the best first; of equals the one that comes first. */
export function topOf(ids: readonly string[], scores: Float32Array, k: number): Ranked[] {
  const order = Uint32Array.from(ids, (_, i) => i).sort((a, b) => scores[b] - scores[a] || a - b);
  return Array.from(order.subarray(0, k), (i) => ({ id: ids[i], score: scores[i] }));
}

/** Reciprocal rank fusion (Cormack, Clarke, Büttcher 2009): Σ 1 / (60 + rank), ranks from 1. */
export function fuse(lists: readonly (readonly Ranked[])[]): Ranked[] {
  const scores = new Map<string, number>();
  for (const list of lists) list.forEach(({ id }, i) => scores.set(id, (scores.get(id) ?? 0) + 1 / (60 + i + 1)));
  return [...scores].map(([id, score]) => ({ id, score })).sort((a, b) => b.score - a.score);
}

/** @throws RequestError */
export const refuseOption = (name: string, got: unknown, wanted: string): never =>
  fail('RequestError', { what: `The value of ${name} is not valid`, got: show(got), wanted });

/** @throws RequestError */
export const readK = (k = 10): number =>
  Number.isInteger(k) && k >= 1 ? k : refuseOption('k', k, 'a whole number of at least 1');

/** @throws RequestError */
export function readFilter(filter: SearchOptions['filter']): ((document: IndexDocument) => unknown) | undefined {
  if (filter === undefined || typeof filter === 'function') return filter;
  if (typeof filter !== 'object' || filter === null || Array.isArray(filter))
    return refuseOption('filter', filter, 'a function, or values by name');
  const wanted = Object.entries(filter);
  return ({ metadata }) => wanted.every(([key, value]) => (metadata?.[key] ?? null) === (value ?? null));
}
