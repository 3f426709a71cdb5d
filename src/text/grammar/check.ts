/**
 * Whether a complete value fits a schema. The schema is read as for a grammar, but with negations as such: nothing has
 * to be known about all values at once.
 */
import { decimalOf } from './decimal';
import {
  canonical,
  createFormulas,
  typeBit,
  OBJECT,
  typeOf,
  Unsupported,
  type Formula,
  type Keys,
  type Literal,
} from './formula';
import { numberFits } from './numbers';
import { matchesKeys } from './property_names';
import { compileSchema, type SchemaOptions } from './schema';
import type { Solver } from './solver';
import { sharedTerms } from './term';

/** Literals that one check may ask, and how deep they may ask each other without a value between. */
const MAX_STEPS = 1_000_000;
const MAX_DEPTH = 400;

/**
 * Whether a text is a value that fits, and the JSON pointers of keywords that were not looked at.
 * @throws RequestError for a schema that is not valid
 */
export function checkText(
  text: string,
  { schema, ...options }: SchemaOptions & { schema: unknown },
): { valid: boolean; unchecked: readonly string[] } {
  let steps = 0;
  let depth = 0;
  const terms = sharedTerms();

  const formulas = createFormulas(terms.not);
  const special = (kind: 'not' | 'names', of: Formula): Formula => ({ id: specials--, kind, parts: [of] });
  let specials = -1;

  function ask(formula: Formula, value: unknown): boolean {
    const { kind, parts, literal, make } = formula;
    const test = (part: Formula): boolean => ask(part, value);
    switch (kind) {
      case 'and':
        return parts.every(test);
      case 'or':
        return parts.some(test);
      case 'not':
        return !test(parts[0]);
      case 'names':
        return typeBit(value) !== OBJECT || Object.keys(value as object).every((name) => ask(parts[0], name));
      case 'later':
        if (depth++ > MAX_DEPTH) throw new Unsupported('');
        try {
          return test(make!());
        } finally {
          depth--;
        }
      case 'literal':
        if (steps++ > MAX_STEPS) throw new Unsupported('');
        if (literal!.type === 'types') return (typeBit(value) & literal!.mask) !== 0;
        return !(typeBit(value) & typeOf(literal!)) || holds(literal!, value as never);
    }
  }
  const sizeOf = (value: string | readonly unknown[] | object): number =>
    (typeof value === 'string' ? [...value] : Object.keys(value)).length;

  function holds(own: Exclude<Literal, { type: 'types' }>, value: never): boolean {
    const entries = (keys: Keys): [string, unknown][] =>
      Object.entries(value as object).filter(([name]) => matchesKeys(terms, keys, name));
    switch (own.type) {
      case 'bound':
      case 'multiple':
      case 'numbers':
        return numberFits(decimalOf(value), own);
      case 'term':
        return terms.matches(own.term, value);
      case 'strings':
        return own.values.has(value) !== own.negated;
      case 'length':
      case 'count':
      case 'size': {
        const size = sizeOf(value);
        return size >= own.min && size <= own.max;
      }
      case 'items':
        return (value as unknown[]).every((item, i) => ask(own.prefix[i] ?? own.rest, item));
      case 'contains': {
        const found = (value as unknown[]).filter((item) => ask(own.of, item)).length;
        return found >= own.min && found <= own.max;
      }
      case 'unique':
        return new Set((value as unknown[]).map(canonical)).size === sizeOf(value);
      case 'properties':
        return [...own.of].every(([name, of]) => !Object.hasOwn(value, name) || ask(of, value[name]));
      case 'each':
        return entries(own.keys).every(([, one]) => ask(own.of, one));
      case 'required':
        return Object.hasOwn(value, own.name);
      case 'dependent':
        return !Object.hasOwn(value, own.name) || own.on.every((name) => Object.hasOwn(value, name));
      default:
        return true; // the order of keys; what only negations say
    }
  }
  const solver = {
    terms,
    formulas: { ...formulas, not: (of: Formula) => special('not', of) },
    has: () => true,
    disjoint: () => false,
    explore: () => undefined,
    names: (of: Formula) => special('names', of),
  };
  const { formula, checked } = compileSchema(solver as unknown as Solver, schema, { ...options, strict: false });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { valid: false, unchecked: checked }; // the answer was cut
  }
  try {
    return { valid: ask(formula, value), unchecked: checked };
  } catch (error) {
    if (error instanceof Unsupported) return { valid: false, unchecked: [''] };
    throw error;
  }
}
