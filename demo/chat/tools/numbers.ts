/** Numbers in what a person writes: digits with separators, and English and German number words. */

export interface NumberMention {
  start: number;
  end: number;
  /** usually one; '1,000' is a thousand in English and one in German */
  values: number[];
}

/**
 * The form of a text that all finders here read; their positions count in it. Runs of spaces are one, which keeps the
 * searches linear.
 */
export const plain = (text: string): string =>
  text
    .normalize('NFC')
    .toLowerCase()
    .replace(/[−–‐]/g, '-')
    .replace(/[’‘]/g, "'")
    .replace(/[^\S\n]+/g, ' ')
    .replace(/\n\s*/g, '\n');

const SMALL =
  'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen'.split(
    ' ',
  );
const TENS = 'twenty thirty forty fifty sixty seventy eighty ninety'.split(' ');
const KLEINE =
  'null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn'.split(
    ' ',
  );
const ZEHNER = 'zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig'.split(' ');

const ENGLISH = new Map([
  ...SMALL.map((word, i) => [word, i] as const),
  ...TENS.map((word, i) => [word, 20 + 10 * i] as const),
]);
const SCALES = new Map([
  ['hundred', 100],
  ['thousand', 1000],
  ['million', 1e6],
]);
/** words that are a number by themselves */
const WHOLE = new Map([
  ['half', 0.5],
  ['dozen', 12],
  ['couple', 2],
  ['dutzend', 12],
  ['anderthalb', 1.5],
  ['eineinhalb', 1.5],
  ['zweieinhalb', 2.5],
  ['dreieinhalb', 3.5],
]);

const GERMAN = new Map([
  ['zwo', 2],
  ...KLEINE.map((word, i) => [word, i] as const),
  ...ZEHNER.map((word, i) => [word, 20 + 10 * i] as const),
]);
const GERMAN_UNITS = new Map([['ein', 1], ...KLEINE.slice(2, 10).map((word, i) => [word, i + 2] as const)]);

/** 'fünfundzwanzig', 'zweihundertfünfzig'; undefined if the word is no number. */
export function germanNumber(word: string): number | undefined {
  const text = word.replace('fuenf', 'fünf').replace('zwoelf', 'zwölf').replace('dreissig', 'dreißig');
  for (const [scale, size] of [
    ['tausend', 1000],
    ['hundert', 100],
  ] as const) {
    const at = text.length <= 60 ? text.indexOf(scale) : -1;
    if (at < 0) continue;
    const many = at === 0 ? 1 : (GERMAN_UNITS.get(text.slice(0, at)) ?? germanNumber(text.slice(0, at)));
    const rest = text.slice(at + scale.length).replace(/^und/, '');
    const more = rest === '' ? 0 : germanNumber(rest);
    return many === undefined || more === undefined || more >= size ? undefined : many * size + more;
  }
  const [, unit, ten] = /^(\p{L}{3,6}?)und(\p{L}+)$/u.exec(text) ?? [];
  if (unit !== undefined && GERMAN_UNITS.has(unit) && ZEHNER.includes(ten))
    return GERMAN_UNITS.get(unit)! + GERMAN.get(ten)!;
  return GERMAN.get(text);
}

