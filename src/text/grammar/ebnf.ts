/**
 * Grammars in a notation like GBNF:
 *
 *     root  ::= "[" (value ("," value)*)? "]"   # the text is a root
 *     value ::= [0-9]+ | word | root
 *     word  ::= [^\x00-\x20,\]]{1,20}
 *
 * A rule is a name, `::=` and alternatives between `|`. A sequence has texts in double quotes with the escapes of JSON,
 * classes of characters in brackets as in ECMA-262 (flag u), `.` for any character, names of rules, and groups in
 * parentheses, each with `*`, `+`, `?`, `{n}`, `{n,}` or `{n,m}` behind it. A rule goes on over line breaks inside of
 * parentheses and behind `|`; comments begin with #. Rules may be recursive, but not at their left end.
 */
import { memo } from './memo';
import { failRequest } from './request';
import { RAW } from './lexer';
import { Node } from './node';
import { advanced, begun, labelOf, type Piece, type PieceKind } from './piece';
import { createReader, MAX_DEPTH, repetitions } from './reader';
import { parseRegex } from './regex';
import { dfaOf, lexerOf } from './strings';
import type { Term, Terms } from './term';
import { pieceText } from './texts';

type Expression =
  | { type: 'term'; term: Term }
  | { type: 'rule'; name: string }
  | { type: 'sequence' | 'choice'; parts: readonly Expression[] }
  | { type: 'repeat'; part: Expression; min: number; max: number };

function wrong(what: string, source: string, at: number): never {
  const line = source.slice(0, at).split('\n').length;
  return failRequest({ what: `The grammar is not valid in line ${line}`, got: what });
}

/** @throws RequestError */
function parseEbnf(source: string, terms: Terms): Map<string, Expression> {
  const { text, CHARACTER } = terms;
  const rules = new Map<string, Expression>();
  const reader = createReader(source);
  const { match } = reader;
  let depth = 0;
  const bad = (what: string): never => wrong(what, source, reader.at);
  const badHere = (): never => bad(match(/.{0,40}/y)![0]);
  const blank = (lines: boolean): unknown => match(lines ? /(?:\s|#.*)*/y : /(?:[ \t]|#.*)*/y);

  function atom(): Expression | undefined {
    const quoted = match(/"(?:[^"\\\n]|\\.)*"/y);
    if (quoted) {
      try {
        return { type: 'term', term: text(JSON.parse(quoted[0]) as string) };
      } catch {
        bad(quoted[0]);
      }
    }
    const characters = match(/\[(?:[^\]\\\n]|\\.)*\]/y);
    if (characters) {
      try {
        return { type: 'term', term: parseRegex(terms, characters[0], 'whole') };
      } catch (error) {
        bad((error as Error).message);
      }
    }
    if (match(/\./y)) return { type: 'term', term: CHARACTER };
    if (match(/\(/y)) {
      if (++depth > MAX_DEPTH) bad('parentheses nested too deeply');
      const inner = choice(true);
      blank(true);
      if (!match(/\)/y)) bad('a parenthesis that is not closed');
      depth--;
      return inner;
    }
    const name = match(/[A-Za-z_][\w-]*(?!\s*::=|[\w-])/y);
    return name && { type: 'rule', name: name[0] };
  }

  function repeated(part: Expression): Expression {
    const found = match(/[*+?]|\{\s*(\d+)\s*(,?)\s*(\d*)\s*\}/y);
    if (!found) return part;
    const [min, max] = repetitions(found) ?? bad(found[0]);
    return repeated({ type: 'repeat', part, min, max });
  }

  function sequence(lines: boolean): Expression {
    const parts: Expression[] = [];
    for (;;) {
      blank(lines);
      const part = atom();
      if (!part) return { type: 'sequence', parts };
      parts.push(repeated(part));
    }
  }

  function choice(lines: boolean): Expression {
    const parts = [sequence(lines)];
    for (blank(lines); match(/\|\s*/y); blank(lines)) parts.push(sequence(lines));
    return { type: 'choice', parts };
  }

  for (blank(true); reader.at < source.length; blank(true)) {
    const name = match(/([A-Za-z_][\w-]*)\s*::=/y)?.[1] ?? badHere();
    if (rules.has(name)) bad(`the rule ${name} a second time`);
    blank(true);
    rules.set(name, choice(false));
    blank(false);
    if (!match(/(?=[\n\r])|$/y)) badHere();
  }
  if (!rules.has('root')) failRequest({ what: 'The grammar has no rule root' });
  for (const [name, rule] of rules)
    for (const used of namesIn(rule))
      if (!rules.has(used)) failRequest({ what: `The rule ${name} uses ${used}, which is not defined` });
  return rules;
}

