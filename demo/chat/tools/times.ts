/**
 * Times of day in what a person writes: '7:30', '7.30 pm', '19h', 'quarter to eight', 'halb acht', 'um sieben Uhr
 * abends'.
 */
import { findNumbers, plain } from './numbers';
import { insideAny, type Span } from './spans';

export interface TimeMention extends Span {
  /** minutes since midnight; two where words leave open which half of the day is meant */
  times: number[];
  /** its digits and words cannot be anything else, such as a number of percent */
  certain: boolean;
}

const HOURS =
  'one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|eins?|zwei|zwo|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf';
const HOUR = `(?<h>\\d{1,2}(?![\\d.,])|${HOURS})`;
const FEW = '\\d{1,2}|five|ten|twenty(?:[ -]five)?|(?:a |ein )?(?:quarter|viertel)|fünf|zehn|zwanzig|fünfundzwanzig';
const MANY =
  '\\d{2}|oh[ -](?:one|two|three|four|five|six|seven|eight|nine)|(?:twenty|thirty|forty|fifty)(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?|ten|eleven|twelve|\\p{L}{3,6}teen|\\p{L}{2,6}zehn|(?:\\p{L}{3,6}und)?(?:zwanzig|dreißig|vierzig|fünfzig)';
const BEGIN = '(?<![\\p{L}\\d.,:/-])';
const END = '(?![\\p{L}\\d])';

interface Form {
  pattern: RegExp;
  /** minutes past the hour */
  minutes(groups: Record<string, string | undefined>): number;
  /** the hour counts as on a 24-hour clock; else words leave the half of the day open */
  exact?: boolean;
  uncertain?: boolean;
}
const form = (pattern: string, minutes: Form['minutes'], more: Partial<Form> = {}): Form => ({
  pattern: new RegExp(BEGIN + pattern, 'gu'),
  minutes,
  ...more,
});

const count = (text: string | undefined): number => {
  if (text === undefined || text === '') return 0;
  if (/quarter|viertel/.test(text)) return 15;
  return findNumbers(text.replace(/^oh[ -]/, ''))[0]?.values[0] ?? Number.NaN;
};

const AT = '(?:at|by|around|about|for|until|till|um|gegen|ab|bis|auf|für)\\s+';
const OTHER_UNIT =
  '(?!\\s*[-:%°*/+x×÷=]|\\s*(?:percent|prozent|per cent|seconds?|sekunden?|secs?|minutes?|mins?|minuten?|hours?|hrs?|stunden?|std|days?|tage?|degrees?|grad|times|plus|minus|(?:k|c|m)?m|k?g|miles?)(?!\\p{L}))';

/** in the order in which they are looked for: what one has taken, a later one leaves alone */
const FORMS: Form[] = [
  form(
    '(?<h>\\d{1,2}):(?<m>[0-5]\\d)(?::[0-5]\\d)?(?!\\d)(?:\\s*(?:uhr|h))?(?!\\p{L}(?<![ap]))',
    ({ m }) => Number(m),
    { exact: true },
  ),
  form(`${HOUR}\\s*(?:uhr)(?:\\s+(?:und\\s+)?(?<m>${MANY}|\\d)(?:\\s+minuten)?)?${END}`, ({ m }) => count(m), {
    exact: true,
  }),
  form(`(?<h>\\d{1,2})h(?<m>[0-5]\\d)${END}`, ({ m }) => Number(m), { exact: true }),
  form(`(?:${AT}|à\\s+)(?<h>\\d{1,2})\\s?h${END}`, () => 0, { exact: true }),
  form(
    `(?:(?<m>${FEW})\\s+(?:minuten\\s+)?(?<side>vor|nach)\\s+)halb\\s+${HOUR}${END}`,
    ({ m, side }) => -30 + (side === 'vor' ? -1 : 1) * count(m),
  ),
  form(`halb\\s+${HOUR}${END}`, () => -30),
  form(`dreiviertel\\s+${HOUR}${END}`, () => -15),
  form(`half[\\s-]+past\\s+${HOUR}${END}`, () => 30),
  form(`(?<m>${FEW})\\s+(?:minutes?\\s+|minuten\\s+)?(?:past|after|nach)\\s+${HOUR}${END}`, ({ m }) => count(m)),
  form(`(?<m>${FEW})\\s+(?:minutes?\\s+|minuten\\s+)?(?:to|before|till|vor)\\s+${HOUR}${END}`, ({ m }) => -count(m)),
  form(`viertel\\s+${HOUR}${END}`, () => -45),
  form(`${HOUR}\\s*o'?\\s?clock${END}`, () => 0),
  form(`${HOUR}\\s+(?<m>oh[ -]\\p{L}+|thirty|fifteen|forty[ -]five)${END}`, ({ m }) => count(m)),
  form('(?<h>\\d{1,2})\\.(?<m>[0-5]\\d)(?=\\s*(?:[ap]\\.?m|uhr)(?!\\p{L}))', ({ m }) => Number(m), { exact: true }),
  form(`${AT}(?<h>\\d{1,2})\\.(?<m>[0-5]\\d)(?![\\d.,])${OTHER_UNIT}`, ({ m }) => Number(m), {
    exact: true,
    uncertain: true,
  }),
  form(`${AT}(?<h>[01]\\d|2[0-3])(?<m>[0-5]\\d)(?![\\d.,])${OTHER_UNIT}`, ({ m }) => Number(m), {
    exact: true,
    uncertain: true,
  }),
  form(`${HOUR}(?=\\s*[ap]\\.?\\s?m(?:\\.|${END}))`, () => 0),
  form(
    `(?:${AT}|(?=\\S{1,12}\\s+(?:tonight|in the (?:morning|evening|afternoon)|morgens|abends|nachts|nachmittags)))${HOUR}(?!\\p{L})${OTHER_UNIT}`,
    () => 0,
    { uncertain: true },
  ),
];
const NAMED: [RegExp, number][] = [
  [/(?<!\p{L}|after|fore)(?:noon|midday|mittags?|12 mittags)(?!\p{L})/gu, 720],
  [/(?<!\p{L})(?:midnight|mitternachts?)(?!\p{L})/gu, 0],
];

