/** Search by words: BM25 of minisearch, with words that every script has. */
import MiniSearch from 'minisearch';
import type { IndexDocument } from './types';

const segmenter = new Intl.Segmenter(undefined, { granularity: 'word' });
const MARKS = /\p{M}+/gu;

/**
 * The words of a text as they are compared: scripts without spaces are split by the platform's dictionary, and case,
 * accents and the forms of characters do not count.
 */
export function wordsOf(text: string): string[] {
  // the platform keeps "don't", "snake_case" and "a.b" as one
  const apart = text
    .normalize('NFKD')
    .replace(MARKS, '')
    .replace(/['’_.]/g, ' ');
  const words: string[] = [];
  for (const { segment, isWordLike } of segmenter.segment(apart))
    if (isWordLike) words.push(segment.toLowerCase().replaceAll('ß', 'ss'));
  return words;
}

export interface WordIndex {
  add(document: IndexDocument): void;
  remove(id: string): void;
  /** ids and scores of the documents that have some of the words, the best first; the last word may be a beginning */
  search(query: string, allowed?: (id: string) => boolean): { id: string; score: number }[];
}

export function createWordIndex(documents: Iterable<IndexDocument>): WordIndex {
  const index = new MiniSearch<IndexDocument>({
    fields: ['text'],
    tokenize: wordsOf,
    processTerm: (term) => term || null,
    searchOptions: { prefix: (_, i, terms) => i === terms.length - 1, weights: { fuzzy: 0, prefix: 0.4 } },
  });
  for (const one of documents) index.add(one);
  return {
    add(document) {
      if (index.has(document.id)) index.discard(document.id);
      index.add(document);
    },
    remove: (id) => void (index.has(id) && index.discard(id)),
    search: (query, allowed) =>
      index
        .search(query, allowed ? { filter: ({ id }) => allowed(id as string) } : {})
        .map(({ id, score }) => ({ id: id as string, score })),
  };
}
