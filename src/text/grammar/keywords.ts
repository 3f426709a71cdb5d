/** The keywords of JSON Schema that look at the value itself, its items and its properties. */
import { decimalOf } from './decimal';
import { FORMATS, OTHER_FORMATS } from './formats';
import { ARRAY, FALSE, NULL, NUMBER, OBJECT, STRING, TRUE, Unsupported, type Formula } from './formula';
import { isPlainObject, failMalformed, pointerTo, type Place, type SchemaObject } from './references';
import { parseRegex } from './regex';
import type { Solver } from './solver';
import type { Term } from './term';

const TYPES: Record<string, number> = {
  null: NULL,
  boolean: TRUE | FALSE,
  number: NUMBER,
  integer: NUMBER,
  string: STRING,
  array: ARRAY,
  object: OBJECT,
};

/** What the parts of the compiler share. */
export interface SchemaCompiler {
  solver: Solver;
  assertFormats: boolean;
  /** keys of `properties` in their order only */
  ordered: boolean;
  compile(schema: unknown, path: string): Formula;
  /** @throws RequestError with `strict`; else notes the path */
  refuse(path: string, why: string): Formula;
  /** Refuses what `build` throws as unsupported; without `strict`, what is enforced instead */
  enforced(path: string, build: () => Formula, otherwise?: () => Formula): Formula;
}

export const hasKeyword = (schema: SchemaObject, name: string): boolean =>
  Object.hasOwn(schema, name) && schema[name] !== undefined;

/** The entries of a keyword that is an object, each with its path. */
export function entriesOf(schema: SchemaObject, name: string, path: string): [string, unknown, string][] {
  if (!hasKeyword(schema, name)) return [];
  const at = pointerTo(path, name);
  const given = schema[name];
  if (!isPlainObject(given)) return failMalformed(at, given, 'an object');
  return Object.entries(given).map(([key, one]) => [key, one, pointerTo(at, key)]);
}

/** The schemas of a keyword that is a list. */
export function listOf({ compile }: SchemaCompiler, schema: SchemaObject, name: string, path: string): Formula[] {
  if (!hasKeyword(schema, name)) return [];
  const at = pointerTo(path, name);
  const given = schema[name];
  if (!Array.isArray(given) || !given.length) return failMalformed(at, given, 'a list of schemas');
  return given.map((one, i) => compile(one, pointerTo(at, i)));
}

const isText = (value: unknown): value is string => typeof value === 'string';

function textsAt(path: string, value: unknown): string[] {
  return Array.isArray(value) && value.every(isText) ? value : failMalformed(path, value, 'a list of texts');
}

/** @throws Unsupported */
export function patternOf({ solver: { terms } }: SchemaCompiler, pattern: unknown, path: string): Term {
  if (!isText(pattern)) return failMalformed(path, pattern, 'a regular expression');
  try {
    return parseRegex(terms, pattern, 'search');
  } catch (error) {
    if (error instanceof SyntaxError) return failMalformed(path, pattern, 'a regular expression');
    throw error instanceof Unsupported ? new Unsupported(error.message, path) : error;
  }
}

/** Items of a list: those with a place of their own, and the others. */
export function itemsOf(
  compiler: SchemaCompiler,
  schema: SchemaObject,
  path: string,
  { draft7 }: Place,
): { prefix: Formula[]; rest: Formula } {
  const tuple = Array.isArray(schema.items);
  const name = tuple ? 'items' : 'prefixItems';
  const given = tuple || !draft7 ? schema[name] : undefined;
  const none = given === undefined || (Array.isArray(given) && !given.length);
  const rest = tuple ? 'additionalItems' : 'items';
  return {
    prefix: none ? [] : listOf(compiler, schema, name, path),
    rest: hasKeyword(schema, rest)
      ? compiler.compile(schema[rest], pointerTo(path, rest))
      : compiler.solver.formulas.ANY,
  };
}