type Part = 'am' | 'pm' | 'night';
const PARTS: [RegExp, Part][] = [
  [
    /^(?:a\.?\s?m\.?(?!\p{L})|in the morning|this morning|morning|früh|morgens|vormittags|in der früh|am (?:morgen|vormittag))/u,
    'am',
  ],
  [
    /^(?:p\.?\s?m\.?(?!\p{L})|in the (?:afternoon|evening)|this (?:afternoon|evening)|afternoon|evening|nachmittags?|abends?|am (?:nachmittag|abend))/u,
    'pm',
  ],
  [/^(?:at night|tonight|night|nachts?|in der nacht)/u, 'night'],
];
const DAY = /^[\s,]*(?:(?:tomorrow|today|morgen|heute|sharp)(?!\p{L}))?[\s,]*/u;
const partAfter = (text: string, end: number): { part?: Part; end: number; day: boolean } => {
  const rest = text.slice(end, end + 60);
  const skip = DAY.exec(rest)![0];
  for (const [pattern, part] of PARTS) {
    const found = pattern.exec(rest.slice(skip.length));
    if (found) return { part, end: end + skip.length + found[0].length, day: true };
  }
  return { end, day: /\p{L}/u.test(skip) };
};
const BEFORE =
  /(?:(tomorrow|this|in the|heute|morgen|am)\s+)?(?<!\p{L})(morning|früh|vormittag|afternoon|evening|nachmittag|abend|tonight|tomorrow|today|morgen|heute)[\s,]*(?:at|by|for|um|gegen)?\s*$/u;
const partBefore = (text: string, start: number): { part?: Part; day: boolean } => {
  const word = BEFORE.exec(text.slice(Math.max(0, start - 40), start))?.[2];
  if (!word) return { day: false };
  if (/^(tomorrow|today|morgen|heute)$/.test(word)) return { day: true };
  return { day: true, part: /^(morning|früh|vormittag)$/.test(word) ? 'am' : word === 'tonight' ? 'night' : 'pm' };
};

/** hours as spoken, for a part of the day; undefined where that does not exist, such as '13 pm' */
function hourIn(hour: number, part: Part): number | undefined {
  if (hour > 12) return part === 'am' ? undefined : hour;
  if (part === 'am') return hour % 12;
  if (part === 'pm') return hour === 0 ? undefined : (hour % 12) + 12;
  return hour >= 6 && hour < 12 ? hour + 12 : hour % 12;
}

const wrap = (minutes: number): number => (minutes + 1440) % 1440;

/** Every time of day of a text that `plain` made, in order. */
export function findTimes(text: string): TimeMention[] {
  const found: TimeMention[] = [];
  for (const { pattern, minutes, exact, uncertain } of FORMS) {
    for (const match of text.matchAll(pattern)) {
      const groups = match.groups as Record<string, string | undefined>;
      const from =
        match.index +
        (/^(?:at|by|around|about|for|until|till|um|gegen|ab|bis|auf|für|à)\s+/.exec(match[0])?.[0].length ?? 0);
      const end = match.index + match[0].length;
      if (from >= end || insideAny({ start: from, end }, found)) continue;
      const hour = /^eins?$/.test(groups.h!) ? 1 : count(groups.h);
      const past = minutes(groups);
      if (!(hour <= 23 && Math.abs(past) < 60)) continue;
      const after = partAfter(text, end);
      const before = partBefore(text, match.index);
      const part = after.part ?? before.part;
      const twelve = hour >= 1 && hour <= 12;
      const hours = part
        ? [hourIn(hour, part)].filter((h) => h !== undefined)
        : exact || !twelve
          ? [hour]
          : [hour, (hour + 12) % 24];
      if (hours.length)
        found.push({
          start: from,
          end: after.end,
          times: hours.map((h) => wrap(h * 60 + past)),
          certain: !uncertain || part !== undefined || after.day || before.day,
        });
    }
  }
  for (const [pattern, time] of NAMED)
    for (const match of text.matchAll(pattern)) {
      const span = { start: match.index, end: match.index + match[0].length };
      if (!insideAny(span, found)) found.push({ ...span, times: [time], certain: true });
    }
  return found.sort((a, b) => a.start - b.start);
}

export const clock = (minutes: number): string =>
  `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;

/**
 * The time that a text is, as HH:MM. Hours count as on a 24-hour clock unless the text says which half of the day it
 * means.
 */
export function readTime(text: string): string | undefined {
  if (text.length > 80) return undefined;
  const said = `at ${plain(text)
    .trim()
    .replace(/^(?:at|um|@)\s*/, '')}`;
  const [time, ...more] = findTimes(said);
  return time && more.length === 0 && time.start <= 3 && time.end === said.length ? clock(time.times[0]) : undefined;
}
