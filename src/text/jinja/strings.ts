/** How Python splits, formats and classifies text. */
import {
  arithmetic,
  characters,
  counted,
  floatText,
  integer,
  isNumber,
  item,
  repr,
  raise,
  room,
  text,
  Tuple,
  wrong,
  type Named,
  type Value,
} from './values';

/** What Python takes for white space, for a character class. */
export const SPACE = '\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const WHITE = new RegExp(`[${SPACE}]`);
const WORD = new RegExp(`[^${SPACE}]+`, 'g');

/** `sides`: 1 the start, 2 the end, 3 both */
export function strip(given: string, chars: Value = null, sides = 3): string {
  const all = characters(given);
  const dropped = chars === null ? null : text(chars);
  const drop = (c: string): boolean => (dropped === null ? WHITE.test(c) : dropped.includes(c));
  let [start, end] = [0, all.length];
  if (sides & 1) while (start < end && drop(all[start])) start++;
  if (sides & 2) while (start < end && drop(all[end - 1])) end--;
  return typeof all === 'string' ? all.slice(start, end) : all.slice(start, end).join('');
}

/** At most `most` cuts, from the start. */
export function split(given: string, separator: Value = null, most: Value = -1n): string[] {
  const cuts = integer(most);
  const glue = text(separator);
  const parts = separator === null ? (given.match(WORD) ?? []) : given.split(glue || wrong(separator, 'a text'));
  room(parts.length);
  if (cuts < 0 || parts.length <= cuts) return parts;
  const kept = parts.slice(0, cuts);
  if (separator !== null) return [...kept, parts.slice(cuts).join(glue)];
  let rest = given;
  for (const word of kept) rest = rest.slice(rest.indexOf(word) + word.length);
  return [...kept, strip(rest, null, 1)];
}

const backwards = (given: string): string => [...given].reverse().join('');
/** The same from the end. */
export const splitFromEnd = (given: string, separator: Value = null, most?: Value): string[] =>
  split(backwards(given), separator === null ? null : backwards(text(separator)), most)
    .map(backwards)
    .reverse();

const LINE_END = '(?:\\r\\n|[\\n-\\r\\x1c-\\x1e\\x85\\u2028\\u2029])';
export const splitLines = (given: string, keep = false): string[] =>
  (given.match(new RegExp(`.*?${LINE_END}|.+$`, 'gs')) ?? []).map((line) =>
    keep ? line : line.replace(new RegExp(`${LINE_END}$`), ''),
  );

export function replace(given: string, from: string, to: string, most = -1): string {
  const parts = from ? given.split(from) : ['', ...given, ''];
  const cuts = most < 0 ? parts.length - 1 : Math.min(most, parts.length - 1);
  room(given.length + cuts * to.length);
  return (
    parts.slice(0, cuts + 1).join(to) +
    parts
      .slice(cuts + 1)
      .map((part) => from + part)
      .join('')
  );
}

export function capitalize(given: string): string {
  const [first = '', ...rest] = given;
  return first.toUpperCase() + rest.join('').toLowerCase();
}

/** `mode`: -1 text to the left, 1 to the right, 0 to the middle as `center` does it, 2 as a format does */
export function pad(given: string, width: number, mode: number, fill = ' '): string {
  const missing = width - characters(given).length;
  if (missing <= 0) return given;
  room(width);
  const left = mode < 0 ? 0 : mode === 1 ? missing : (missing >> 1) + (mode ? 0 : missing & width & 1);
  return fill.repeat(left) + given + fill.repeat(missing - left);
}

// ---- numbers

/** Decimal places, a tie to the even digit. */
export function fixed(value: number, places: number): string {
  if (!Number.isFinite(value)) return floatText(value);
  const [digits, size] = [Math.min(places, 75), Math.abs(value)];
  let near = size < 1e21 ? size.toFixed(digits) : `${BigInt(size)}${digits ? '.' : ''}${'0'.repeat(digits)}`;
  const exact = size < 1e21 ? size.toFixed(digits + 25) : '';
  if (/[02468]\.?50{24}$/.test(exact)) near = exact.slice(0, -25).replace(/\.$/, '');
  return (value < 0 || Object.is(value, -0) ? '-' : '') + near;
}

