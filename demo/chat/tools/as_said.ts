/**
 * What a small model copies wrongly, in the user's own words: a text with a letter too many, a note that ends before
 * its closing quotation mark, a time of which only the hour was taken. Every value that is put in stands in the
 * message; where more than one could be meant, the call stays as it is.
 */
import { zoneOf } from './cities';
import { findDurations } from './durations';
import { findNumbers, plain } from './numbers';
import { insideAny } from './spans';
import { clock, findTimes } from './times';
import type { ToolCall } from './tool';

/** Longer messages are not searched for a like text: the search is quadratic. */
const LONGEST = 600;

export interface Said {
  call: ToolCall;
  /** one sentence for each value that was put in */
  repairs: string[];
}

const NOTE = /(?<!\p{L})(?:notes?|memo|notiz(?:en)?|notiere?)(?!\p{L})/iu;
const TASK = /(?<!\p{L})(?:to-?\s?dos?|tasks?|list|aufgaben?|liste|todo-liste|aufgabenliste)(?!\p{L})/iu;

/**
 * A note that was called a task, or the other way round: the word of the message decides, where there is one of the
 * two.
 */
function listAsSaid({ name, arguments: given }: ToolCall, message: string): ToolCall {
  const [note, task] = [NOTE.test(message), TASK.test(message)];
  if (name === 'add_todo' && note && !task) return { name: 'add_note', arguments: { text: given.task } };
  if (name === 'add_note' && task && !note) return { name: 'add_todo', arguments: { task: given.text } };
  return { name, arguments: given };
}

/**
 * @param message what the user said last
 * @param offered names of the tools that may be called
 */
export function asSaid(asked: ToolCall, message: string, offered: readonly string[]): Said {
  const repairs: string[] = [];
  const moved = listAsSaid(asked, message);
  const { name, arguments: given } = offered.includes(moved.name) ? moved : asked;
  if (name !== asked.name)
    repairs.push(`The message speaks of a ${name === 'add_note' ? 'note' : 'task'}: ${asked.name} is ${name}.`);
  const values = Object.entries(given).map(([key, value]) => {
    const said = message.length <= LONGEST ? valueAsSaid(key, value, message) : undefined;
    if (said === undefined || Object.is(said, value)) return [key, value] as const;
    repairs.push(`${key}: ${JSON.stringify(value)} is ${JSON.stringify(said)} in your message.`);
    return [key, said] as const;
  });
  return { call: { name, arguments: Object.fromEntries(values) }, repairs };
}

function valueAsSaid(key: string, value: unknown, message: string): unknown {
  if (typeof value === 'number') return numberAsSaid(key, value, plain(message));
  if (typeof value !== 'string') return undefined;
  if (/^([01]\d|2[0-3]):[0-5]\d$/.test(value)) return timeAsSaid(value, plain(message));
  if (key === 'expression') return expressionAsSaid(value, message);
  if (key === 'city') return cityAsSaid(value, message) ?? textAsSaid(value, message);
  return /^(text|task|query|section|theme)$/.test(key) ? textAsSaid(value, message) : undefined;
}

/** All of the only run of figures and signs, where the call has a part of it with a parenthesis missing. */
function expressionAsSaid(value: string, message: string): string | undefined {
  const count = (sign: string): number => value.split(sign).length;
  if (count('(') === count(')')) return undefined;
  const runs = message.match(/[\d(][\d\s.,+*/x×÷^%()-]*[\d)%]/g) ?? [];
  return runs.length === 1 && runs[0].includes(value) ? runs[0] : undefined;
}

/** The longest name of a known city that the value is a part of: 'São' of 'São Paulo'. */
function cityAsSaid(value: string, message: string): string | undefined {
  if (zoneOf(value)) return undefined;
  const wanted = folded(value);
  const words = wordsOf(message);
  const spans = words.flatMap(({ start }, from) =>
    words.slice(from, from + 4).map(({ end }) => message.slice(start, end)),
  );
  return spans
    .filter((span) => wanted !== '' && folded(span).includes(wanted) && zoneOf(span))
    .sort((a, b) => b.length - a.length)[0];
}

const wordsOf = (message: string): { start: number; end: number; text: string }[] =>
  [...message.matchAll(/[\p{L}\p{N}](?:[^\s]*[\p{L}\p{N}])?/gu)].map((match) => ({
    start: match.index,
    end: match.index + match[0].length,
    text: folded(match[0]),
  }));

