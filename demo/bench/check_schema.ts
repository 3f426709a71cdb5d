/**
 * Checks a value against the JSON Schema of the result: the keywords that docs/benchmark.schema.json uses, and no
 * others. Validators compile code, which the page's policy forbids, or come without the text of their licence.
 */
export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  const?: unknown;
  enum?: readonly unknown[];
  type?: string;
  properties?: Record<string, Schema>;
  required?: readonly string[];
  additionalProperties?: boolean;
  items?: Schema;
  prefixItems?: readonly Schema[];
  minItems?: number;
  maxItems?: number;
  maxLength?: number;
  pattern?: string;
  minimum?: number;
  maximum?: number;
}

const KNOWN = new Set([
  '$schema',
  '$defs',
  '$ref',
  'title',
  'description',
  'const',
  'enum',
  'type',
  'properties',
  'required',
  'additionalProperties',
  'items',
  'prefixItems',
  'minItems',
  'maxItems',
  'maxLength',
  'pattern',
  'minimum',
  'maximum',
]);

/**
 * @returns where the value breaks the schema and why, undefined if it does not
 * @throws Error if the schema has a keyword that is not known here
 */
export function schemaError(root: Schema, value: unknown): string | undefined {
  return check(root, value, '');

  function check(schema: Schema, given: unknown, at: string): string | undefined {
    const unknown = Object.keys(schema).find((keyword) => !KNOWN.has(keyword));
    if (unknown) throw new Error(`The schema has the keyword ${unknown}, which is not checked.`);
    const refused = (wanted: string): string => `The value at ${at || '/'} is not allowed: wanted ${wanted}.`;
    if (schema.$ref) {
      const error = check(root.$defs![schema.$ref.replace('#/$defs/', '')], given, at);
      if (error) return error;
    }
    if ('const' in schema && given !== schema.const) return refused(JSON.stringify(schema.const));
    if (schema.enum && !schema.enum.includes(given)) return refused(`one of ${schema.enum.join(', ')}`);
    if (schema.type && !isOfType(given, schema.type))
      return refused(`${schema.type === 'integer' ? 'a whole number' : `the type ${schema.type}`}`);
    if (typeof given === 'number') {
      if (given < (schema.minimum ?? -Infinity)) return refused(`${schema.minimum} or more`);
      if (given > (schema.maximum ?? Infinity)) return refused(`${schema.maximum} or less`);
    }
    if (typeof given === 'string') {
      // JSON Schema counts characters, not halves of them
      if (schema.maxLength !== undefined && given.length > schema.maxLength && [...given].length > schema.maxLength)
        return refused(`at most ${schema.maxLength} characters`);
      if (schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(given))
        return refused(`a text like ${schema.pattern}`);
    }
    return Array.isArray(given)
      ? checkList(schema, given, at, refused)
      : typeof given === 'object' && given !== null
        ? checkObject(schema, given as Record<string, unknown>, at, refused)
        : undefined;
  }

  function checkList(
    { items, prefixItems = [], minItems = 0, maxItems = Infinity }: Schema,
    given: unknown[],
    at: string,
    refused: (wanted: string) => string,
  ): string | undefined {
    if (given.length < minItems) return refused(`${minItems} or more entries`);
    if (given.length > maxItems) return refused(`at most ${maxItems} entries`);
    for (const [i, one] of given.entries()) {
      const schema = prefixItems[i] ?? items;
      const error = schema && check(schema, one, `${at}/${i}`);
      if (error) return error;
    }
    return undefined;
  }

  function checkObject(
    { properties = {}, required = [], additionalProperties }: Schema,
    given: Record<string, unknown>,
    at: string,
    refused: (wanted: string) => string,
  ): string | undefined {
    const missing = required.find((name) => !Object.hasOwn(given, name));
    if (missing !== undefined) return refused(`an object with ${missing}`);
    for (const [name, one] of Object.entries(given)) {
      const known = Object.hasOwn(properties, name);
      if (!known && additionalProperties === false)
        return `The value at ${at}/${name.slice(0, 40)} is not allowed: a result has nothing of this name.`;
      const error = known ? check(properties[name], one, `${at}/${name}`) : undefined;
      if (error) return error;
    }
    return undefined;
  }
}

function isOfType(value: unknown, type: string): boolean {
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  return typeof value === type;
}
