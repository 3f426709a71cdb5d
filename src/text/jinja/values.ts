/**
 * The values of a template, as Python has them: an integer is a bigint, a float a number, a dict a Map, a list an
 * array, None null, and a name without a value undefined. Templates only make new values, they change none.
 */
export type Value = undefined | null | boolean | bigint | number | string | Value[] | Dict | View | Host | Callable;
export type Dict = Map<Value, Value>;
export type Named = Map<string, Value>;
export type Callable = (args: Value[], named: Named) => Value;

/** It may have names for its elements. */
export class Tuple extends Array<Value> {
  declare fields?: string[];
}

/** What Python iterates over without its being a list: the views of a dict, a range, a generator. */
export class View {
  constructor(
    readonly kind: string,
    public items: Value[],
  ) {}
}

/** A generator can be read once. */
export const generator = (items: Value[]): View => new View('generator', items);

/** An object of the interpreter itself: loop, namespace, cycler. */
export class Host {
  constructor(
    readonly get: (name: string) => Value,
    readonly call?: Callable,
    readonly set?: (name: string, value: Value) => void,
  ) {}
}

export function raise(what: string): never {
  throw new Error(what);
}
export const wrong = (value: Value, wanted: string): never => raise(`got ${typeName(value)}, wanted ${wanted}`);

/**
 * Templates are hostile input. A pass of a loop costs 20, a call 10, a value that is compared or written 5, a character
 * 1: this takes a few seconds.
 */
const MAX_WORK = 5e7;
const MAX_LENGTH = 2 ** 26;
const MAX_DIGITS = 4300;
let work = 0;

export const startWork = (): void => void (work = 0);
export function spend(amount: number): void {
  if ((work += amount) > MAX_WORK) raise('too much work');
}
/** Before a text or list of this length is made. */
export function room(length: number): void {
  if (length > MAX_LENGTH) raise('too long');
  spend(length);
}

/** For messages, and to tell lists from tuples. */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType';
  if (value instanceof Map) return 'dict';
  if (Array.isArray(value)) return value instanceof Tuple ? 'tuple' : 'list';
  return value instanceof View ? value.kind : typeof value;
}

export const truth = (value: Value): boolean =>
  Array.isArray(value)
    ? value.length > 0
    : value instanceof Map
      ? value.size > 0
      : value instanceof View
        ? value.kind === 'generator' || value.items.length > 0
        : value !== value || !!value;

// ---- numbers

type Numeric = boolean | bigint | number;
export const isNumber = (value: Value): value is Numeric =>
  typeof value === 'boolean' || typeof value === 'bigint' || typeof value === 'number';
const number = (value: Numeric): bigint | number => (typeof value === 'boolean' ? BigInt(value) : value);

/** An integer as a JavaScript number: an index, a width. */
export function integer(value: Value): number {
  return typeof value === 'bigint' || typeof value === 'boolean' ? Number(value) : wrong(value, 'an integer');
}

export function floatText(value: number): string {
  if (!Number.isFinite(value)) return String(value).replace('Infinity', 'inf').toLowerCase();
  const [digits, exponent] = value.toExponential().split('e');
  if (+exponent < -4 || +exponent >= 16) return digits + 'e' + exponent.replace(/^(.)(\d)$/, '$10$2');
  return (Object.is(value, -0) ? '-' : '') + value + (Number.isInteger(value) ? '.0' : '');
}

/** The sign is that of b. */
function modulo(a: number, b: number): number {
  const rest = a % b;
  return rest && rest < 0 !== b < 0 ? rest + b : rest;
}

/** For two floats or two integers. They are typed as floats: both kinds have these operators. */
const OPERATORS: Record<string, (a: number, b: number) => number> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => Number(a) / Number(b),
  '//': (a, b) => {
    const whole = (a - modulo(a, b)) / b;
    return typeof whole === 'number' ? Math.round(whole) : whole;
  },
  '%': modulo,
  '**': (a, b) =>
    typeof a === 'number' || b < 0
      ? Number(a) ** Number(b)
      : String(a).length * Number(b) > MAX_DIGITS
        ? raise('too large')
        : a ** b,
};
const LARGEST = 10n ** BigInt(MAX_DIGITS);

export function arithmetic(operator: string, a: Value, b: Value): Value {
  if (isNumber(a) && isNumber(b)) {
    const [x, y] = [number(a), number(b)];
    if (Number(y) === 0 && /[/%]/.test(operator)) raise('division by zero');
    const float = typeof x === 'number' || typeof y === 'number';
    const result: bigint | number = OPERATORS[operator](
      float ? Number(x) : (x as never),
      float ? Number(y) : (y as never),
    );
    if (typeof result === 'number') return result;
    return result > LARGEST || -result > LARGEST ? raise('too large') : result;
  }
  if (operator === '+') {
    if (typeof a === 'string' && typeof b === 'string') {
      if (a.length + b.length > MAX_LENGTH) room(a.length + b.length);
      return a + b;
    }
    if (Array.isArray(a) && Array.isArray(b) && typeName(a) === typeName(b)) return counted(a.concat(b));
  }
  if (operator === '*') {
    const [many, times] = isNumber(a) ? [b, a] : [a, b];
    if (typeof times !== 'number' && isNumber(times) && (typeof many === 'string' || Array.isArray(many))) {
      const n = Math.max(0, integer(times));
      room(many.length * n);
      return typeof many === 'string'
        ? many.repeat(n)
        : sameKind(
            many,
            Array.from({ length: many.length * n }, (_, i) => many[i % many.length]),
          );
    }
  }
  return raise(`got ${typeName(a)} ${operator} ${typeName(b)}`);
}