const scientific = (value: number, precision: number): string =>
  value.toExponential(Math.min(100, precision)).replace(/e(.)(\d)$/, 'e$10$2');

/** Python's g. */
function general(value: number, precision: number): string {
  const places = Math.max(1, precision);
  const exponential = scientific(value, places - 1);
  const exponent = Number(exponential.split('e')[1]);
  const shown = exponent < -4 || exponent >= places ? exponential : fixed(value, places - 1 - exponent);
  return shown.replace(/(\.\d*?)0+(?=e|$)/, '$1').replace(/\.(?=e|$)/, '');
}

const badFormat = (): never => raise('wrong format');
const BASES: Record<string, number> = { b: 2, o: 8, x: 16 };
const SPEC = /^(?:([^])?([<>=^]))?([-+ ]?)(#?)(0?)(\d*)([,_]?)(?:\.(\d+))?([a-zA-Z%]?)$/u;
const SIDES: Record<string, number> = { '<': -1, '>': 1, '^': 2 };

/** `format(value, spec)` */
export function formatted(value: Value, spec: string): string {
  const [, fill, align, sign, base, zeros, digits, group, places, type] = SPEC.exec(spec) ?? badFormat();
  const width = +digits;
  const precision = places === undefined ? undefined : +places;
  room(Math.max(width, precision ?? 0));
  if (!isNumber(value) || type === 's' || (typeof value === 'boolean' && !type)) {
    if (spec && ((typeof value !== 'string' && typeof value !== 'boolean') || (type && type !== 's')))
      return badFormat();
    return pad([...text(value)].slice(0, precision).join(''), width, SIDES[align] ?? -1, fill);
  }
  const kind = type.toLowerCase();
  let shown: string;
  if (typeof value !== 'number' && 'dbox'.includes(kind)) {
    shown = BigInt(value).toString(BASES[kind]);
    if (base && kind in BASES) shown = shown.replace(/^-?/, `$&0${kind}`);
  } else {
    const given = Number(value) * (kind === '%' ? 100 : 1);
    if (!Number.isFinite(given)) shown = floatText(given);
    else if (kind === 'e') shown = scientific(given, precision ?? 6);
    else if (kind === 'f' || kind === '%') shown = fixed(given, precision ?? 6);
    else if (kind || precision !== undefined)
      shown = kind === 'g' || !kind ? general(given, precision ?? 6) : badFormat();
    else shown = floatText(given);
    if (kind === '%') shown += '%';
    if (!kind && /^-?\d+$/.test(shown)) shown += '.0';
  }
  if (type !== kind) shown = shown.toUpperCase();
  if (group) shown = shown.replace(/\d+/, (whole) => whole.replace(/\B(?=(?:\d{3})+$)/g, group));
  if (shown[0] !== '-') shown = sign.replace('-', '') + shown;
  if (align !== '=' && (align || !zeros)) return pad(shown, width, SIDES[align] ?? 1, fill);
  const head = /^[-+ ]?(?:0[box])?/i.exec(shown)![0];
  return head + pad(shown.slice(head.length), width - head.length, 1, align ? fill : '0');
}

/** `'%s and %d' % values` */
export function percent(template: string, values: Value): string {
  const rest = values instanceof Tuple ? [...values] : [values];
  const take = (): Value => (rest.length ? rest.shift() : badFormat());
  const made = template.replace(
    /%(?:\((.*?)\))?([-+ 0#]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?([^]?)/g,
    (_, key: string | undefined, flags: string, width = '', places: string | undefined, type: string) => {
      if (type === '%') return '%';
      const [wide, precise] = [width, places].map((given) => (given === '*' ? integer(take()) : given));
      let value = key === undefined ? take() : item(values, key);
      if (key !== undefined) rest.length = 0;
      const has = (flag: string): string => (flags.includes(flag) ? flag : '');
      const side = has('-') ? '<' : '>';
      const dot = precise === undefined ? '' : `.${precise || 0}`;
      if (type && 'sra'.includes(type)) return formatted(type === 's' ? text(value) : repr(value), side + wide + dot);
      if (!isNumber(value) || !/[diouxXeEfFgG]/.test(type)) return badFormat();
      const whole = /[diouxX]/.test(type);
      if (whole && typeof value === 'number') value = BigInt(Math.trunc(value));
      const zeros = has('-') ? '' : has('0');
      return formatted(
        whole ? value : Number(value),
        (zeros ? '' : side) +
          (has('+') || has(' ')) +
          has('#') +
          zeros +
          wide +
          (whole ? '' : dot) +
          type.replace(/[iu]/, 'd'),
      );
    },
  );
  if (rest.length && !(values instanceof Map)) badFormat();
  return counted(made);
}

/** `template.format(...)`; `part` reads an attribute */
export function braces(
  template: string,
  args: Value[],
  named: Named,
  part: (value: Value, name: string) => Value,
): string {
  let count = 0;
  const field = (source: string): string => {
    const [, name, path, conversion, spec = ''] =
      /^([^.[!:]*)((?:\.[^.[!:]+|\[[^\]]*\])*)(?:!([rsa]))?(?::([^]*))?$/.exec(source) ?? badFormat();
    const at = name ? +name : count++;
    if (!named.has(name) && !(at in args)) badFormat();
    let value = named.has(name) ? named.get(name) : args[at];
    for (const [, attribute, key] of path.matchAll(/\.([^.[]+)|\[([^\]]*)\]/g))
      value = attribute ? part(value, attribute) : item(value, /^\d+$/.test(key) ? BigInt(key) : key);
    if (conversion) value = conversion === 's' ? text(value) : repr(value);
    return formatted(
      value,
      spec.replace(/\{([^{}]*)\}/g, (_, inner: string) => field(inner)),
    );
  };
  return counted(
    template.replace(/\{\{|\}\}|\{((?:[^{}]|\{[^{}]*\})*)\}|[{}]/g, (whole, source: string | undefined) =>
      source !== undefined ? field(source) : whole.length === 2 ? whole[0] : badFormat(),
    ),
  );
}

/** The value of `'a' % b` and of all other operators. */
export const operate = (operator: string, a: Value, b: Value): Value =>
  operator === '%' && typeof a === 'string' ? percent(a, b) : arithmetic(operator, a, b);

const DATE: Record<string, (d: Date) => string | number> = {
  Y: (d) => d.getFullYear(),
  m: (d) => two(d.getMonth() + 1),
  d: (d) => two(d.getDate()),
  H: (d) => two(d.getHours()),
  I: (d) => two(d.getHours() % 12 || 12),
  M: (d) => two(d.getMinutes()),
  S: (d) => two(d.getSeconds()),
  y: (d) => two(d.getFullYear() % 100),
  p: (d) => (d.getHours() < 12 ? 'AM' : 'PM'),
  B: (d) => d.toLocaleString('en', { month: 'long' }),
  b: (d) => d.toLocaleString('en', { month: 'short' }),
  A: (d) => d.toLocaleString('en', { weekday: 'long' }),
  a: (d) => d.toLocaleString('en', { weekday: 'short' }),
};
const two = (value: number): string => String(value).padStart(2, '0');

/** `now.strftime(pattern)` in English, of local time */
export const dateText = (pattern: string, now = new Date()): string =>
  pattern.replace(/%(-?)([a-zA-Z%])/g, (whole, bare: string, key: string) => {
    if (key === '%') return '%';
    if (!Object.hasOwn(DATE, key)) return whole;
    const shown = String(DATE[key](now));
    return bare ? shown.replace(/^[0 ]+(?=.)/, '') : shown;
  });
