/**
 * Attributes and methods of the values. Only what stands here can be reached: never a property of a JavaScript object.
 */
import { apply, functions, misused } from './functions';
import { braces, capitalize, pad, replace, SPACE, split, splitFromEnd, splitLines, strip } from './strings';
import {
  counted,
  equal,
  has,
  Host,
  integer,
  item,
  length,
  list,
  lookup,
  raise,
  slice,
  text,
  Tuple,
  View,
  wrong,
  type Dict,
  type Value,
} from './values';

const CASED = '\\p{Lu}\\p{Ll}\\p{Lt}';
const title = (given: string): string => given.replace(new RegExp(`[${CASED}]+`, 'gu'), capitalize);

const matches =
  (source: string) =>
  (given: string): boolean =>
    new RegExp(`^${source}$`, 'u').test(given);
const oneCase = (wrong: string): ((given: string) => boolean) => matches(`(?=.*[${CASED}])[^${wrong}\\p{Lt}]*`);
export const isLower = oneCase('\\p{Lu}');
export const isUpper = oneCase('\\p{Ll}');

/** A method on the part of a text between two places. */
const within =
  (use: (part: string, wanted: Value, given: string, start: Value) => Value) =>
  (given: string, wanted: Value, start: Value = null, end: Value = null): Value =>
    use(slice(given, start, end, null) as string, wanted, given, start);

/** Where a text is in another, in characters; -1 where it is not, or an error. */
const find = (last: boolean, must: boolean): ReturnType<typeof within> =>
  within((part, wanted, given, start) => {
    const at = last ? part.lastIndexOf(text(wanted)) : part.indexOf(text(wanted));
    const before =
      start === null ? 0 : integer(start) + (integer(start) < 0 ? Math.max(-integer(start), length(given)) : 0);
    return at < 0 ? (must ? raise('not found') : -1n) : BigInt(before + length(part.slice(0, at)));
  });

const anyOf = (wanted: Value, test: (one: string) => boolean): boolean =>
  (wanted instanceof Tuple ? wanted : [wanted]).some((one) =>
    test(typeof one === 'string' ? one : wrong(one, 'a text')),
  );

function partition(given: string, separator: Value, at: number, otherwise: string[]): Tuple {
  const cut = text(separator) || wrong(separator, 'a text');
  return Tuple.from(at < 0 ? otherwise : [given.slice(0, at), cut, given.slice(at + cut.length)]) as Tuple;
}

