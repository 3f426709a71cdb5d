/** What can stand behind `|`. */
import { apply, functions, misused } from './functions';
import { ownAttribute, subscript } from './methods';
import { capitalize, fixed, pad, percent, replace, split, splitLines, strip } from './strings';
import { test, TESTS } from './tests';
import {
  arithmetic,
  counted,
  equal,
  generator,
  integer,
  isNumber,
  length,
  list,
  negative,
  order,
  raise,
  room,
  text,
  toJson,
  truth,
  Tuple,
  View,
  wrong,
  type Dict,
  type Named,
  type Value,
} from './values';

const NONE: Named = new Map();
const onlyText = (value: Value): string => (typeof value === 'string' ? value : wrong(value, 'a text'));

/** Reads `a.b.0` from each value; null takes the value itself. Texts are compared in lower case unless `exact`. */
function reader(path: Value, exact: Value = true, otherwise?: Value): (value: Value) => Value {
  const parts =
    path === null
      ? []
      : typeof path === 'string'
        ? path.split('.').map((part) => (/^\d+$/.test(part) ? BigInt(part) : part))
        : [path];
  return (value) => {
    for (const part of parts) if ((value = subscript(value, part)) === undefined) value = otherwise ?? undefined;
    return typeof value === 'string' && !truth(exact) ? value.toLowerCase() : value;
  };
}

function sorted(items: Value[], key: (value: Value) => Value, reverse: Value = false): Value[] {
  const sign = truth(reverse) ? -1 : 1;
  return items
    .map((value) => [key(value), value] as const)
    .sort(([a], [b]) => sign * order(a, b))
    .map(([, value]) => value);
}

/** select, reject, selectattr, rejectattr */
function select(wanted: boolean, byAttribute: boolean) {
  return (value: Value, ...args: Value[]): Value => {
    if (byAttribute && !args.length) misused('selectattr');
    const key = byAttribute ? reader(args.shift()) : (one: Value): Value => one;
    const [name, ...rest] = args;
    if (name !== undefined && !TESTS.has(name as string)) raise(`there is no test ${text(name)}`);
    return generator(
      list(value).filter(
        (one) => (name === undefined ? truth(key(one)) : test(name as string, key(one), rest, NONE)) === wanted,
      ),
    );
  };
}

function toFloat(given: Value): number | undefined {
  if (isNumber(given)) return Number(given);
  const plain = typeof given === 'string' ? strip(given) : '';
  return /^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[-+]?\d+)?$/i.test(plain)
    ? Number(plain.replaceAll('_', ''))
    : undefined;
}

const PREFIXES: Record<number, string> = { 2: '0b', 8: '0o', 16: '0x' };
function toInteger(given: Value, otherwise: Value, base: number): Value {
  if (typeof given === 'bigint' || typeof given === 'boolean') return BigInt(given);
  const [, sign, digits] = /^([-+]?)(\w+)$/.exec(strip(text(given)).replace(/(?<=\w)_(?=[^\W_])/g, '')) ?? [];
  if (typeof given === 'string' && digits && (base !== 10 || /^\d+$/.test(digits)))
    try {
      const value = BigInt(PREFIXES[base] ? PREFIXES[base] + digits.replace(/^0[box]/i, '') : digits);
      return sign === '-' ? -value : value;
    } catch {
      // not of this base
    }
  const value = toFloat(given);
  return value !== undefined && Number.isFinite(value) ? BigInt(Math.trunc(value)) : otherwise;
}