/** The only time of the message, where the call has its hour or its minutes and not both. */
function timeAsSaid(value: string, text: string): string | undefined {
  const found = findTimes(text);
  const [only] = found;
  if (found.length !== 1 || only.times.some((time) => clock(time) === value)) return undefined;
  const [hour, minute] = value.split(':').map(Number);
  const near = only.times.some(
    (time) => Math.floor(time / 60) % 12 === hour % 12 || (time % 60 === minute && minute > 0),
  );
  return near ? clock(only.times[0]) : undefined;
}

/** The only length of time for minutes, and the only other number for a share. */
function numberAsSaid(key: string, value: number, text: string): number | undefined {
  const durations = findDurations(text);
  const numbers = findNumbers(text).filter(
    (mention) =>
      !insideAny(mention, durations) &&
      !insideAny(
        mention,
        findTimes(text).filter(({ certain }) => certain),
      ),
  );
  if (numbers.some(({ values }) => values.includes(value))) return undefined;
  if (key === 'minutes' && durations.length === 1 && numbers.length === 0 && Number.isInteger(durations[0].minutes))
    return durations[0].minutes;
  if (
    key === 'percent' &&
    durations.length === 0 &&
    numbers.length === 1 &&
    numbers[0].values.length === 1 &&
    /%|percent|per cent|prozent/.test(text)
  )
    return numbers[0].values[0];
  return undefined;
}

const folded = (text: string): string =>
  text
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '')
    .replaceAll('ß', 'ss');

/** what opens a quotation, and what closes it */
const QUOTES: [string, string][] = [
  ['"', '"'],
  ['“', '”'],
  ['„', '“'],
  ['„', '”'],
  ['‘', '’'],
  ['«', '»'],
  ["'", "'"],
];

/** The only text between quotation marks; an apostrophe inside a word is none. */
function quotedIn(message: string): string | undefined {
  const found = new Set<string>();
  for (const [open, close] of QUOTES)
    for (const [, inside] of message.matchAll(
      new RegExp(`(?<![\\p{L}\\p{N}])${open}([^${open}${close}]+)${close}(?![\\p{L}\\p{N}])`, 'gu'),
    ))
      found.add(inside.trim());
  return found.size === 1 ? [...found][0] : undefined;
}

/** 'Note: buy milk': all that stands behind the colon */
const BEHIND = /^\s*(?:(?:a |new |neue )?(?:note|memo|notiz|to-?do|task|aufgabe)(?: to self)?)\s*:\s*(.+?)[\s.]*$/isu;

/**
 * The words of the message that are most like the value: the quoted text that it is a part of, or the one run of words
 * that differs from it by few letters.
 */
function textAsSaid(value: string, message: string): string | undefined {
  const wanted = folded(value);
  if (wanted.length < 3) return undefined;
  const quoted = quotedIn(message);
  if (quoted !== undefined && (folded(quoted).includes(wanted) || alike(folded(quoted), wanted))) return quoted;
  const [, behind] = BEHIND.exec(message) ?? [];
  if (behind !== undefined && quoted === undefined && folded(behind).startsWith(wanted)) return behind;
  const words = wordsOf(message);
  const count = value.trim().split(/\s+/).length;
  let best: { text: string; distance: number } | undefined;
  let even = false;
  for (let from = 0; from < words.length; from++) {
    let joined = '';
    for (let to = from; to < words.length && joined.length <= wanted.length + 3; to++) {
      joined += words[to].text;
      if (Math.abs(joined.length - wanted.length) > 3) continue;
      // of equal ones, that with as many words
      const distance =
        joined === wanted
          ? 0
          : alike(joined, wanted)
            ? edits(joined, wanted) + Math.abs(to - from + 1 - count) / 10
            : Infinity;
      if (distance === Infinity) continue;
      if (best && distance === best.distance) even = folded(best.text) !== joined;
      if (!best || distance < best.distance)
        [best, even] = [{ text: message.slice(words[from].start, words[to].end), distance }, false];
    }
  }
  // the same letters stay as the model has put them, but for capitals
  if (!best || even) return undefined;
  return best.distance === 0 && best.text.toLowerCase() !== value.toLowerCase() ? undefined : best.text;
}

const alike = (a: string, b: string): boolean =>
  edits(a, b) <= Math.min(3, Math.floor(Math.max(a.length, b.length) / 5));

/** How many letters have to be put in, taken out or changed (Levenshtein). */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length];
}
