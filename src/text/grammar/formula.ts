/**
 * What a value must be, as formulas of and, or and literals. A literal says something about values of one type and
 * holds for all others. There is no negation: the negation of each literal is a formula. Equal formulas are one object.
 */
import { memo } from './memo';
import type { Decimal } from './decimal';
import { decimalOf, plainText } from './decimal';
import type { Term } from './term';

/** Kinds of values, as bits. */
export const NULL = 1;
export const TRUE = 2;
export const FALSE = 4;
export const NUMBER = 8;
export const STRING = 16;
export const ARRAY = 32;
export const OBJECT = 64;
export const EVERYTHING = 127;

/** Keys of an object: all that do not belong to `outside`, and match the term. */
export interface Keys {
  outside?: ReadonlySet<string>;
  term?: Term;
}

export type Literal =
  | { type: 'types'; mask: number }
  | { type: 'bound'; value: Decimal; side: 'low' | 'high'; open: boolean }
  | { type: 'multiple'; of: Decimal; negated: boolean }
  | { type: 'numbers'; values: readonly Decimal[]; negated: boolean }
  | { type: 'term'; term: Term }
  | { type: 'length'; min: number; max: number }
  | { type: 'strings'; values: ReadonlySet<string>; negated: boolean }
  | { type: 'items'; prefix: readonly Formula[]; rest: Formula }
  | { type: 'count'; min: number; max: number }
  /** so many items from an index on are such */
  | { type: 'contains'; from: number; of: Formula; min: number; max: number }
  | { type: 'unique' }
  | { type: 'properties'; of: ReadonlyMap<string, Formula> }
  | { type: 'each'; keys: Keys; of: Formula }
  | { type: 'some'; keys: Keys; of: Formula }
  | { type: 'required'; name: string }
  | { type: 'size'; min: number; max: number }
  | { type: 'dependent'; name: string; on: readonly string[] }
  /** known names come in the order in which formulas name them */
  | { type: 'ordered' }
  /** not this array or object */
  | { type: 'other'; value: object; text: string };

export type LiteralType = Literal['type'];

export interface Formula {
  readonly id: number;
  /** the last two are for complete values alone: not, and that all names of an object are such */
  readonly kind: 'and' | 'or' | 'literal' | 'later' | 'not' | 'names';
  readonly parts: readonly Formula[];
  readonly literal?: Literal;
  /** of a formula that is made when it is first needed */
  readonly make?: () => Formula;
  /** where in the schema it stands, for messages */
  readonly path?: string;
}

/** The kind of values that a literal speaks of. */
export const TYPE_OF: Record<Exclude<LiteralType, 'types' | 'other'>, number> = {
  bound: NUMBER,
  multiple: NUMBER,
  numbers: NUMBER,
  term: STRING,
  length: STRING,
  strings: STRING,
  items: ARRAY,
  count: ARRAY,
  contains: ARRAY,
  unique: ARRAY,
  properties: OBJECT,
  each: OBJECT,
  some: OBJECT,
  required: OBJECT,
  size: OBJECT,
  dependent: OBJECT,
  ordered: OBJECT,
};

export const typeOf = (literal: Exclude<Literal, { type: 'types' }>): number =>
  literal.type === 'other' ? (Array.isArray(literal.value) ? ARRAY : OBJECT) : TYPE_OF[literal.type];

/** The literals of a type. */
export const ofType = <T extends LiteralType>(literals: readonly Literal[], type: T): Extract<Literal, { type: T }>[] =>
  literals.filter((literal): literal is Extract<Literal, { type: T }> => literal.type === type);

/** What all of some ranges have in common. */
export const rangeOf = (ranges: readonly { min: number; max: number }[]): [min: number, max: number] => [
  Math.max(0, ...ranges.map(({ min }) => min)),
  Math.min(...ranges.map(({ max }) => max), Infinity),
];

export function typeBit(value: unknown): number {
  if (typeof value === 'boolean') return value ? TRUE : FALSE;
  if (typeof value === 'number') return NUMBER;
  if (typeof value === 'string') return STRING;
  return value === null ? NULL : Array.isArray(value) ? ARRAY : OBJECT;
}

