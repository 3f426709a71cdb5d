/**
 * Checks the arguments of a call against the JSON Schema of its tool, as far as keywords need no regular expressions.
 * `uncheckedKeyword` finds what is beyond that.
 */
import { isObject, type Fields } from './fields';

/** Where a value does not fit its schema, and what was wanted there. */
export interface Mismatch {
  /** as `arguments.items[0].count` */
  path: string;
  wanted: string;
}

/** A schema that refers to itself ends here, and is reported. */
const MAX_DEPTH = 128;
const MAX_STEPS = 20_000;

const TYPES: Record<string, (value: unknown) => boolean> = {
  string: (value) => typeof value === 'string',
  integer: Number.isInteger,
  number: Number.isFinite,
  boolean: (value) => typeof value === 'boolean',
  array: Array.isArray,
  object: isObject,
  null: (value) => value === null,
};

/** Keywords that say nothing about values. */
const ANNOTATIONS =
  '$schema $id $comment $defs definitions title description default examples deprecated readOnly writeOnly strict';
const CHECKED =
  '$ref type enum const properties required additionalProperties items minItems maxItems minimum maximum exclusiveMinimum exclusiveMaximum minLength maxLength anyOf allOf';
const KNOWN = new Set(`${ANNOTATIONS} ${CHECKED}`.split(' '));

/** The first place where the value does not fit; undefined if it fits as far as it is checked. */
export const findMismatch = (value: unknown, schema: unknown, path = 'arguments'): Mismatch | undefined =>
  mismatch(value, schema, { path, root: schema, depth: 0, steps: { left: MAX_STEPS } });

interface Place {
  path: string;
  root: unknown;
  depth: number;
  steps: { left: number };
}

function mismatch(value: unknown, schema: unknown, { path, root, depth, steps }: Place): Mismatch | undefined {
  if (schema === false) return { path, wanted: 'nothing' };
  if (!isObject(schema)) return undefined;
  if (depth > MAX_DEPTH || steps.left-- <= 0) return { path, wanted: 'a schema that ends' };
  const below = (inner: unknown, rule: unknown, at: string): Mismatch | undefined =>
    mismatch(inner, rule, { path: at, root, depth: depth + 1, steps });
  const wanted = ownMismatch(value, schema);
  if (wanted) return { path, wanted };
  if (typeof schema.$ref === 'string') {
    const found = below(value, resolveRef(schema.$ref, root), path);
    if (found) return found;
  }
  for (const rule of listOf(schema.allOf)) {
    const found = below(value, rule, path);
    if (found) return found;
  }
  const choices = listOf(schema.anyOf).map((rule) => below(value, rule, path));
  if (choices.length && choices.every(Boolean)) return choices[0];
  if (Array.isArray(value) && schema.items !== undefined)
    for (const [i, item] of value.entries()) {
      const found = below(item, schema.items, `${path}[${i}]`);
      if (found) return found;
    }
  return isObject(value) ? memberMismatch(value, schema, path, below) : undefined;
}

/** What the value itself should be. */
function ownMismatch(value: unknown, schema: Fields): string | undefined {
  const types = typeof schema.type === 'string' ? [schema.type] : listOf(schema.type);
  if (types.length && !types.some((type) => TYPES[String(type)]?.(value) ?? true)) return types.join(' or ');
  const written = JSON.stringify(value);
  if (Array.isArray(schema.enum) && !schema.enum.some((one) => JSON.stringify(one) === written))
    return `one of ${schema.enum.map((one) => JSON.stringify(one)).join(', ')}`;
  if ('const' in schema && JSON.stringify(schema.const) !== written) return JSON.stringify(schema.const);
  for (const [keyword, told, holds] of boundsOf(value)) {
    const bound = schema[keyword];
    if (typeof bound === 'number' && !holds(bound)) return told.replace('%', String(bound));
  }
  return undefined;
}

type Bound = [keyword: string, told: string, holds: (bound: number) => boolean];

/** The keywords that bound a value of this kind. */
function boundsOf(value: unknown): Bound[] {
  const between = (low: string, high: string, size: number, what: string): Bound[] => [
    [low, `at least %${what}`, (bound) => size >= bound],
    [high, `at most %${what}`, (bound) => size <= bound],
  ];
  if (typeof value === 'string') return between('minLength', 'maxLength', [...value].length, ' characters');
  if (Array.isArray(value)) return between('minItems', 'maxItems', value.length, ' items');
  if (typeof value !== 'number') return [];
  return [
    ...between('minimum', 'maximum', value, ''),
    ['exclusiveMinimum', 'more than %', (bound) => value > bound],
    ['exclusiveMaximum', 'less than %', (bound) => value < bound],
  ];
}

function memberMismatch(
  value: Fields,
  schema: Fields,
  path: string,
  below: (inner: unknown, rule: unknown, at: string) => Mismatch | undefined,
): Mismatch | undefined {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const missing = listOf(schema.required).find((name) => typeof name === 'string' && !Object.hasOwn(value, name));
  if (missing !== undefined) return { path: `${path}.${String(missing)}`, wanted: 'a value, which is missing' };
  for (const [name, item] of Object.entries(value)) {
    const known = Object.hasOwn(properties, name);
    const rule = known ? properties[name] : schema.additionalProperties;
    if (!known && rule === false)
      return { path: `${path}.${name}`, wanted: `only ${Object.keys(properties).join(', ') || 'no arguments'}` };
    const found = below(item, rule, `${path}.${name}`);
    if (found) return found;
  }
  return undefined;
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** The part of the schema that '#/$defs/name' means; undefined if there is none. */
function resolveRef(ref: string, root: unknown): unknown {
  if (!ref.startsWith('#')) return undefined;
  return ref
    .slice(1)
    .split('/')
    .filter(Boolean)
    .reduce<unknown>((at, step) => {
      const key = step.replaceAll('~1', '/').replaceAll('~0', '~');
      return (isObject(at) || Array.isArray(at)) && Object.hasOwn(at, key) ? (at as Fields)[key] : undefined;
    }, root);
}

/** The path of a keyword that `findMismatch` does not check; undefined if it checks all. */
export function uncheckedKeyword(
  schema: unknown,
  path: string,
  { root, depth, steps }: Omit<Place, 'path'> = { root: schema, depth: 0, steps: { left: MAX_STEPS } },
): string | undefined {
  if (!isObject(schema)) return undefined;
  if (depth > MAX_DEPTH || steps.left-- <= 0) return path;
  for (const [keyword, value] of Object.entries(schema)) {
    const at = `${path}.${keyword}`;
    if (!KNOWN.has(keyword) || (keyword === '$ref' && resolveRef(String(value), root) === undefined)) return at;
    const parts: [unknown, string][] = ['properties', '$defs', 'definitions'].includes(keyword)
      ? Object.entries(isObject(value) ? value : {}).map(([name, one]) => [one, `${at}.${name}`])
      : ['anyOf', 'allOf'].includes(keyword)
        ? listOf(value).map((one, i) => [one, `${at}[${i}]`])
        : ['items', 'additionalProperties'].includes(keyword)
          ? [[value, at]]
          : [];
    for (const [part, where] of parts) {
      const found = uncheckedKeyword(part, where, { root, depth: depth + 1, steps });
      if (found) return found;
    }
  }
  return undefined;
}