/** Properties with other names than these, and that match none of the patterns. */
export function otherProperties(
  { terms, formulas: { ANY, literal } }: Solver,
  names: readonly string[],
  patterns: readonly Term[],
  of: Formula,
): Formula {
  if (of === ANY) return ANY;
  const term = patterns.length ? terms.not(terms.or(...patterns)) : undefined;
  return literal({
    type: 'each',
    keys: { ...(names.length && { outside: new Set(names) }), ...(term && { term }) },
    of,
  });
}

function numberAt(schema: SchemaObject, name: string, path: string, wanted: string, valid: (n: number) => boolean) {
  if (!hasKeyword(schema, name)) return undefined;
  const value = schema[name];
  return typeof value === 'number' && Number.isFinite(value) && valid(value)
    ? value
    : failMalformed(pointerTo(path, name), value, wanted);
}
const wholeAt = (schema: SchemaObject, name: string, path: string): number | undefined =>
  numberAt(schema, name, path, 'a whole number of at least 0', (n) => n >= 0 && Number.isInteger(n));

/** All keywords of a schema but those that combine schemas. */
export function ownKeywords(compiler: SchemaCompiler, schema: SchemaObject, path: string, place: Place): Formula {
  const { ANY, literal, types, and, constant, oneOf } = compiler.solver.formulas;
  const at = (name: string): string => pointerTo(path, name);
  const parts: Formula[] = [];
  if (hasKeyword(schema, 'type')) {
    const names = [schema.type].flat();
    const wrong = names.some((name) => !isText(name) || !Object.hasOwn(TYPES, name));
    if (wrong || !names.length) failMalformed(at('type'), schema.type, Object.keys(TYPES).join(', '));
    const mask = names.reduce<number>((bits, name) => bits | TYPES[name as string], 0);
    const whole = names.includes('integer') && !names.includes('number');
    parts.push(types(mask), whole ? literal({ type: 'multiple', of: decimalOf(1), negated: false }) : ANY);
  }
  if (hasKeyword(schema, 'enum'))
    parts.push(Array.isArray(schema.enum) ? oneOf(schema.enum) : failMalformed(at('enum'), schema.enum, 'a list'));
  if (hasKeyword(schema, 'const')) parts.push(constant(schema.const));
  return and(
    ...parts,
    ...numbers(compiler, schema, path),
    ...lengths(compiler, schema, path),
    ...texts(compiler, schema, path),
    ...items(compiler, schema, path, place),
    ...properties(compiler, schema, path),
  );
}

function numbers({ solver }: SchemaCompiler, schema: SchemaObject, path: string): Formula[] {
  const { literal } = solver.formulas;
  const bound = (name: string, side: 'low' | 'high', open: boolean): Formula[] => {
    const value = numberAt(schema, name, path, 'a number', () => true);
    return value === undefined ? [] : [literal({ type: 'bound', value: decimalOf(value), side, open })];
  };
  const step = numberAt(schema, 'multipleOf', path, 'a number above 0', (n) => n > 0);
  return [
    ...bound('minimum', 'low', false),
    ...bound('exclusiveMinimum', 'low', true),
    ...bound('maximum', 'high', false),
    ...bound('exclusiveMaximum', 'high', true),
    ...(step === undefined ? [] : [literal({ type: 'multiple', of: decimalOf(step), negated: false })]),
  ];
}

function lengths({ solver }: SchemaCompiler, schema: SchemaObject, path: string): Formula[] {
  const { not, types, size } = solver.formulas;
  const range = (type: 'length' | 'count' | 'size', of: number, least: string, most: string): Formula => {
    const [min, max] = [wholeAt(schema, least, path) ?? 0, wholeAt(schema, most, path) ?? Infinity];
    // no value of this kind
    return min > max ? not(types(of)) : size(type, min, max);
  };
  return [
    range('length', STRING, 'minLength', 'maxLength'),
    range('count', ARRAY, 'minItems', 'maxItems'),
    range('size', OBJECT, 'minProperties', 'maxProperties'),
  ];
}

