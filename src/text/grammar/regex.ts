/**
 * ECMA-262 regular expressions (flag u) as terms. A part is compiled with what follows it, so anchors, look-aheads and
 * word boundaries are intersections.
 */
import { memo } from './memo';
import { Unsupported } from './formula';
import { ANY, complement, intersect, rangesOf, union, type Ranges } from './ranges';
import { createReader, MAX_DEPTH, MAX_REPEATS, repetitions } from './reader';
import type { Term, Terms } from './term';

type Part =
  | { type: 'set'; set: Ranges }
  | { type: 'sequence' | 'choice'; parts: Part[] }
  | { type: 'repeat'; part: Part; min: number; max: number }
  | { type: 'start' | 'end' }
  | { type: 'boundary'; negated: boolean }
  | { type: 'ahead'; part: Part; negated: boolean };

const DIGIT: Ranges = [48, 57];
const WORD: Ranges = [48, 57, 65, 90, 95, 95, 97, 122];
const LINE_ENDS: Ranges = [10, 10, 13, 13, 0x2028, 0x2029];

const classes = new Map([
  ['d', DIGIT],
  ['w', WORD],
]);
/** of a class that the platform knows, without its backslash: `s`, `p{L}` */
const known = (source: string): Ranges => memo(classes, source, () => rangesOf(`\\${source}`));

const unsupported = (what: string): never => {
  throw new Unsupported(`${what} in a regular expression`);
};

/**
 * The texts that match.
 * @param how `search`: somewhere in the text; `whole`: the whole text
 * @throws Unsupported; SyntaxError if it is no regular expression
 */
export function parseRegex(terms: Terms, source: string, how: 'search' | 'whole'): Term {
  try {
    void new RegExp(source, 'u');
  } catch {
    void new RegExp(source);
  }
  const tree = parse(source);
  const { ALL, EMPTY, CHARACTER, set, cat, or, repeat } = terms;
  const compile = createCompiler(terms);
  if (how === 'whole') return compile(tree, () => EMPTY, 'start');
  const behind = (term: Term, before: Before): Term =>
    cat(
      term,
      compile(tree, () => ALL, before),
    );
  const inside = hasBoundary(tree)
    ? [behind(cat(ALL, set(WORD)), 'word'), behind(cat(ALL, set(complement(WORD))), 'other')]
    : [behind(repeat(CHARACTER, 1, Infinity), 'other')];
  return or(behind(EMPTY, 'start'), ...inside);
}

const some = (part: Part, test: (part: Part) => boolean): boolean =>
  test(part) ||
  ('parts' in part ? part.parts.some((one) => some(one, test)) : 'part' in part ? some(part.part, test) : false);
const isAssertion = ({ type }: Part): boolean => ['start', 'end', 'boundary', 'ahead'].includes(type);
const hasBoundary = (part: Part): boolean => some(part, ({ type }) => type === 'boundary');

/** What stands before: nothing, a letter of a word, or another character. */
type Before = 'start' | 'word' | 'other';
type Rest = (before: Before) => Term;

function createCompiler({ EMPTY, NONE, ALL, set, cat, or, and, not, repeat }: Terms) {
  const atWord = cat(set(WORD), ALL);

  /** The term of a part without assertions. */
  function plain(part: Part): Term {
    switch (part.type) {
      case 'set':
        return set(part.set);
      case 'sequence':
        return part.parts.reduceRight((rest, one) => cat(plain(one), rest), EMPTY);
      case 'choice':
        return or(...part.parts.map(plain));
      case 'repeat':
        return repeat(plain(part.part), part.min, part.max);
      default:
        return unsupported('an assertion in a loop');
    }
  }

  function lazily(build: Rest): Rest {
    const made: Partial<Record<Before, Term>> = {};
    return (before) => (made[before] ??= build(before));
  }

  function compile(part: Part, rest: Rest, before: Before): Term {
    switch (part.type) {
      case 'sequence':
        return part.parts.reduceRight<Rest>(
          (next, one) => lazily((now) => compile(one, next, now)),
          lazily(rest),
        )(before);
      case 'choice':
        return or(...part.parts.map((one) => compile(one, rest, before)));
      case 'start':
        return before === 'start' ? rest(before) : NONE;
      case 'end':
        return and(rest(before), EMPTY);
      case 'ahead': {
        const ahead = compile(part.part, () => ALL, before);
        return and(part.negated ? not(ahead) : ahead, rest(before));
      }
      case 'boundary': {
        const here = (before === 'word') !== part.negated ? not(atWord) : atWord;
        return and(here, rest(before));
      }
      case 'set': {
        const inWord = intersect(part.set, WORD);
        const other = intersect(part.set, complement(WORD));
        if (rest('word') === rest('other')) return cat(set(part.set), rest('other'));
        return or(cat(set(inWord), rest('word')), cat(set(other), rest('other')));
      }
      case 'repeat': {
        if (some(part.part, isAssertion)) {
          if (part.max > 1) unsupported('an assertion in a loop');
          const once = compile(part.part, rest, before);
          return part.min ? once : or(once, rest(before));
        }
        const one = plain(part.part);
        const behind = lastSets(part.part);
        if (rest('word') !== rest('other') && !behind) unsupported('a word boundary behind such a loop');
        const after = rest(behind ?? 'other');
        if (rest(before) === after) return cat(repeat(one, part.min, part.max), after);
        // a part that reads nothing leaves what stands before
        const many = repeat(one, Math.max(1, part.min), part.max);
        const none = part.min === 0 || one.nullable ? rest(before) : NONE;
        return or(none, part.max ? cat(one.nullable ? and(many, not(EMPTY)) : many, after) : NONE);
      }
    }
  }

  /** Where all characters of a part are of one sort: which. */
  function lastSets(part: Part): 'word' | 'other' | undefined {
    const sets: Ranges[] = [];
    some(part, (one) => (one.type === 'set' && sets.push(one.set), false));
    if (sets.every((one) => !intersect(one, complement(WORD)).length)) return 'word';
    return sets.every((one) => !intersect(one, WORD).length) ? 'other' : undefined;
  }
  return compile;
}