function namesIn(expression: Expression): string[] {
  if (expression.type === 'rule') return [expression.name];
  if (expression.type === 'repeat') return namesIn(expression.part);
  return 'parts' in expression ? expression.parts.flatMap(namesIn) : [];
}

/** @throws RequestError for a grammar that is not valid; Unsupported for one that is too large */
export function ebnfText(source: string, terms: Terms): Node {
  const rules = parseEbnf(source, terms);
  const recursive = recursiveRules(rules);
  const bodies = new Map<string, Expression>();
  const kinds = new Map<Term, PieceKind>();
  const bodyOf = (name: string): Expression => memo(bodies, name, () => simplify(rules.get(name)!));

  /** Parts without recursion become terms. */
  function simplify(expression: Expression): Expression {
    const { or, cat, repeat, EMPTY } = terms;
    switch (expression.type) {
      case 'term':
        return expression;
      case 'rule':
        return recursive.has(expression.name) ? expression : bodyOf(expression.name);
      case 'repeat': {
        const part = simplify(expression.part);
        return part.type === 'term'
          ? { type: 'term', term: repeat(part.term, expression.min, expression.max) }
          : { ...expression, part };
      }
      default: {
        const parts = expression.parts.map(simplify);
        if (parts.length === 1) return parts[0];
        const plain = parts.flatMap((part) => (part.type === 'term' ? [part.term] : []));
        if (plain.length < parts.length) return { ...expression, parts };
        return {
          type: 'term',
          term: expression.type === 'choice' ? or(...plain) : plain.reduceRight((b, a) => cat(a, b), EMPTY),
        };
      }
    }
  }

  const root = bodyOf('root');
  const none = (): never => failRequest({ what: 'No text fits the grammar' });
  if (root.type === 'term') return pieceText(kindOf(root.term)) ?? none();
  const { productive, nullable } = facts(new Map([...recursive].map((name) => [name, bodyOf(name)])), terms);
  for (const name of recursive) checkLeft(name);
  if (!productive(root)) none();
  return stackNodes(root, bodyOf, productive, kindOf);

  function kindOf(term: Term): PieceKind {
    return memo(kinds, term, () => ({ lexer: lexerOf(dfaOf(terms, [term]), RAW), min: 0, max: Infinity }));
  }
  function checkLeft(name: string): void {
    const seen = new Set<string>();
    const visit = (expression: Expression): void => {
      if (expression.type === 'rule') {
        if (expression.name === name)
          failRequest({
            what: `The rule ${name} begins with itself`,
            cure: 'Write the repetition with * or +, or the recursion at the end.',
          });
        if (!seen.has(expression.name)) {
          seen.add(expression.name);
          visit(bodyOf(expression.name));
        }
      } else if (expression.type === 'repeat') visit(expression.part);
      else if (expression.type === 'choice') expression.parts.forEach(visit);
      else if (expression.type === 'sequence')
        for (const part of expression.parts) {
          visit(part);
          if (!nullable(part)) break;
        }
    };
    visit(bodyOf(name));
  }
}

function recursiveRules(rules: ReadonlyMap<string, Expression>): Set<string> {
  const uses = new Map([...rules].map(([name, rule]) => [name, new Set(namesIn(rule))]));
  const found = new Set<string>();
  for (const name of rules.keys()) {
    const reached = new Set(uses.get(name));
    for (const one of reached) for (const next of uses.get(one)!) reached.add(next);
    if (reached.has(name)) found.add(name);
  }
  return found;
}