/** What digits with separators can mean; nothing where they are not grouped as one number. */
export function readDigits(token: string): number[] {
  const text = token.replace(/(?<=\d)[' ](?=\d{3}(?!\d))/g, '');
  if (/^(\d+|\d*\.\d+)$/.test(text) && !/^[1-9]\d{0,2}\.\d{3}$/.test(text)) return [Number(text)];
  if (/^[1-9]\d{0,2}[.,]\d{3}$/.test(text)) {
    const readings = [Number(text.replace(/[.,]/, '')), Number(text.replace(',', '.'))];
    return text.includes('.') ? readings.reverse() : readings;
  }
  if (/^\d+,\d+$/.test(text)) return [Number(text.replace(',', '.'))];
  if (/^[1-9]\d{0,2}(,\d{3})+(\.\d+)?$/.test(text)) return [Number(text.replaceAll(',', ''))];
  if (/^[1-9]\d{0,2}(\.\d{3})+(,\d+)?$/.test(text)) return [Number(text.replaceAll('.', '').replace(',', '.'))];
  return [];
}

/** Digits that are no word's part, such as the 2 of 'mp2', and no ordinal's. */
function digitMentions(text: string): NumberMention[] {
  const found: NumberMention[] = [];
  for (const match of text.matchAll(
    /(?<![\p{L}_\d])(?:[1-9]\d{0,2}(?: \d{3})+(?!\d)|\d+(?:[.,']\d+)*|(?<!\.)\.\d+)(?!\d|(?:st|nd|rd|th)(?!\p{L}))/gu,
  )) {
    const [token] = match;
    const values = readDigits(token);
    const parts = values.length
      ? [{ text: token, at: 0, values }]
      : [...token.matchAll(/\d+/g)].map((part) => ({ text: part[0], at: part.index, values: [Number(part[0])] }));
    for (const part of parts)
      found.push({ start: match.index + part.at, end: match.index + part.at + part.text.length, values: part.values });
  }
  return found;
}

interface Word {
  text: string;
  start: number;
  end: number;
}

/** The English number that begins at this word, and how many words it takes. */
function englishNumber(
  words: Word[],
  from: number,
  joined: (i: number) => boolean,
): { value: number; count: number } | undefined {
  let total = 0;
  let current: number | undefined;
  let room = Infinity; // what the next word must be below
  let scaleRoom = Infinity;
  let i = from;
  let end = from;
  const first = words[from].text;
  if (first === 'a' && SCALES.has(words[from + 1]?.text) && joined(from + 1)) i++;
  for (; i < words.length && (i === from || joined(i)); i++) {
    const { text } = words[i];
    const value = ENGLISH.get(text);
    const scale = SCALES.get(text);
    if (value !== undefined && value < room && (value > 0 || current === undefined)) {
      current = (current ?? 0) + value;
      room = value >= 20 ? 10 : 0;
    } else if (scale === 100 && (current ?? 1) < 100 && (current !== undefined || i === from || first === 'a')) {
      current = (current ?? 1) * 100;
      room = 100;
    } else if (
      scale !== undefined &&
      scale > 100 &&
      scale < scaleRoom &&
      (current !== undefined || i === from || first === 'a')
    ) {
      total += (current ?? 1) * scale;
      current = undefined;
      scaleRoom = scale;
      room = 1000;
    } else if (
      text === 'and' &&
      i > from &&
      room >= 100 &&
      room < Infinity &&
      ENGLISH.has(words[i + 1]?.text) &&
      joined(i + 1)
    )
      continue;
    else break;
    end = i + 1;
  }
  if (end === from) return undefined;
  let value = total + (current ?? 0);
  if (words[end]?.text === 'point' && joined(end)) {
    let digits = '';
    let at = end + 1;
    for (; at < words.length && joined(at) && (ENGLISH.get(words[at].text) ?? 10) < 10; at++)
      digits += ENGLISH.get(words[at].text);
    if (digits) {
      value = Number(`${value}.${digits}`);
      end = at;
    }
  }
  return { value, count: end - from };
}

function wordMentions(text: string): NumberMention[] {
  const words: Word[] = [...text.matchAll(/\p{L}+/gu)].map((match) => ({
    text: match[0],
    start: match.index,
    end: match.index + match[0].length,
  }));
  const joined = (i: number): boolean =>
    i > 0 && i < words.length && /^[\s-]+$/.test(text.slice(words[i - 1].end, words[i].start));
  const found: NumberMention[] = [];
  for (let i = 0; i < words.length; i++) {
    const { text: word, start } = words[i];
    if (/[\d_]/.test(text.charAt(start - 1))) continue;
    const english = englishNumber(words, i, joined);
    let value = english?.value ?? WHOLE.get(word) ?? germanNumber(word);
    if (value === undefined) continue;
    let last = i + (english?.count ?? 1) - 1;
    const next = (n: number): string => (joined(last + n) ? words[last + n].text : '');
    if (/^(dozen|dutzend)$/.test(next(1))) [value, last] = [value * 12, last + 1];
    else if (word === 'half' && next(1) === 'a' && next(2) === 'dozen') [value, last] = [6, last + 2];
    else if (next(1) === 'and' && next(2) === 'a' && next(3) === 'half') [value, last] = [value + 0.5, last + 3];
    if (word === 'dutzend' && words[i - 1]?.text === 'halbes' && joined(i)) value = 6;
    found.push({ start, end: words[last].end, values: [value] });
    i = last;
  }
  return found;
}

/** Every number of a text that `plain` made, in order. */
export function findNumbers(text: string): NumberMention[] {
  const found = [...digitMentions(text), ...wordMentions(text)].sort((a, b) => a.start - b.start);
  return found.map((mention, i) => {
    const before = text.slice(Math.max(0, mention.start - 24), mention.start);
    const sign = /(?:^|[\s(=])(-)$|(?<!\p{L})((?:minus|negative)\s+)$/u.exec(before);
    if (!sign) return mention;
    const start = mention.start - (sign[1] ?? sign[2]).length;
    // behind another number it is a subtraction
    const former = found[i - 1];
    if (former && /^[\s)%]*$/.test(text.slice(former.end, start))) return mention;
    return { start, end: mention.end, values: mention.values.map((value) => -value) };
  });
}

/** The finite number that a text is, if it is one and has one reading. */
export function readNumber(text: string): number | undefined {
  if (text.length > 200) return undefined;
  const whole = plain(text).trim().replace(/^\+/, '');
  if (/^-?(\d+|\d*\.\d+)(e[+-]?\d{1,3})?$/.test(whole) && !/^-?[1-9]\d{0,2}\.\d{3}$/.test(whole))
    return finite(Number(whole));
  const [found, ...more] = findNumbers(whole);
  return found?.start === 0 && found.end === whole.length && more.length === 0 && found.values.length === 1
    ? finite(found.values[0])
    : undefined;
}

const finite = (value: number): number | undefined => (Number.isFinite(value) ? value : undefined);