const sameKind = (like: Value[], items: Value[]): Value[] => (like instanceof Tuple ? Tuple.from(items) : items);

/** The text or list, which is counted. */
export function counted<T extends string | Value[]>(made: T): T {
  room(made.length);
  return made;
}

export function negative(value: Value): Value {
  return isNumber(value) ? -number(value) : wrong(value, 'a number');
}

// ---- comparisons

export function equal(a: Value, b: Value): boolean {
  spend(5);
  if (isNumber(a) && isNumber(b)) return order(a, b) === 0;
  if (Array.isArray(a) && Array.isArray(b))
    return typeName(a) === typeName(b) && a.length === b.length && a.every((item, i) => equal(item, b[i]));
  if (a instanceof Map && b instanceof Map)
    return a.size === b.size && [...a].every(([key, value]) => has(b, key) && equal(value, lookup(b, key)));
  return a === b || (a instanceof View && b instanceof View && a.kind === b.kind && equal(a.items, b.items));
}

/** Code units in the order of code points. */
const codeOrder = (text: string, at: number): number =>
  text.charCodeAt(at) + (text[at] >= '\ue000' ? 0 : text[at] >= '\ud800' ? 0x2800 : 0);

/** Below, at or above 0; NaN where neither is. */
export function order(a: Value, b: Value): number {
  spend(5);
  if (isNumber(a) && isNumber(b))
    return number(a) < number(b) ? -1 : number(a) > number(b) ? 1 : number(a) >= number(b) ? 0 : NaN;
  if (typeof a === 'string' && typeof b === 'string') {
    let at = 0;
    while (at < a.length && a[at] === b[at]) at++;
    return at < a.length && at < b.length ? codeOrder(a, at) - codeOrder(b, at) : a.length - b.length;
  }
  if (Array.isArray(a) && Array.isArray(b) && typeName(a) === typeName(b)) {
    const at = a.findIndex((item, i) => i >= b.length || !equal(item, b[i]));
    return at < 0 || at >= b.length ? a.length - b.length : order(a[at], b[at]);
  }
  return raise(`got ${typeName(a)} < ${typeName(b)}`);
}

/** The operators that compare; tests have them too. */
export const COMPARISONS: Record<string, (a: Value, b: Value) => boolean> = {
  '==': equal,
  '!=': (a, b) => !equal(a, b),
  '<': (a, b) => order(a, b) < 0,
  '<=': (a, b) => order(a, b) <= 0,
  '>': (a, b) => order(a, b) > 0,
  '>=': (a, b) => order(a, b) >= 0,
  in: (a, b) => contains(b, a),
  'not in': (a, b) => !contains(b, a),
};

export function contains(all: Value, one: Value): boolean {
  if (all instanceof Map) return has(all, one);
  if (typeof all === 'string') return typeof one === 'string' ? all.includes(one) : wrong(one, 'a text');
  return list(all).some((item) => equal(item, one));
}

// ---- parts of values

/** The key as the dict has it: 1, 1.0 and True are one key. */
const keyIn = (dict: Dict, key: Value): Value =>
  typeof key === 'string' || dict.has(key) ? key : [...dict.keys()].find((k) => equal(k, key));
export const has = (dict: Dict, key: Value): boolean => dict.has(keyIn(dict, key));
export const lookup = (dict: Dict, key: Value): Value => dict.get(keyIn(dict, key));
export const toDict = (pairs: Iterable<readonly [Value, Value]>): Dict => {
  const dict: Dict = new Map();
  for (const [key, value] of pairs) dict.set(has(dict, key) ? keyIn(dict, key) : key, value);
  return dict;
};

/** The characters of a text: it stays a text where one unit is one character. */
export const characters = (text: string): string | string[] => (/[\ud800-\udfff]/.test(text) ? [...text] : text);

export function length(value: Value): number {
  if (typeof value === 'string') return characters(value).length;
  return value instanceof View && value.kind === 'generator' ? wrong(value, 'a list') : list(value).length;
}

/** The elements, which the caller must not change. */
export function list(value: Value): Value[] {
  if (Array.isArray(value)) return value;
  if (value === undefined) return [];
  if (typeof value === 'string') return [...value];
  if (value instanceof Map) return [...value.keys()];
  if (!(value instanceof View)) return wrong(value, 'a list');
  const { items } = value;
  if (value.kind === 'generator') value.items = [];
  return items;
}