const TEXT = functions({
  capitalize,
  lower: (s: string) => s.toLowerCase(),
  upper: (s: string) => s.toUpperCase(),
  title,
  'center 2': (s: string, width: Value, fill = ' ') => pad(s, integer(width), 0, fill),
  'ljust 2': (s: string, width: Value, fill = ' ') => pad(s, integer(width), -1, fill),
  'rjust 2': (s: string, width: Value, fill = ' ') => pad(s, integer(width), 1, fill),
  'zfill 1': (s: string, width: Value) =>
    s.slice(0, /^[-+]?/.exec(s)![0].length) +
    pad(s.replace(/^[-+]/, ''), integer(width) - /^[-+]?/.exec(s)![0].length, 1, '0'),
  'count 3': within((part, wanted) => BigInt(wanted === '' ? length(part) + 1 : part.split(text(wanted)).length - 1)),
  'startswith 3': within((part, wanted) => anyOf(wanted, (one) => part.startsWith(one))),
  'endswith 3': within((part, wanted) => anyOf(wanted, (one) => part.endsWith(one))),
  'find 3': find(false, false),
  'rfind 3': find(true, false),
  'index 3': find(false, true),
  'rindex 3': find(true, true),
  'join 1': (s: string, items: Value) =>
    counted(
      list(items)
        .map((one) => (typeof one === 'string' ? one : wrong(one, 'a text')))
        .join(s),
    ),
  'strip 1': (s: string, chars: Value = null) => strip(s, chars),
  'lstrip 1': (s: string, chars: Value = null) => strip(s, chars, 1),
  'rstrip 1': (s: string, chars: Value = null) => strip(s, chars, 2),
  'split sep maxsplit': (s: string, separator: Value = null, most: Value = -1n) => split(s, separator, most),
  'rsplit sep maxsplit': (s: string, separator: Value = null, most: Value = -1n) => splitFromEnd(s, separator, most),
  'splitlines keepends': (s: string, keep: Value = false) => splitLines(s, !!keep),
  'partition 1': (s: string, separator: Value) => partition(s, separator, s.indexOf(text(separator)), [s, '', '']),
  'rpartition 1': (s: string, separator: Value) => partition(s, separator, s.lastIndexOf(text(separator)), ['', '', s]),
  'replace 3': (s: string, from: Value, to: Value, most: Value = -1n) =>
    typeof from === 'string' && typeof to === 'string' ? replace(s, from, to, integer(most)) : misused('replace'),
  'removeprefix 1': (s: string, prefix: string) => (s.startsWith(prefix) ? s.slice(prefix.length) : s),
  'removesuffix 1': (s: string, suffix: string) => (suffix && s.endsWith(suffix) ? s.slice(0, -suffix.length) : s),
  isalpha: matches('\\p{L}+'),
  isalnum: matches('[\\p{L}\\p{N}]+'),
  isdecimal: matches('\\p{Nd}+'),
  isdigit: matches('[\\p{Nd}\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468]+'),
  isnumeric: matches('\\p{N}+'),
  isspace: matches(`[${SPACE}]+`),
  islower: isLower,
  isupper: isUpper,
});

const view = (kind: string, items: Value[]): View => new View(`dict_${kind}`, items);
const DICT = functions({
  'get 2': (d: Dict, key: Value, otherwise: Value = null) => (has(d, key) ? lookup(d, key) : otherwise),
  items: (d: Dict) =>
    view(
      'items',
      [...d].map((pair) => Tuple.from(pair)),
    ),
  keys: (d: Dict) => view('keys', [...d.keys()]),
  values: (d: Dict) => view('values', [...d.values()]),
  copy: (d: Dict) => d,
});

const LIST = functions({
  'count 1': (l: Value[], value: Value) => BigInt(l.filter((one) => equal(one, value)).length),
  'index 1': (l: Value[], value: Value) =>
    BigInt(l.findIndex((one) => equal(one, value)) + 1 || raise('not found')) - 1n,
  copy: (l: Value[]) => l,
});

/**
 * The sandbox of transformers does not let a template change a value. A key with such a name is reached by brackets
 * alone.
 */
const CHANGING = ['pop', 'popitem', 'update', 'clear', 'setdefault', 'fromkeys'];

/** An attribute that is no element; undefined where there is none */
export function ownAttribute(value: Value, name: string): Value {
  if (value instanceof Host) return value.get(name);
  const methods =
    typeof value === 'string' ? TEXT : value instanceof Map ? DICT : Array.isArray(value) ? LIST : undefined;
  const method = methods?.get(name);
  if (method) return (args, named) => apply(method, value, args, named);
  if (typeof value === 'string' && name === 'format') return (args, named) => braces(value, args, named, attribute);
  return value instanceof Tuple ? value[value.fields?.indexOf(name) ?? -1] : undefined;
}

/** `value.name`: a method comes before a key. */
export function attribute(value: Value, name: string): Value {
  if (value === undefined) return raise(`${name} of undefined`);
  if (value instanceof Map && CHANGING.includes(name)) return undefined;
  return ownAttribute(value, name) ?? item(value, name);
}

/** `value[key]`: a key comes before a method. */
export function subscript(value: Value, key: Value): Value {
  if (value === undefined) return raise(`${text(key)} of undefined`);
  const element = item(value, key);
  return element === undefined && typeof key === 'string' ? ownAttribute(value, key) : element;
}
