/**
 * Whether a call says only what the user said. A small model invents values, or takes the 7 of '7:30' for a volume:
 * such a call must not run, so every value has to be found in the user's words.
 */
import { mathText } from './math_text';
import { findDurations } from './durations';
import { findNumbers, plain, readNumber, type NumberMention } from './numbers';
import { insideAny } from './spans';
import { clock, findTimes } from './times';
import type { ToolCall } from './tool';
import { findUnit } from './units';

/** Longer texts are read up to here. */
const LONGEST = 20_000;

/** True if every argument value occurs in what the user said. */
export const isGrounded = (call: ToolCall, userText: string): boolean => ungrounded(call, userText) === undefined;

/** The name of the first argument whose value the user did not say. */
export function ungrounded(call: ToolCall, userText: string): string | undefined {
  const text = plain(userText.slice(0, LONGEST));
  return Object.keys(call.arguments).find((name) => !occurs(name, call.arguments[name], text));
}

function occurs(name: string, value: unknown, text: string): boolean {
  if (Array.isArray(value)) return value.length > 0 && value.every((item) => occurs(name, item, text));
  if (typeof value === 'object' && value !== null)
    return Object.keys(value).length > 0 && Object.entries(value).every(([key, item]) => occurs(key, item, text));
  if (typeof value === 'boolean')
    return (value ? /(?<!\p{L})(true|yes|on|an|ja)(?!\p{L})/u : /(?<!\p{L})(false|no|off|aus|nein)(?!\p{L})/u).test(
      text,
    );
  if (typeof value === 'number') return Number.isFinite(value) && numberOccurs(name, value, text);
  if (typeof value !== 'string' || value.length > LONGEST) return false;
  if (/^([01]\d|2[0-3]):[0-5]\d$/.test(value))
    return findTimes(text).some(({ times }) => times.some((time) => clock(time) === value));
  const number = /^[-+\d.,\s]+$/.test(value) ? readNumber(value) : undefined;
  if (number !== undefined) return numberOccurs(name, number, text);
  if (name === 'expression') return expressionOccurs(value, text);
  return textOccurs(value, text) || (/^(source|target|unit|from|to)$/.test(name) && unitOccurs(value, text));
}

const same = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));

/** words that say a share of the whole, for arguments in percent */
const SHARES: [RegExp, number][] = [
  [/(?<!\p{L})(half|halb(?:e[nrs]?)?|hälfte)(?!\p{L})/u, 50],
  [/(?<!\p{L})(full|max|maximum|loudest|maximal|voll(?:e[nrs]?)?)(?!\p{L})/u, 100],
  [/(?<!\p{L})(mute|muted|silent|silence|stumm|lautlos)(?!\p{L})/u, 0],
];

function numberOccurs(name: string, value: number, text: string): boolean {
  const times = findTimes(text).filter(({ certain }) => certain);
  const durations = findDurations(text);
  if (/^(minutes?|hours?|seconds?)$/.test(name)) {
    const size = name.startsWith('m') ? 1 : name.startsWith('h') ? 60 : 1 / 60;
    const free = findNumbers(text).filter(
      (mention) => !insideAny(mention, times) && !insideAny(mention, durations) && !hasOtherUnit(mention, text),
    );
    return (
      durations.some(({ minutes }) => same(minutes, value * size)) ||
      free.some(({ values }) => values.some((said) => same(said, value)))
    );
  }
  const percent = /^percent(age)?$/.test(name);
  const taken = percent ? [...times, ...durations] : times;
  const free = findNumbers(text).filter(
    (mention) => !insideAny(mention, taken) && !(percent && hasOtherUnit(mention, text)),
  );
  if (free.some(({ values }) => values.some((said) => same(said, value)))) return true;
  if (!percent) return false;
  const rest = taken.reduce(
    (left, { start, end }) => left.slice(0, start) + ' '.repeat(end - start) + left.slice(end),
    text,
  );
  return SHARES.some(([word, share]) => share === value && word.test(rest));
}

/** '10 miles' are no percent. Words of one or two letters are left alone: 'in' is a word, too. */
function hasOtherUnit({ end }: NumberMention, text: string): boolean {
  const [, unit] = /^\s*([\p{L}°][\p{L}/]*)/u.exec(text.slice(end, end + 40)) ?? [];
  return (
    unit !== undefined &&
    (unit.length > 2 || /^(k[mg]|[cm]m|m[lsb]|[gtk]b|°.)$/.test(unit)) &&
    findUnit(unit) !== undefined
  );
}

