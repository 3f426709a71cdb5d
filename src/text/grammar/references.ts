/** Where the parts of a schema are: `$id`, anchors, references. */
import { show } from '../../errors';
import { failRequest } from './request';
import { memo } from './memo';

export type SchemaObject = Record<string, unknown>;

/** A schema within its document. */
export interface Place {
  schema: SchemaObject;
  /** JSON pointer from the document's root */
  path: string;
  /** the address that references in it are relative to */
  base: string;
  draft7: boolean;
}

/** Keywords that hold a schema, a list of schemas, and schemas by name. */
const ONE = [
  'additionalItems',
  'additionalProperties',
  'contains',
  'else',
  'if',
  'items',
  'not',
  'propertyNames',
  'then',
  'unevaluatedItems',
  'unevaluatedProperties',
];
const LISTS = ['allOf', 'anyOf', 'items', 'oneOf', 'prefixItems'];
const MAPS = ['$defs', 'definitions', 'dependencies', 'dependentSchemas', 'patternProperties', 'properties'];

/** The address of a schema without one. */
const NOWHERE = 'rivulet:/schema';
const MAX_DEPTH = 256;

export const isPlainObject = (value: unknown): value is SchemaObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const pointerTo = (path: string, ...names: (string | number)[]): string =>
  [path, ...names.map((name) => String(name).replaceAll('~', '~0').replaceAll('/', '~1'))].join('/');

export const isDraft7 = (schema: unknown): boolean =>
  isPlainObject(schema) && typeof schema.$schema === 'string' && /draft-0[3-7]/.test(schema.$schema);

export type References = ReturnType<typeof createReferences>;

/**
 * @param at where the schema stands, for messages
 * @throws RequestError for schemas nested too deeply
 */
export function createReferences(root: unknown, at = '') {
  const places = new Map<SchemaObject, Place>();
  const byAddress = new Map<string, Place>();
  const anchors = new Map<string, Place>();
  const dynamic = new Map<string, Place[]>();

  const address = (reference: string, base: string): string => {
    try {
      return new URL(reference, base).href;
    } catch {
      return reference;
    }
  };

  function register(schema: unknown, path: string, outer: string, draft7: boolean, depth: number): void {
    if (!isPlainObject(schema) || places.has(schema)) return;
    if (depth > MAX_DEPTH)
      failRequest({
        what: 'The schema is nested too deeply',
        got: path.slice(0, 80),
        wanted: `at most ${MAX_DEPTH} levels`,
      });
    const own = typeof schema.$schema === 'string' ? isDraft7(schema) : draft7;
    let base = outer;
    const place: Place = { schema, path, base, draft7: own };
    const { $id: id } = schema;
    // beside $ref, draft 7 has no other keywords
    if (typeof id === 'string' && !(own && '$ref' in schema)) {
      if (id.startsWith('#')) anchors.set(base + id, place);
      else {
        base = address(id, outer).replace(/#$/, '');
        byAddress.set(base, place);
      }
    }
    place.base = base;
    places.set(schema, place);
    if (typeof schema.$anchor === 'string') anchors.set(`${base}#${schema.$anchor}`, place);
    if (typeof schema.$dynamicAnchor === 'string') {
      const name = schema.$dynamicAnchor;
      anchors.set(`${base}#${name}`, place);
      memo(dynamic, name, () => []).push(place);
    }
    const inner = (value: unknown, ...names: (string | number)[]): void =>
      register(value, pointerTo(path, ...names), base, own, depth + 1);
    for (const name of ONE) inner(schema[name], name);
    for (const name of LISTS) {
      const list = schema[name];
      if (Array.isArray(list)) list.forEach((one, i) => inner(one, name, i));
    }
    for (const name of MAPS) {
      const map = schema[name];
      if (isPlainObject(map)) for (const [key, one] of Object.entries(map)) inner(one, name, key);
    }
  }

  register(root, at, NOWHERE, isDraft7(root), 0);
  if (isPlainObject(root)) byAddress.set(NOWHERE, places.get(root)!);

  /** @returns the schema that a reference leads to; undefined if there is none */
  function resolve(reference: string, from: Place): { schema: unknown; path: string } | undefined {
    const [uri, fragment = ''] = address(reference, from.base).split('#');
    const resource = byAddress.get(uri);
    if (!resource) return undefined;
    let name: string;
    try {
      name = decodeURIComponent(fragment);
    } catch {
      return undefined;
    }
    if (name === '') return resource;
    if (!name.startsWith('/')) return anchors.get(`${uri}#${name}`);
    let value: unknown = resource.schema;
    let { path } = resource;
    let { base, draft7 } = resource;
    for (const part of name.slice(1).split('/')) {
      const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
      value = (value as Record<string, unknown>)[key];
      path = pointerTo(path, key);
      const known = isPlainObject(value) ? places.get(value) : undefined;
      if (known) ({ base, draft7 } = known);
    }
    register(value, path, base, draft7, 0);
    return { schema: value, path };
  }

  return {
    resolve,
    place: (schema: SchemaObject): Place => places.get(schema)!,
    /** A dynamic reference is an ordinary one if there is one anchor of that name at most. */
    isStatic: (reference: string): boolean => (dynamic.get(reference.replace(/^.*#/, ''))?.length ?? 0) < 2,
  };
}

/** @throws RequestError for a keyword whose value has the wrong form */
export function failMalformed(path: string, got: unknown, wanted: string): never {
  return failRequest({ what: `The schema is not valid at ${path || 'its root'}`, got: show(got), wanted });
}