/** What has an order and places; undefined for all else. */
export const indexable = (value: Value): ArrayLike<Value> | undefined =>
  typeof value === 'string'
    ? characters(value)
    : Array.isArray(value)
      ? value
      : value instanceof View && value.kind === 'range'
        ? value.items
        : undefined;

/** value[key] without its attributes; undefined where there is none */
export function item(value: Value, key: Value): Value {
  if (value instanceof Map) return lookup(value, key);
  const items = indexable(value);
  if (items === undefined || (typeof key !== 'bigint' && typeof key !== 'boolean')) return undefined;
  return items[Number(key) + (Number(key) < 0 ? items.length : 0)];
}

/** value[start:stop:step] */
export function slice(value: Value, start: Value, stop: Value, step: Value): Value {
  const items = indexable(value);
  if (
    items === undefined ||
    [start, stop, step].some((bound) => bound !== null && typeof bound !== 'bigint' && typeof bound !== 'boolean')
  )
    return wrong(value, 'a list');
  const by = step === null ? 1 : Number(step);
  if (!by) return raise('division by zero');
  const [low, high] = by > 0 ? [0, items.length] : [-1, items.length - 1];
  const bound = (given: Value, otherwise: number): number =>
    given === null ? otherwise : Math.max(low, Math.min(high, Number(given) + (Number(given) < 0 ? items.length : 0)));
  const taken: Value[] = [];
  const end = bound(stop, by > 0 ? high : low);
  for (let i = bound(start, by > 0 ? low : high); by > 0 ? i < end : i > end; i += by) taken.push(items[i]);
  spend(taken.length);
  if (typeof value === 'string') return taken.join('');
  return Array.isArray(value) ? sameKind(value, taken) : new View('range', taken);
}

// ---- texts

const PLAIN: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\' };
const hex = (code: number): string =>
  (code < 256 ? '\\x' : code < 65536 ? '\\u' : '\\U') +
  code.toString(16).padStart(code < 256 ? 2 : code < 65536 ? 4 : 8, '0');
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  return (
    quote +
    text
      .replace(/(?! )[\\\p{C}\p{Z}]/gu, (c) => PLAIN[c] ?? hex(c.codePointAt(0)!))
      .replaceAll(quote, quote === "'" ? "\\'" : quote) +
    quote
  );
}

/** How a value is written: Python's repr, JSON, or a mixture. */
export interface Style {
  /** for None, True and False */
  words: readonly [none: string, yes: string, no: string];
  text(text: string): string;
  json?: boolean;
  /** between items, and behind a key */
  separators?: readonly string[];
  indent?: string;
  sorted?: boolean;
}

const inQuotes = (given: string): string => JSON.stringify(given);
const inAscii = (given: string): string =>
  inQuotes(given).replace(/[^ -~]/g, (c) => hex(c.charCodeAt(0) + 65536).replace('U0001', 'u'));
const PYTHON = ['None', 'True', 'False'] as const;
const REPR: Style = { words: PYTHON, text: quoted };
/** A call as LFM2 writes it: Python with double quotes. */
export const CALL: Style = { words: PYTHON, text: inQuotes };

export const repr = (value: Value): string => write(value, REPR);
/** `str(value)` */
export const text = (value: Value): string =>
  typeof value === 'string' ? value : value === undefined ? '' : repr(value);

/** As Python's json.dumps with ensure_ascii=False. */
export const toJson = (value: Value, style: Partial<Style> = {}, ascii = false): string =>
  write(value, { words: ['null', 'true', 'false'], text: ascii ? inAscii : inQuotes, json: true, ...style });

export function write(value: Value, style: Style, margin = '\n'): string {
  spend(5);
  const { words, json, separators: [between, colon] = [', ', ': '], indent = '' } = style;
  if (value === null) return words[0];
  if (typeof value === 'boolean') return words[value ? 1 : 2];
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return json && !Number.isFinite(value) ? String(value) : floatText(value);
  if (typeof value === 'string') return counted(style.text(value));
  const inner = margin + indent;
  const group = (open: string, items: string[], close: string): string =>
    items.length && style.indent !== undefined
      ? open + inner + items.join(between + inner) + margin + close
      : open + items.join(between) + close;
  const all = (items: Value[]): string[] => items.map((one) => write(one, style, inner));
  if (Array.isArray(value))
    return json || !(value instanceof Tuple)
      ? group('[', all(value), ']')
      : group('(', all(value), value.length === 1 ? ',)' : ')');
  if (value instanceof Map) {
    const key = (one: Value): string =>
      json && typeof one !== 'string'
        ? `"${write(isNumber(one) || one === null ? one : wrong(one, 'a text'), style)}"`
        : write(one, style);
    const entries = [...value];
    if (style.sorted) entries.sort(([a], [b]) => order(a, b));
    return group(
      '{',
      entries.map(([name, one]) => key(name) + colon + write(one, style, inner)),
      '}',
    );
  }
  if (json) wrong(value, 'JSON');
  if (value instanceof View && value.kind.startsWith('dict')) return `${value.kind}(${write(value.items, style)})`;
  return value === undefined ? 'Undefined' : `<${typeName(value)}>`;
}