/** Which rules have a text, and which the empty one: the least sets that fulfil the rules. */
function facts(bodies: ReadonlyMap<string, Expression>, terms: Terms) {
  const solve = (ofTerm: (term: Term) => boolean): ((expression: Expression) => boolean) => {
    const known = new Set<string>();
    const test = (expression: Expression): boolean => {
      switch (expression.type) {
        case 'term':
          return ofTerm(expression.term);
        case 'rule':
          return known.has(expression.name);
        case 'sequence':
          return expression.parts.every(test);
        case 'choice':
          return expression.parts.some(test);
        case 'repeat':
          return expression.min === 0 || test(expression.part);
      }
    };
    for (let before = -1; before < known.size;) {
      before = known.size;
      for (const [name, body] of bodies) if (test(body)) known.add(name);
    }
    return test;
  };
  return { productive: solve((term) => dfaOf(terms, [term]).start >= 0), nullable: solve(({ nullable }) => nullable) };
}

/** What is still to come behind a piece. Equal lists are one object. */
interface Rest {
  id: number;
  first: Expression;
  next: Rest | null;
}
interface Open {
  piece: Piece;
  rest: Rest | null;
}

/** All stacks of a recursive grammar that still fit. */
function stackNodes(
  root: Expression,
  bodyOf: (name: string) => Expression,
  productive: (expression: Expression) => boolean,
  kindOf: (term: Term) => PieceKind,
): Node {
  const ids = new WeakMap<object, number>();
  let counter = 0;
  const idOf = (object: object): number => memo(ids, object, () => counter++);
  const rests = new Map<string, Rest>();
  const repeats = new Map<string, Expression>();
  const nodes = new Map<string, Node>();

  function push(first: Expression, next: Rest | null): Rest {
    const key = `${idOf(first)} ${next?.id ?? ''}`;
    return memo(rests, key, () => ({ id: counter++, first, next }));
  }
  /** The same loop once more. */
  function once(part: Expression, min: number, max: number): Expression {
    const key = `${idOf(part)} ${min} ${max}`;
    return memo(repeats, key, (): Expression => ({ type: 'repeat', part, min, max }));
  }

  /** The pieces that may come first, and whether nothing need come. */
  function opened(start: Rest | null): { open: Open[]; ends: boolean } {
    const open: Open[] = [];
    let ends = false;
    const seen = new Set<Rest>();
    const visit = (rest: Rest | null): void => {
      if (!rest) ends = true;
      if (!rest || seen.has(rest)) return;
      seen.add(rest);
      const { first, next } = rest;
      if (!productive(first)) return;
      switch (first.type) {
        case 'rule':
          return visit(push(bodyOf(first.name), next));
        case 'choice':
          return first.parts.forEach((part) => visit(push(part, next)));
        case 'sequence':
          return visit(first.parts.reduceRight<Rest | null>((all, part) => push(part, all), next));
        case 'repeat': {
          const { part, min, max } = first;
          if (min === 0) visit(next);
          if (max > 0 && productive(part)) visit(push(part, push(once(part, Math.max(0, min - 1), max - 1), next)));
          return;
        }
        case 'term': {
          open.push(...begun([{ kind: kindOf(first.term), rest: next }]));
          if (first.term.nullable) visit(next);
        }
      }
    };
    visit(start);
    return { open, ends };
  }

  /** The state with these pieces, and with what may follow where one may end. */
  function nodeOf(pieces: readonly Open[]): Node | null {
    const all = new Map<string, Open>();
    let ends = false;
    const keyOf = ({ piece, rest }: Open): string => `${idOf(piece.kind)}.${piece.state}>${rest?.id ?? ''}`;
    for (const one of pieces) {
      all.set(keyOf(one), one);
      const { kind: own, state, length, minus } = one.piece;
      if (labelOf(own, state, length, minus) < 0) continue;
      const behind = opened(one.rest);
      ends ||= behind.ends;
      for (const next of behind.open) all.set(keyOf(next), next);
    }
    if (!all.size && !ends) return null;
    const key = `${[...all.keys()].sort().join(' ')}/${ends}`;
    return memo(nodes, key, () => stackNode([...all.values()], ends));
  }

  const stackNode = (open: readonly Open[], ends: boolean): Node =>
    new Node({
      step: (byte) => nodeOf(advanced(open, byte)),
      ends: () => ends,
    });
  const { open, ends } = opened(push(root, null));
  return stackNode(open, ends);
}