/** The same text for equal values. */
export function canonical(value: unknown): string {
  if (typeof value === 'number') return plainText(decimalOf(String(value)));
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  return `{${Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical((value as Record<string, unknown>)[key])}`)
    .join()}}`;
}

export type Formulas = ReturnType<typeof createFormulas>;

export function createFormulas(negateTerm: (term: Term) => Term) {
  const known = new Map<string, Formula>();
  const negations = new Map<Formula, Formula>();
  const sets = new Map<object, number>();
  let ids = 0;

  function make(key: string, kind: Formula['kind'], rest: Partial<Formula>): Formula {
    return memo(known, key, () => ({ id: ids++, kind, parts: [], ...rest }));
  }
  /** A text that is the same for equal parts of literals. */
  function keyOf(part: unknown): string {
    if (part instanceof Set || part instanceof Map) {
      // large sets are told apart by identity: they are made once for a schema
      if (part instanceof Set && part.size > 8) return `#${memo(sets, part, () => sets.size)}`;
      return keyOf([...part]);
    }
    if (Array.isArray(part)) return `[${part.map(keyOf).join()}]`;
    if (typeof part !== 'object' || part === null)
      return typeof part === 'string' ? JSON.stringify(part) : String(part);
    if ('id' in part) return `@${(part as Formula | Term).id}`;
    return `{${Object.entries(part)
      .map(([name, value]) => name + keyOf(value))
      .join()}}`;
  }
  const literal = (value: Literal): Formula =>
    make(value.type === 'other' ? `other${value.text}` : keyOf(value), 'literal', { literal: value });
  const types = (mask: number): Formula => literal({ type: 'types', mask });
  const ANY = types(EVERYTHING);
  const NEVER = types(0);

  const flat = (kind: 'and' | 'or', list: readonly Formula[]): Formula[] =>
    [...new Set(list.flatMap((one) => (one.kind === kind ? one.parts : [one])))].sort((a, b) => a.id - b.id);

  function and(...list: Formula[]): Formula {
    const parts = flat('and', list).filter((one) => one !== ANY);
    if (parts.includes(NEVER)) return NEVER;
    if (parts.length < 2) return parts[0] ?? ANY;
    return make(`and:${parts.map(({ id }) => id).join()}`, 'and', { parts });
  }
  function or(...list: Formula[]): Formula {
    const parts = flat('or', list).filter((one) => one !== NEVER);
    if (parts.includes(ANY)) return ANY;
    if (parts.length < 2) return parts[0] ?? NEVER;
    return make(`or:${parts.map(({ id }) => id).join()}`, 'or', { parts });
  }
  /** A formula that is made when it is needed: references may be recursive. @param key the same for the same formula */
  const later = (key: string, path: string, build: () => Formula): Formula => {
    let made: Formula | undefined;
    return make(`later:${key}`, 'later', { make: () => (made ??= build()), path });
  };

  const of = (mask: number, ...list: Formula[]): Formula => and(types(mask), ...list);
  const property = (name: string, value: Formula): Formula =>
    literal({ type: 'properties', of: new Map([[name, value]]) });
  const required = (name: string): Formula => literal({ type: 'required', name });
  const size = (type: 'count' | 'size' | 'length', min: number, max: number): Formula =>
    min > max ? NEVER : min <= 0 && max === Infinity ? ANY : literal({ type, min, max });

  function not(formula: Formula): Formula {
    const result = memo(negations, formula, () => negate(formula));
    negations.set(result, formula);
    return result;
  }

  function negate(formula: Formula): Formula {
    if (formula.kind === 'and') return or(...formula.parts.map(not));
    if (formula.kind === 'or') return and(...formula.parts.map(not));
    if (formula.kind === 'later') return later(`not ${formula.id}`, formula.path!, () => not(formula.make!()));
    return negateLiteral(formula.literal!);
  }

  function negateLiteral(it: Literal): Formula {
    switch (it.type) {
      case 'types':
        return types(EVERYTHING & ~it.mask);
      case 'bound':
        return of(NUMBER, literal({ ...it, side: it.side === 'low' ? 'high' : 'low', open: !it.open }));
      case 'multiple':
      case 'numbers':
        return of(NUMBER, literal({ ...it, negated: !it.negated }));
      case 'strings':
        return of(STRING, literal({ ...it, negated: !it.negated }));
      case 'term':
        return of(STRING, literal({ type: 'term', term: negateTerm(it.term) }));
      case 'length':
      case 'count':
      case 'size':
        return of(
          { length: STRING, count: ARRAY, size: OBJECT }[it.type],
          or(size(it.type, 0, it.min - 1), size(it.type, it.max + 1, Infinity)),
        );
      case 'items':
        return of(
          ARRAY,
          or(
            ...it.prefix.map((one, i) =>
              and(
                size('count', i + 1, Infinity),
                literal({ type: 'items', prefix: [...it.prefix.slice(0, i).map(() => ANY), not(one)], rest: ANY }),
              ),
            ),
            literal({ type: 'contains', from: it.prefix.length, of: not(it.rest), min: 1, max: Infinity }),
          ),
        );
      case 'contains':
        return of(
          ARRAY,
          or(
            it.min > 0 ? literal({ ...it, min: 0, max: it.min - 1 }) : NEVER,
            it.max < Infinity ? literal({ ...it, min: it.max + 1, max: Infinity }) : NEVER,
          ),
        );
      case 'properties':
        return of(OBJECT, or(...[...it.of].map(([name, value]) => and(required(name), property(name, not(value))))));
      case 'each':
        return of(OBJECT, literal({ ...it, type: 'some', of: not(it.of) }));
      case 'some':
        return of(OBJECT, literal({ ...it, type: 'each', of: not(it.of) }));
      case 'required':
        return of(OBJECT, property(it.name, NEVER));
      case 'dependent':
        return of(OBJECT, required(it.name), or(...it.on.map((name) => property(name, NEVER))));
      case 'other':
        return constant(it.value);
      case 'unique':
        throw new Unsupported('not over uniqueItems');
      case 'ordered':
        return NEVER; // how a value is written, not what it is
    }
  }

  /** An object with these properties, and no others. */
  const record = (entries: readonly (readonly [string, Formula])[]): Formula => {
    const names = entries.map(([name]) => name);
    return of(
      OBJECT,
      names.length ? literal({ type: 'properties', of: new Map(entries) }) : ANY,
      literal({ type: 'each', keys: { outside: new Set(names) }, of: NEVER }),
      ...names.map(required),
    );
  };

  /** Exactly this value. */
  function constant(value: unknown): Formula {
    if (typeof value !== 'object' || value === null) return oneOf([value]);
    if (!Array.isArray(value)) return record(Object.entries(value).map(([name, one]) => [name, constant(one)]));
    return of(
      ARRAY,
      literal({ type: 'items', prefix: value.map(constant), rest: NEVER }),
      size('count', value.length, value.length),
    );
  }

  /** Any other value than this. */
  const otherThan = (value: unknown): Formula =>
    typeof value === 'object' && value !== null
      ? literal({ type: 'other', value, text: canonical(value) })
      : not(constant(value));

  /** One of these values. */
  function oneOf(values: readonly unknown[]): Formula {
    const numbers = values.filter((value) => typeof value === 'number').map(decimalOf);
    const strings = new Set(values.filter((value) => typeof value === 'string'));
    const scalars = of(
      values.reduce<number>((bits, value) => bits | typeBit(value), 0) & ~(ARRAY | OBJECT),
      numbers.length ? literal({ type: 'numbers', values: numbers, negated: false }) : ANY,
      strings.size ? literal({ type: 'strings', values: strings, negated: false }) : ANY,
    );
    return or(scalars, ...values.filter((value) => typeBit(value) >= ARRAY).map(constant));
  }

  return {
    ANY,
    NEVER,
    literal,
    types,
    and,
    or,
    not,
    later,
    of,
    property,
    required,
    size,
    record,
    constant,
    otherThan,
    oneOf,
  };
}

/** Thrown where a schema cannot be enforced; the path is added where it is known. */
export class Unsupported extends Error {
  constructor(
    message: string,
    readonly path?: string,
  ) {
    super(message);
  }
}
