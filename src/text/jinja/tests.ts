/** What can stand behind `is`. */
import { apply, functions, type Signature } from './functions';
import { isLower, isUpper } from './methods';
import { operate } from './strings';
import { COMPARISONS, equal, Host, indexable, isNumber, raise, text, View, type Named, type Value } from './values';

const isSequence = (value: Value): boolean =>
  value === undefined || value instanceof Map || indexable(value) !== undefined;
const remainder = (value: Value, by: Value): Value => operate('%', value, by);

/** filters.ts adds `filter`. */
export const TESTS: Map<string, Signature> = functions({
  boolean: (v: Value) => typeof v === 'boolean',
  callable: (v: Value) => typeof v === 'function' || (v instanceof Host && !!v.call),
  defined: (v: Value) => v !== undefined,
  undefined: (v: Value) => v === undefined,
  'divisibleby num': (v: Value, by: Value) => equal(remainder(v, by), 0n),
  'eq|==|equalto other': COMPARISONS['=='],
  'ne|!= other': COMPARISONS['!='],
  'lt|<|lessthan other': COMPARISONS['<'],
  'le|<= other': COMPARISONS['<='],
  'gt|>|greaterthan other': COMPARISONS['>'],
  'ge|>= other': COMPARISONS['>='],
  'in seq': COMPARISONS.in,
  escaped: () => false,
  even: (v: Value) => equal(remainder(v, 2n), 0n),
  odd: (v: Value) => equal(remainder(v, 2n), 1n),
  false: (v: Value) => v === false,
  true: (v: Value) => v === true,
  none: (v: Value) => v === null,
  float: (v: Value) => typeof v === 'number',
  integer: (v: Value) => typeof v === 'bigint',
  number: isNumber,
  string: (v: Value) => typeof v === 'string',
  mapping: (v: Value) => v instanceof Map,
  iterable: (v: Value) => isSequence(v) || v instanceof View,
  sequence: isSequence,
  lower: (v: Value) => isLower(text(v)),
  upper: (v: Value) => isUpper(text(v)),
  test: (v: Value) => TESTS.has(v as string),
  'sameas other': (a: Value, b: Value) => a === b,
});

export function test(name: string, value: Value, args: Value[], named: Named): boolean {
  return apply(TESTS.get(name) ?? raise(`there is no test ${name}`), value, args, named) as boolean;
}
