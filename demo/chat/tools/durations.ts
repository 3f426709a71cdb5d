/** Lengths of time in what a person writes: '90 minutes', 'half an hour', 'eine Viertelstunde', '1h30'. */
import { findNumbers } from './numbers';
import { insideAny, type Span } from './spans';

export interface Duration extends Span {
  minutes: number;
}

const DAY = 'days?|tage?n?';
const HOUR = 'hours?|hrs?|h|stunden?|std';
const MINUTE = 'minutes?|mins?|minuten?';
const SECOND = 'seconds?|secs?|sekunden?|sek';
const UNIT = `(?<day>${DAY})|(?<hour>${HOUR})|(?<minute>${MINUTE})|(?<second>${SECOND})`;
const END = '(?![\\p{L}\\d])';
const BEGIN = '(?<![\\p{L}\\d])';

type Groups = Record<string, string | undefined>;
const sizeOf = ({ day, hour, minute }: Groups): number => (day ? 1440 : hour ? 60 : minute ? 1 : 1 / 60);

const AFTER_NUMBER = new RegExp(`[\\s-]*(?:(?:full|whole|ganze)\\s+)?(?:${UNIT})(?:${END}|(?=\\d))`, 'uy');

/** phrases without a number, and what share of the unit they are */
const PHRASES: [RegExp, number][] = [
  [new RegExp(`${BEGIN}(?:(?:an?|one)\\s+)?half[\\s-]+(?:an?\\s+)?(?:${UNIT})${END}`, 'gu'), 0.5],
  [new RegExp(`${BEGIN}(?:eine[rn]?\\s+|ne\\s+|'ne\\s+)?halben?\\s+(?:${UNIT})${END}`, 'gu'), 0.5],
  [new RegExp(`${BEGIN}three[\\s-]+quarters?\\s+of\\s+an?\\s+(?:${UNIT})${END}`, 'gu'), 0.75],
  [new RegExp(`${BEGIN}(?:eine[rn]?\\s+)?dreiviertel\\s*(?:${UNIT})${END}`, 'gu'), 0.75],
  [new RegExp(`${BEGIN}(?:(?:an?|one)\\s+)?quarter[\\s-]+(?:of\\s+)?(?:an?\\s+)?(?:${UNIT})${END}`, 'gu'), 0.25],
  [new RegExp(`${BEGIN}(?:eine[rn]?\\s+)?viertel\\s*(?:${UNIT})${END}`, 'gu'), 0.25],
  [new RegExp(`${BEGIN}(?:an?|eine[rnm]?|ein)\\s+(?:${UNIT})${END}`, 'gu'), 1],
];
const CLOCKLIKE = new RegExp(`${BEGIN}(\\d{1,2}):([0-5]\\d)\\s*(?:${HOUR})${END}`, 'gu');
/** 'an hour and a half', '1 hour and a quarter' */
const AND_A_PART = /\s+and\s+(?:a\s+)?(half|quarter)(?!\p{L})/uy;

/** Every length of time of a text that `plain` made, in order; '1 hour 30 minutes' is one. */
export function findDurations(text: string): Duration[] {
  const found: (Duration & { size: number })[] = [];
  const add = (start: number, end: number, count: number, size: number): void => {
    if (insideAny({ start, end }, found)) return;
    AND_A_PART.lastIndex = end;
    const part = AND_A_PART.exec(text);
    if (part)
      found.push({
        start,
        end: end + part[0].length,
        minutes: (count + (part[1] === 'half' ? 0.5 : 0.25)) * size,
        size,
      });
    else found.push({ start, end, minutes: count * size, size });
  };
  for (const match of text.matchAll(CLOCKLIKE))
    add(match.index, match.index + match[0].length, Number(match[1]) + Number(match[2]) / 60, 60);
  for (const { start, end, values } of findNumbers(text)) {
    AFTER_NUMBER.lastIndex = end;
    const unit = AFTER_NUMBER.exec(text);
    if (unit) add(start, end + unit[0].length, values[0], sizeOf(unit.groups as Groups));
  }
  for (const [pattern, share] of PHRASES)
    for (const match of text.matchAll(pattern))
      add(match.index, match.index + match[0].length, share, sizeOf(match.groups as Groups));
  found.sort((a, b) => a.start - b.start);
  return merge(text, found);
}

function merge(text: string, found: (Duration & { size: number })[]): Duration[] {
  const merged: (Duration & { size: number })[] = [];
  for (const next of found) {
    const last = merged.at(-1);
    if (last && next.size < last.size && /^[\s,]*(?:and|und|&)?\s*$/.test(text.slice(last.end, next.start)))
      merged[merged.length - 1] = {
        start: last.start,
        end: next.end,
        minutes: last.minutes + next.minutes,
        size: next.size,
      };
    else merged.push(next);
  }
  // the minutes of '1h30' have no unit of their own
  return merged.map((last) => {
    const rest = /^\s?([0-5]?\d)(?:\s?m)?(?![\p{L}\d:.,])/u.exec(text.slice(last.end));
    const closeUp = last.size === 60 && /h$/.test(text.slice(last.start, last.end)) && rest !== null;
    return closeUp
      ? { start: last.start, end: last.end + rest[0].length, minutes: last.minutes + Number(rest[1]) }
      : { start: last.start, end: last.end, minutes: last.minutes };
  });
}