const one = (point: number): Ranges => [point, point];
const isOne = (set: Ranges): boolean => set.length === 2 && set[0] === set[1];
const ANY_CHARACTER = /[^]/uy;

/** @param source an expression that JavaScript takes */
function parse(source: string): Part {
  const { match } = createReader(source);
  let depth = 0;
  const set = (value: Ranges): Part => ({ type: 'set', set: value });
  const character = (): Ranges => one(match(ANY_CHARACTER)![0].codePointAt(0)!);

  function choice(): Part {
    if (++depth > MAX_DEPTH) unsupported('parentheses nested too deeply');
    const parts = [sequence()];
    while (match(/\|/y)) parts.push(sequence());
    depth--;
    return parts.length > 1 ? { type: 'choice', parts } : parts[0];
  }

  function sequence(): Part {
    const parts: Part[] = [];
    while (match(/(?=[^|)])/uy)) parts.push(quantified(atom()));
    return parts.length === 1 ? parts[0] : { type: 'sequence', parts };
  }

  function quantified(part: Part): Part {
    // lazy or not, the same texts match
    const found = match(/(?:[*+?]|\{(\d+)(,?)(\d*)\})\??/y);
    if (!found) return part;
    const [min, max] = repetitions(found) ?? unsupported(`more than ${MAX_REPEATS} repetitions`);
    return { type: 'repeat', part, min, max };
  }

  function atom(): Part {
    if (match(/\(/y)) return group();
    if (match(/\[/y)) return set(characterClass());
    if (match(/\./y)) return set(complement(LINE_ENDS));
    if (match(/\^/y)) return { type: 'start' };
    if (match(/\$/y)) return { type: 'end' };
    if (!match(/\\/y)) return set(character());
    const boundary = match(/b/iy);
    if (boundary) return { type: 'boundary', negated: boundary[0] === 'B' };
    if (match(source.includes('(?<') ? /[1-9k]/y : /[1-9]/y)) unsupported('a back-reference');
    return set(escaped());
  }

  function group(): Part {
    const kind = match(/\?(:|<?[=!]|<[^>]*>|)/y)?.[1];
    if (kind === '<=' || kind === '<!') unsupported('a look-behind');
    if (kind === '') unsupported('a group with flags');
    const part = choice();
    match(/\)/y);
    return kind === '=' || kind === '!' ? { type: 'ahead', part, negated: kind === '!' } : part;
  }

  /** Behind a backslash: a class, or a character. */
  function escaped(): Ranges {
    const name = match(/[dsw]|p\{[^}]*\}/iy)?.[0];
    if (name) {
      const letter = name[0].toLowerCase();
      const found = known(letter + name.slice(1));
      return name[0] === letter ? found : complement(found);
    }
    const hex = match(/x([\da-f]{2})|u(?:\{([\da-f]+)\}|(d[89ab][\da-f]{2})\\u(d[c-f][\da-f]{2})|([\da-f]{4}))/iy);
    if (hex) {
      const [, x, braces, high, low, u] = hex.map((digits) => parseInt(digits, 16));
      return one(high ? String.fromCharCode(high, low).codePointAt(0)! : x || braces || u || 0);
    }
    const letter = match(/c([^])/uy)?.[1];
    if (letter) return one(letter.codePointAt(0)! & 31);
    const control = match(/[0nrtvf]/y)?.[0];
    return control ? one({ n: 10, r: 13, t: 9, v: 11, f: 12 }[control] ?? 0) : character();
  }

  function characterClass(): Ranges {
    const negated = match(/\^/y);
    let all: Ranges = [];
    const next = (): Ranges => (match(/\\b/y) ? one(8) : match(/\\/y) ? escaped() : character());
    while (!match(/\]|$/y)) {
      const low = next();
      if (isOne(low) && match(/-(?!\])/y)) {
        const high = next();
        all = union(all, isOne(high) ? [low[0], high[0]] : [...one(45), ...low, ...high]);
      } else all = union(all, low);
    }
    return negated ? complement(all) : intersect(all, ANY);
  }
  return choice();
}