function texts(compiler: SchemaCompiler, schema: SchemaObject, path: string): Formula[] {
  const { terms, formulas } = compiler.solver;
  const { ANY, literal } = formulas;
  const parts: Formula[] = [];
  if (hasKeyword(schema, 'pattern')) {
    const at = pointerTo(path, 'pattern');
    parts.push(compiler.enforced(at, () => literal({ type: 'term', term: patternOf(compiler, schema.pattern, at) })));
  }
  if (hasKeyword(schema, 'format') && compiler.assertFormats) {
    const at = pointerTo(path, 'format');
    const name = schema.format;
    if (!isText(name)) return failMalformed(at, name, 'a text');
    if (Object.hasOwn(FORMATS, name))
      parts.push(literal({ type: 'term', term: parseRegex(terms, FORMATS[name], 'whole') }));
    else parts.push(OTHER_FORMATS.includes(name) ? compiler.refuse(at, `the format ${name}`) : ANY);
  }
  return parts;
}

function items(compiler: SchemaCompiler, schema: SchemaObject, path: string, place: Place): Formula[] {
  const { ANY, literal, not, types } = compiler.solver.formulas;
  const parts: Formula[] = [];
  const { prefix, rest } = itemsOf(compiler, schema, path, place);
  if (prefix.length || rest !== ANY) parts.push(literal({ type: 'items', prefix, rest }));
  if (hasKeyword(schema, 'contains')) {
    const of = compiler.compile(schema.contains, pointerTo(path, 'contains'));
    const min = place.draft7 ? 1 : (wholeAt(schema, 'minContains', path) ?? 1);
    const max = place.draft7 ? Infinity : (wholeAt(schema, 'maxContains', path) ?? Infinity);
    if (min > max) parts.push(not(types(ARRAY)));
    else if (min > 0 || max < Infinity) parts.push(literal({ type: 'contains', from: 0, of, min, max }));
  }
  if (schema.uniqueItems === true) parts.push(literal({ type: 'unique' }));
  return parts;
}

function properties(compiler: SchemaCompiler, schema: SchemaObject, path: string): Formula[] {
  const { solver, compile, enforced } = compiler;
  const { ANY, literal, required, later } = solver.formulas;
  const at = (name: string): string => pointerTo(path, name);
  const parts: Formula[] = [];
  const named = entriesOf(schema, 'properties', path).map(([name, one, where]) => [name, compile(one, where)] as const);
  if (named.length) parts.push(literal({ type: 'properties', of: new Map(named) }));
  if (named.length && compiler.ordered) parts.push(literal({ type: 'ordered' }));
  const patterns: Term[] = [];
  for (const [pattern, one, where] of entriesOf(schema, 'patternProperties', path))
    parts.push(
      enforced(where, () => {
        const term = patternOf(compiler, pattern, where);
        patterns.push(term);
        const of = compile(one, where);
        return of === ANY ? ANY : literal({ type: 'each', keys: { term }, of });
      }),
    );
  if (hasKeyword(schema, 'additionalProperties')) {
    const of = compile(schema.additionalProperties, at('additionalProperties'));
    parts.push(
      otherProperties(
        solver,
        named.map(([name]) => name),
        patterns,
        of,
      ),
    );
  }
  if (hasKeyword(schema, 'propertyNames')) {
    const where = at('propertyNames');
    const inner = compile(schema.propertyNames, where);
    if (inner !== ANY) parts.push(later(`names ${where}`, where, () => enforced(where, () => solver.names(inner))));
  }
  if (hasKeyword(schema, 'required')) parts.push(...textsAt(at('required'), schema.required).map(required));
  const dependent = [
    ...entriesOf(schema, 'dependentRequired', path),
    ...entriesOf(schema, 'dependencies', path).filter(([, on]) => Array.isArray(on)),
  ];
  for (const [name, given, where] of dependent) {
    const on = textsAt(where, given);
    if (on.length) parts.push(literal({ type: 'dependent', name, on }));
  }
  return parts;
}