/** Letters and digits, in words; case, accents and punctuation do not count. */
const words = (text: string): string[] =>
  text
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{M}/gu, '')
    .replaceAll('ß', 'ss')
    .replace(/(?<=\p{N})(?=\p{L})|(?<=\p{L})(?=\p{N})/gu, ' ')
    .match(/[\p{L}\p{N}]+/gu) ?? [];

/** From the start of a word to the end of one; 'to-do' is found in 'todo' and the other way round. */
function textOccurs(value: string, text: string): boolean {
  const wanted = words(value).join('');
  const said = words(text);
  if (wanted === '') return value.trim() !== '' && text.includes(plain(value).trim());
  return said.some((_, from) => {
    let at = 0;
    for (let i = from; i < said.length && at < wanted.length; i++) {
      if (!wanted.startsWith(said[i], at)) return false;
      at += said[i].length;
    }
    return at === wanted.length;
  });
}

/** The same unit under another name: 'kilometers' for 'km'. */
function unitOccurs(value: string, text: string): boolean {
  const unit = findUnit(value);
  if (!unit) return false;
  const said = text.match(/[\p{L}°"'²³/µ]+\d?/gu) ?? [];
  return said.some((_, i) => [1, 2, 3].some((many) => findUnit(said.slice(i, i + many).join(' ')) === unit));
}

const OPERATORS: [string, RegExp][] = [
  ['+', /\+|(?<!\p{L})(sum|add|added|plus|total|and|und|summe)(?!\p{L})/u],
  ['-', /-|(?<!\p{L})(minus|less|subtract|take|difference|weniger)(?!\p{L})/u],
  ['*', /[*×·]|(?<!\p{L})(times|product|multiply|multiplied|by|x|mal)(?!\p{L})/u],
  ['/', /[/÷]|(?<!\p{L})(divide|divided|over|by|quotient|geteilt|durch)(?!\p{L})/u],
];

/**
 * The same expression, in signs or words; or its numbers in the order in which they were said, with a word for each
 * operator.
 */
function expressionOccurs(value: string, text: string): boolean {
  const compact = (expression: string): string =>
    mathText(expression)
      .replace(/\s+/g, '')
      .replace(/[=?!.]+$/, '');
  const wanted = compact(plain(value));
  if (!/\d/.test(wanted)) return false;
  const said = mathText(text).replace(/\s*([-+*/^%()=])\s*/g, '$1');
  // no part of a longer expression: what stands before and behind is no digit and no operator
  for (let at = joinedIndex(said, wanted, 0); at; at = joinedIndex(said, wanted, at.start + 1)) {
    if (!/[\d.+*/^(-]$/.test(said.slice(0, at.start)) && !/^(?:[\d+*/^%(-]|\.\d)/.test(said.slice(at.end))) return true;
  }
  const terms = findNumbers(plain(value)).map(({ values }) => Math.abs(values[0]));
  const heard = findNumbers(text).map(({ values }) => Math.abs(values[0]));
  const listed = terms.length === heard.length && terms.length > 1 && inOrder(text, terms, heard);
  const operators = [...new Set(wanted.match(/[-+*/^%]/g))];
  return listed && operators.length === 1 && OPERATORS.some(([sign, word]) => sign === operators[0] && word.test(text));
}

/** 'subtract 3 from 10' is 10 - 3 */
function inOrder(text: string, terms: number[], heard: number[]): boolean {
  const said = /(?<!\p{L})(subtract|take)(?!\p{L}).*(?<!\p{L})from(?!\p{L})/u.test(text) ? heard.toReversed() : heard;
  return terms.every((term, i) => same(term, said[i]));
}

/** Where the text has these characters in this order, with spaces between or not. */
function joinedIndex(text: string, wanted: string, from: number): { start: number; end: number } | undefined {
  for (
    let start = text.indexOf(wanted.charAt(0), from);
    start >= 0;
    start = text.indexOf(wanted.charAt(0), start + 1)
  ) {
    let at = start;
    let n = 0;
    while (n < wanted.length && at < text.length && (text[at] === wanted[n] || /\s/.test(text[at])))
      if (text[at++] === wanted[n]) n++;
    if (n === wanted.length) return { start, end: at };
  }
  return undefined;
}
