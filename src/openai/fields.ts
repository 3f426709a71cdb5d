/** Reads the fields of a request. What is wrong is refused with its path. */
import { show } from '../errors';
import { refuse } from './openai_error';

export type Fields = Record<string, unknown>;

export const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads the fields of one object. A field that is null or undefined is not there. */
export interface FieldReader {
  /** the path of a field, from the request down */
  path(name: string): string;
  has(name: string): boolean;
  value(name: string): unknown;
  text(name: string): string | undefined;
  /** @throws OpenAIError if it is not there, or is empty */
  requiredText(name: string): string;
  flag(name: string): boolean | undefined;
  number(name: string, low?: number, high?: number): number | undefined;
  whole(name: string, low?: number, high?: number): number | undefined;
  object(name: string): FieldReader | undefined;
  list(name: string): unknown[] | undefined;
  oneOf<T extends string>(name: string, ...values: T[]): T | undefined;
  /**
   * Refuses every field that none of these names. A field of `fixed` may have these values alone: others cannot be
   * honoured.
   * @throws OpenAIError
   */
  only(names: readonly string[], fixed?: Record<string, readonly unknown[]>): void;
  refuse(name: string, wanted: string): never;
}

/** @param path of the object; '' for the request itself. @throws OpenAIError if it is no object */
export function createFieldReader(given: unknown, path = ''): FieldReader {
  if (!isObject(given))
    refuse(path, { what: `${path || 'The request'} is not valid`, got: show(given), wanted: 'an object' });
  const fields = given;
  const pathOf = (name: string): string => (path ? `${path}.${name}` : name);
  const valueOf = (name: string): unknown => (Object.hasOwn(fields, name) ? (fields[name] ?? undefined) : undefined);

  function checked<T>(name: string, wanted: string, valid: (value: unknown) => boolean): T | undefined {
    const value = valueOf(name);
    return value === undefined || valid(value) ? (value as T | undefined) : reader.refuse(name, wanted);
  }
  const range = (low: number, high: number): string =>
    `${low > -Infinity ? ` from ${low}` : ''}${high < Infinity ? ` to ${high}` : ''}`;

  const reader: FieldReader = {
    path: pathOf,
    has: (name) => valueOf(name) !== undefined,
    value: valueOf,
    text: (name) => checked(name, 'a text', (value) => typeof value === 'string'),
    requiredText: (name) =>
      checked<string>(name, 'a text that is not empty', (value) => typeof value === 'string' && value !== '') ??
      reader.refuse(name, 'a text'),
    flag: (name) => checked(name, 'true or false', (value) => typeof value === 'boolean'),
    number: (name, low = -Infinity, high = Infinity) =>
      checked(
        name,
        `a number${range(low, high)}`,
        (value) => Number.isFinite(value) && (value as number) >= low && (value as number) <= high,
      ),
    whole: (name, low = -Infinity, high = Infinity) =>
      checked(
        name,
        `a whole number${range(low, high)}`,
        (value) => Number.isInteger(value) && (value as number) >= low && (value as number) <= high,
      ),
    object: (name) => (reader.has(name) ? createFieldReader(valueOf(name), pathOf(name)) : undefined),
    list: (name) => checked(name, 'a list', Array.isArray),
    oneOf: (name, ...values) =>
      checked(name, values.map(show).join(' or '), (value) => (values as unknown[]).includes(value)),
    only(names, fixed = {}) {
      for (const name of Object.keys(fields)) {
        if (names.includes(name) || !reader.has(name)) continue;
        const values = Object.hasOwn(fixed, name) ? fixed[name] : undefined;
        if (!values)
          refuse(
            pathOf(name),
            { what: `${pathOf(name)} is not known here`, cure: 'Leave it out.' },
            'unknown_parameter',
          );
        if (!values.some((value) => JSON.stringify(value) === JSON.stringify(fields[name])))
          refuse(
            pathOf(name),
            {
              what: `${pathOf(name)} cannot be honoured`,
              got: show(fields[name]),
              wanted: values.length ? values.map((value) => JSON.stringify(value)).join(' or ') : 'none',
            },
            'unsupported_parameter',
          );
      }
    },
    refuse: (name, wanted) =>
      refuse(
        pathOf(name),
        { what: `${pathOf(name)} is not valid`, got: show(valueOf(name)), wanted },
        reader.has(name) ? 'invalid_value' : 'missing_required_parameter',
      ),
  };
  return reader;
}
