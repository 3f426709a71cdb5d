/** Which texts a value may be. */
import { memo } from './memo';
import { buildDfa, dfaWithout, targetIn, wordsDfa, type Dfa } from './dfa';
import { ofType, rangeOf, type Literal } from './formula';
import { createLexer, type Lexer, type Writing } from './lexer';
import type { PieceKind } from './piece';
import { createTerms, type Term, type Terms } from './term';

const single = new WeakMap<Term, Dfa>();
/** More excluded words than these ask for an automaton that counts. */
const MAX_COUNTED_LENGTH = 4000;

/** Lone surrogates cannot be written in UTF-8. */
const isWellFormed = (text: string): boolean => !/\p{Cs}/u.test(text);
const sorted = (words: Iterable<string>): string[] => [...new Set(words)].filter(isWellFormed).sort();

const lexers = new WeakMap<Dfa, Map<Writing, Lexer>>();
/** One lexer of an automaton in each writing, so that its tables are shared. */
export function lexerOf(dfa: Dfa, writing: Writing): Lexer {
  const byWriting = memo(lexers, dfa, () => new Map<Writing, Lexer>());
  return memo(byWriting, writing, () => createLexer(dfa, writing));
}

/** @throws Unsupported */
export function dfaOf(terms: Terms, roots: readonly Term[], label?: (member: readonly boolean[]) => number): Dfa {
  const alone = !label && roots.length === 1 ? roots[0] : undefined;
  return alone ? memo(single, alone, () => buildDfa(terms, roots)) : buildDfa(terms, roots, label);
}

const everything = createTerms();
/** The automaton of any text. */
export const ALL_TEXTS: Dfa = buildDfa(everything, [everything.ALL]);

/** A piece that is one of the words. */
export const wordsKind = (words: Iterable<string>, writing: Writing): PieceKind => ({
  lexer: lexerOf(wordsDfa(sorted(words)), writing),
  min: 0,
  max: Infinity,
});

/** A piece of a language that is none of some words. */
export function kindWithout(dfa: Dfa, words: Iterable<string>, writing: Writing, min = 0, max = Infinity): PieceKind {
  const list = sorted(words).filter((word) => accepts(dfa, word));
  // from each state of a flexible automaton there are words without end: the excluded ones are told apart as they end
  const apart = dfa.flexible && list.length > 0;
  const lexer = lexerOf(apart || !list.length ? dfa : dfaWithout(dfa, list), writing);
  return { lexer, min, max, ...(apart && { minus: lexerOf(wordsDfa(list), writing) }) };
}

export function accepts(dfa: Dfa, word: string): boolean {
  let q = dfa.start;
  for (const c of word) if (q >= 0) q = targetIn(dfa, q, c.codePointAt(0)!);
  return q >= 0 && dfa.label(q) >= 0;
}

export type StringPart = ReturnType<typeof createStringPart>;

/** @throws Unsupported */
export function createStringPart(literals: readonly Literal[], terms: Terms) {
  const { and, or, not, repeat, text, matches, ALL, CHARACTER } = terms;
  let [min, max] = rangeOf(ofType(literals, 'length'));
  const sets = ofType(literals, 'strings');
  const pattern = and(...ofType(literals, 'term').map(({ term }) => term));
  const own = and(pattern, repeat(CHARACTER, min, max));
  const allowed = sets.find(({ negated }) => !negated);
  const words =
    min > max
      ? []
      : allowed &&
        sorted(allowed.values).filter(
          (word) => sets.every(({ values, negated }) => values.has(word) !== negated) && matches(own, word),
        );
  const kinds = new Map<Writing, PieceKind>();
  const part = (count: number, kindOf: (writing: Writing) => PieceKind, term: () => Term) => ({
    count: () => count,
    has: () => count > 0,
    kind: (writing: Writing) => memo(kinds, writing, () => kindOf(writing)),
    term,
  });
  if (words)
    return part(
      words.length,
      (writing) => wordsKind(words, writing),
      () => or(...words.map(text)),
    );

  const barred = sets.flatMap(({ values }) => [...values]);
  // an excluded word of the greatest length could neither end nor go on: then lengths go into the automaton
  if (barred.length && max < Infinity) max = Math.min(max, Math.max(min, MAX_COUNTED_LENGTH));
  const limited = max < Infinity;
  let dfa = pattern === ALL ? ALL_TEXTS : dfaOf(terms, [pattern]);
  if ((min > 0 || limited) && (!dfa.flexible || (barred.length && limited))) {
    dfa = dfaOf(terms, [and(pattern, repeat(CHARACTER, min, max))]);
    [min, max] = [0, Infinity];
  }
  const excluded = sorted(barred).filter((word) => accepts(dfa, word));
  const all = dfa.start < 0 || dfa.distance(dfa.start) > max ? 0 : dfa.count(dfa.start);
  let count = max === 0 ? Math.min(1, all) : Math.max(0, all - excluded.length);
  // of a pattern with lengths, how many words there are is not known
  if (pattern !== ALL && max < Infinity) count = Math.min(1, count);
  return part(
    count,
    (writing) => kindWithout(dfa, excluded, writing, min, max),
    () => and(own, not(or(...excluded.map(text)))),
  );
}
