/**
 * Regular languages over code points as terms with intersection and complement. The derivative of a term by a character
 * is the term of what may follow it (Brzozowski 1964), so terms are the states of an automaton. Equal terms are one
 * object.
 */
import { memo } from './memo';
import { ANY, containsPoint, type Ranges } from './ranges';

export interface Term {
  readonly id: number;
  readonly kind: 'none' | 'empty' | 'set' | 'cat' | 'or' | 'and' | 'not' | 'repeat';
  /** the empty text belongs to the language */
  readonly nullable: boolean;
  readonly set: Ranges;
  readonly parts: readonly Term[];
  readonly min: number;
  readonly max: number;
}

export type Terms = ReturnType<typeof createTerms>;

export function createTerms() {
  const known = new Map<string, Term>();
  /** terms that were made: a measure of the work */
  let made = 0;

  function make(kind: Term['kind'], nullable: boolean, rest: Partial<Term> = {}): Term {
    const { parts = [], set = [], min = 0, max = 0 } = rest;
    const key = `${kind}:${parts.map(({ id }) => id).join()}:${set.join()}:${min}:${max}`;
    return memo(known, key, () => ({ id: made++, kind, nullable, parts, set, min, max }));
  }

  const NONE = make('none', false);
  const EMPTY = make('empty', true);
  const set = (ranges: Ranges): Term => (ranges.length ? make('set', false, { set: ranges }) : NONE);
  const CHARACTER = set(ANY);
  const ALL: Term = make('repeat', true, { parts: [CHARACTER], max: Infinity });

  function cat(a: Term, b: Term): Term {
    if (a === NONE || b === NONE) return NONE;
    if (a === EMPTY) return b;
    if (b === EMPTY) return a;
    if (a === ALL && b === ALL) return ALL;
    if (a.kind === 'cat') return cat(a.parts[0], cat(a.parts[1], b));
    return make('cat', a.nullable && b.nullable, { parts: [a, b] });
  }

  const flat = (kind: 'or' | 'and', terms: readonly Term[]): Term[] =>
    [...new Set(terms.flatMap((term) => (term.kind === kind ? term.parts : [term])))].sort((a, b) => a.id - b.id);

  function or(...terms: Term[]): Term {
    const parts = flat('or', terms).filter((term) => term !== NONE);
    if (parts.includes(ALL)) return ALL;
    if (parts.length < 2) return parts[0] ?? NONE;
    return make(
      'or',
      parts.some(({ nullable }) => nullable),
      { parts },
    );
  }

  function and(...terms: Term[]): Term {
    const parts = flat('and', terms).filter((term) => term !== ALL);
    if (parts.includes(NONE)) return NONE;
    if (parts.includes(EMPTY)) return parts.every(({ nullable }) => nullable) ? EMPTY : NONE;
    if (parts.length < 2) return parts[0] ?? ALL;
    return make(
      'and',
      parts.every(({ nullable }) => nullable),
      { parts },
    );
  }

  function not(term: Term): Term {
    if (term.kind === 'not') return term.parts[0];
    if (term === NONE) return ALL;
    if (term === ALL) return NONE;
    return make('not', !term.nullable, { parts: [term] });
  }

  function repeat(term: Term, min: number, max: number): Term {
    if (max === 0 || term === EMPTY) return EMPTY;
    if (term === NONE) return min ? NONE : EMPTY;
    if (min === 1 && max === 1) return term;
    if (term.kind === 'repeat' && term.min === 0 && term.max === Infinity) return term;
    const least = term.nullable ? 0 : min;
    return make('repeat', least === 0, { parts: [term], min: least, max });
  }

  function text(value: string): Term {
    return Array.from(value).reduceRight((rest, c) => cat(set([c.codePointAt(0)!, c.codePointAt(0)!]), rest), EMPTY);
  }

  /** What may follow a character of the language. */
  function derive(term: Term, point: number, seen: Map<Term, Term>): Term {
    const before = seen.get(term);
    if (before) return before;
    const [a, b] = term.parts;
    const of = (part: Term): Term => derive(part, point, seen);
    let result: Term;
    switch (term.kind) {
      case 'none':
      case 'empty':
        result = NONE;
        break;
      case 'set':
        result = containsPoint(term.set, point) ? EMPTY : NONE;
        break;
      case 'cat':
        result = a.nullable ? or(cat(of(a), b), of(b)) : cat(of(a), b);
        break;
      case 'or':
        result = or(...term.parts.map(of));
        break;
      case 'and':
        result = and(...term.parts.map(of));
        break;
      case 'not':
        result = not(of(a));
        break;
      case 'repeat':
        result = term === ALL ? ALL : cat(of(a), repeat(a, Math.max(0, term.min - 1), term.max - 1));
        break;
    }
    seen.set(term, result);
    return result;
  }

  /** Whether a text belongs to the language. */
  function matches(term: Term, value: string): boolean {
    let rest = term;
    for (const c of value) rest = derive(rest, c.codePointAt(0)!, new Map());
    return rest.nullable;
  }

  return {
    NONE,
    EMPTY,
    ALL,
    CHARACTER,
    set,
    cat,
    or,
    and,
    not,
    repeat,
    text,
    derive,
    matches,
    get made() {
      return made;
    },
  };
}

const MAX_SHARED = 300_000;
let shared: Terms | undefined;
/** Terms for all grammars, so that what they have in common is made once; made anew when there are too many. */
export function sharedTerms(): Terms {
  if (!shared || shared.made > MAX_SHARED) shared = createTerms();
  return shared;
}

/** All sets of characters that occur in a term. */
export function setsOf(roots: readonly Term[]): Ranges[] {
  const seen = new Set<Term>(roots);
  for (const term of seen) for (const part of term.parts) seen.add(part);
  return [...seen].filter(({ kind }) => kind === 'set').map(({ set }) => set);
}