function round(value: Value, places: number, method: Value): Value {
  if (!isNumber(value)) return wrong(value, 'a number');
  const scale = 10 ** places;
  if (method === 'ceil' || method === 'floor') return Math[method](Number(value) * scale) / scale;
  if (method !== 'common') misused('round');
  if (typeof value === 'number' && places >= 0) return Number(fixed(value, places));
  if (places >= 0) return BigInt(value as bigint);
  const near = fixed(Number(value) * scale, 0);
  return typeof value === 'number' ? Number(near) / scale : BigInt(near) * 10n ** BigInt(-places);
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&#39;', '"': '&#34;' };
const CHARACTERS: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"' };
const escape = (value: Value): string => counted(text(value).replace(/[&<>'"]/g, (c) => ENTITIES[c]));

function stripTags(given: string): string {
  const plain = split(given.replace(/<!--[^]*?-->|<[^>]*>/g, '')).join(' ');
  return plain.replace(/&(?:#(\d+)|#x([\da-f]+)|(\w+));/gi, (whole, decimal?: string, hex?: string, name = '') => {
    const code = decimal ? Number(decimal) : hex ? parseInt(hex, 16) : -1;
    return code >= 0
      ? code < 0x110000
        ? String.fromCodePoint(code)
        : '\ufffd'
      : Object.hasOwn(CHARACTERS, name)
        ? CHARACTERS[name]
        : whole;
  });
}

const urlPart = (value: Value, safe: RegExp): string =>
  encodeURIComponent(text(value))
    .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(safe, (c) => (c === '%2F' ? '/' : '+'));

function urlEncode(value: Value): string {
  if (typeof value === 'string' || !(value instanceof Map || Array.isArray(value) || value instanceof View))
    return urlPart(value, /%2F/g);
  const pairs = value instanceof Map ? [...value] : list(value).map(list);
  return pairs.map((pair) => pair.map((one) => urlPart(one, /%20/g)).join('=')).join('&');
}

function truncate(given: string, size: number, kill: Value, end: string, leeway: number): string {
  const all = [...given];
  if (all.length <= size + leeway) return given;
  const cut = all.slice(0, Math.max(0, size - [...end].length)).join('');
  return (truth(kill) ? cut : cut.replace(/ [^ ]*$/, '')) + end;
}

function indent(given: string, width: Value, first: Value, blank: Value): string {
  const margin = typeof width === 'string' ? width : pad('', integer(width), 1);
  const lines = splitLines(`${given}\n`);
  room(lines.length * margin.length);
  return lines.map((line, i) => ((i ? line || truth(blank) : truth(first)) ? margin + line : line)).join('\n');
}

function groups(value: Value, attribute: Value, otherwise: Value | undefined, exact: Value): Value[] {
  const [key, shown] = [reader(attribute, exact, otherwise), reader(attribute, true, otherwise)];
  const all: Tuple[] = [];
  let last: Value;
  for (const one of sorted(list(value), key)) {
    if (all.length && equal(key(one), last)) (all.at(-1)![1] as Value[]).push(one);
    else all.push(Object.assign(Tuple.from<Value>([shown(one), [one]]) as Tuple, { fields: ['grouper', 'list'] }));
    last = key(one);
  }
  return all;
}

function batches(value: Value, size: number, fill: Value): Value {
  const [items, all] = [list(value), [] as Value[]];
  if (size < 1) misused('batch');
  for (let i = 0; i < items.length; i += size) all.push(items.slice(i, i + size));
  const last = all.at(-1) as Value[] | undefined;
  if (last && fill !== null) while (last.length < size) room(last.push(fill));
  return generator(all);
}

function slices(value: Value, count: number, fill: Value): Value {
  const items = list(value);
  room(count);
  const [size, more] = [Math.floor(items.length / count), items.length % count];
  return generator(
    Array.from({ length: count }, (_, i) => {
      const part = items.slice(i * size + Math.min(i, more), (i + 1) * size + Math.min(i + 1, more));
      return fill !== null && i >= more ? [...part, fill] : part;
    }),
  );
}

/** `width`: a number of spaces, or the text itself */
const jsonIndent = (width: Value): string | undefined =>
  width === null ? undefined : typeof width === 'string' ? width : pad('', integer(width), 1);

const FILTERS = functions({
  abs: (v: Value) => (order(v, 0n) < 0 ? negative(v) : arithmetic('+', v, 0n)),
  'attr name': (v: Value, name: string) => ownAttribute(v, name),
  'batch linecount fill_with': (v: Value, size: Value, fill: Value = null) => batches(v, integer(size), fill),
  capitalize: (v: Value) => capitalize(text(v)),
  'center width': (v: Value, width: Value = 80n) => pad(text(v), integer(width), 0),
  'default|d default_value boolean': (v: Value, otherwise: Value = '', falsy: Value = false) =>
    v === undefined || (truth(falsy) && !truth(v)) ? otherwise : v,
  'dictsort case_sensitive by reverse': (v: Dict, exact: Value = false, by: Value = 'key', reverse: Value = false) => {
    const at = by === 'key' ? 0n : by === 'value' ? 1n : misused('dictsort');
    return sorted(
      [...v].map((pair) => Tuple.from(pair)),
      reader(at, exact),
      reverse,
    );
  },
  'escape|e|forceescape': escape,
  first: (v: Value) => (v instanceof View && v.kind === 'generator' ? v.items.shift() : list(v)[0]),
  'float default': (v: Value, otherwise: Value = 0) => toFloat(v) ?? otherwise,
  'groupby attribute default case_sensitive': (
    v: Value,
    attribute: Value,
    otherwise: Value = undefined,
    exact: Value = false,
  ) => groups(v, attribute, otherwise, exact),
  'indent width first blank': (v: Value, width: Value = 4n, first: Value = false, blank: Value = false) =>
    indent(onlyText(v), width, first, blank),
  'int default base': (v: Value, otherwise: Value = 0n, base: Value = 10n) => toInteger(v, otherwise, integer(base)),
  items: (v: Value) =>
    generator(v === undefined ? [] : v instanceof Map ? [...v].map((pair) => Tuple.from(pair)) : wrong(v, 'a dict')),
  'join d attribute': (v: Value, between: Value = '', attribute: Value = null) => {
    const parts = list(v).map(reader(attribute)).map(text);
    room(parts.length * text(between).length);
    return counted(parts.join(text(between)));
  },
  last: (v: Value) => (v instanceof View && v.kind === 'generator' ? wrong(v, 'a list') : list(v).at(-1)),
  'length|count': (v: Value) => BigInt(length(v)),
  list: (v: Value) => [...list(v)],
  lower: (v: Value) => text(v).toLowerCase(),
  'max case_sensitive attribute': (v: Value, exact: Value = false, attribute: Value = null) =>
    sorted(list(v), reader(attribute, exact), true)[0],
  'min case_sensitive attribute': (v: Value, exact: Value = false, attribute: Value = null) =>
    sorted(list(v), reader(attribute, exact))[0],
  'reject *': select(false, false),
  'rejectattr *': select(false, true),
  'select *': select(true, false),
  'selectattr *': select(true, true),
  'replace old new count': (v: Value, from: Value, to: Value, most: Value = null) =>
    replace(text(v), text(from), text(to), most === null ? -1 : integer(most)),
  reverse: (v: Value) => (typeof v === 'string' ? [...v].toReversed().join('') : generator([...list(v)].toReversed())),
  'round precision method': (v: Value, places: Value = 0n, method: Value = 'common') =>
    round(v, integer(places), method),
  'safe|string': text,
  'slice slices fill_with': (v: Value, count: Value, fill: Value = null) => slices(v, integer(count), fill),
  'sort reverse case_sensitive attribute': (
    v: Value,
    reverse: Value = false,
    exact: Value = false,
    attribute: Value = null,
  ) => {
    const keys =
      typeof attribute === 'string'
        ? attribute.split(',').map((path) => reader(path, exact))
        : [reader(attribute, exact)];
    return [...sorted(list(v), (one) => (keys.length > 1 ? keys.map((key) => key(one)) : keys[0](one)), reverse)];
  },
  striptags: (v: Value) => stripTags(text(v)),
  'sum attribute start': (v: Value, attribute: Value = null, start: Value = 0n) =>
    list(v)
      .map(reader(attribute))
      .reduce((a, b) => arithmetic('+', a, b), start),
  title: (v: Value) => text(v).replace(/[^-\s([{<]+/g, capitalize),
  'tojson ensure_ascii indent separators sort_keys': (
    v: Value,
    ascii: Value = false,
    width: Value = null,
    separators: Value = null,
    sort: Value = false,
  ) => {
    const marks = separators === null ? [width === null ? ', ' : ',', ': '] : list(separators).map(text);
    return toJson(v, { indent: jsonIndent(width), separators: marks, sorted: truth(sort) }, truth(ascii));
  },
  'trim chars': (v: Value, chars: Value = null) => strip(text(v), chars),
  'truncate length killwords end leeway': (
    v: Value,
    size: Value = 255n,
    kill: Value = false,
    end: Value = '...',
    leeway: Value = null,
  ) => truncate(onlyText(v), integer(size), kill, text(end), leeway === null ? 5 : integer(leeway)),
  'unique case_sensitive attribute': (v: Value, exact: Value = false, attribute: Value = null) => {
    const [key, seen] = [reader(attribute, exact), [] as Value[]];
    return generator(list(v).filter((one) => !seen.some((known) => equal(known, key(one))) && seen.push(key(one))));
  },
  upper: (v: Value) => text(v).toUpperCase(),
  urlencode: urlEncode,
  wordcount: (v: Value) => BigInt(text(v).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0),
});

export function filter(name: string, value: Value, args: Value[], named: Named): Value {
  if (name === 'map') return generator(map(value, args, named));
  if (name === 'format')
    return percent(text(value), named.size ? (args.length ? misused(name) : named) : Tuple.from(args));
  return apply(FILTERS.get(name) ?? raise(`there is no filter ${name}`), value, args, named);
}

/** `map('name', …)` or `map(attribute=…, default=…)` */
function map(value: Value, [name, ...args]: Value[], named: Named): Value[] {
  if (name !== undefined) return list(value).map((one) => filter(text(name), one, args, named));
  const read = reader(named.get('attribute') ?? misused('map'), true, named.get('default'));
  return list(value).map(read);
}

TESTS.set('filter', {
  name: 'filter',
  parameters: [],
  run: (name: string) => name === 'map' || name === 'format' || FILTERS.has(name),
});
