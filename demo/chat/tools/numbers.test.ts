import { expect, test } from 'vitest';
import { findDurations } from './durations';
import { findNumbers, germanNumber, plain, readDigits, readNumber } from './numbers';
import { findTimes, clock, readTime } from './times';

const numbers = (text: string): number[][] => findNumbers(plain(text)).map(({ values }) => values);
const minutes = (text: string): number[] => findDurations(plain(text)).map((duration) => duration.minutes);
const times = (text: string): string[][] => findTimes(plain(text)).map((mention) => mention.times.map(clock));

test.each([
  ['7', [7]],
  ['7.5', [7.5]],
  ['7,5', [7.5]],
  ['.5', [0.5]],
  ['1,000', [1000, 1]],
  ['1.000', [1, 1000]],
  ['1,234,567.8', [1234567.8]],
  ['1.234.567,8', [1234567.8]],
  ["1'000", [1000]],
  ['1,2,3', []],
  ['0.125', [0.125]],
])('digits %s', (text, values) => expect(readDigits(text)).toEqual(values));

test.each<[string, number[]]>([
  ['set 10 and 20%', [10, 20]],
  ['5km and 30min', [5, 30]],
  ['twenty-five', [25]],
  ['one hundred and five', [105]],
  ['two hundred fifty thousand three', [250003]],
  ['a hundred miles', [100]],
  ['ninety nine', [99]],
  ['two and a half', [2.5]],
  ['two point five', [2.5]],
  ['a dozen', [12]],
  ['half a dozen', [6]],
  ['two dozen', [24]],
  ['ein halbes Dutzend', [6]],
  ['minus five', [-5]],
  ['convert -5 celsius', [-5]],
  ['10 - 5', [10, 5]],
  ['10 -5', [10, 5]],
  ['ten minus five', [10, 5]],
  ['3-5', [3, 5]],
  ['10 000 metres', [10000]],
  ['fünfundzwanzig Prozent', [25]],
  ['zweihundertfünfzig', [250]],
  ['anderthalb', [1.5]],
  ['forty five sixty', [45, 60]],
  ['one two three', [1, 2, 3]],
  ['the 3rd of mp3 and b12', []],
  ['someone tenth oneself', []],
  ['', []],
])('numbers in %j', (text, values) => expect(numbers(text).map(([first]) => first)).toEqual(values));

test.each<[string, number | undefined]>([
  ['zehn', 10],
  ['dreissig', 30],
  ['dreißig', 30],
  ['tausend', 1000],
  ['zweitausendfünfhundert', 2500],
  ['einundzwanzig', 21],
  ['siebzehn', 17],
  ['hundertundeins', 101],
  ['hund', undefined],
  ['gesund', undefined],
  ['tausendtausend', undefined],
  ['rundzwanzig', undefined],
])('German %s', (word, value) => expect(germanNumber(word)).toBe(value));

test.each<[string, number | undefined]>([
  [' 10 ', 10],
  ['1e3', 1000],
  ['-2.5', -2.5],
  ['+4', 4],
  ['ten', 10],
  ['minus ten', -10],
  ['2,5', 2.5],
  ['1,000', undefined],
  ['1.000', undefined],
  ['1,000,000', 1e6],
  ['10 minutes', undefined],
  ['', undefined],
  ['NaN', undefined],
  ['Infinity', undefined],
  ['0x10', undefined],
  ['9'.repeat(10_000), undefined],
  ['9e999', undefined],
])('the number %j', (text, value) => expect(readNumber(text)).toBe(value));

test.each<[string, number[]]>([
  ['half an hour', [30]],
  ['a half hour', [30]],
  ['an hour and a half', [90]],
  ['one and a half hours', [90]],
  ['1.5 hours', [90]],
  ['1,5 Stunden', [90]],
  ['1 hour 30 minutes', [90]],
  ['1 hour and 30 minutes', [90]],
  ['1h30', [90]],
  ['1h 30m', [90]],
  ['1:30 hours', [90]],
  ['2h', [120]],
  ['a quarter of an hour', [15]],
  ['three quarters of an hour', [45]],
  ['90 seconds', [1.5]],
  ['a minute', [1]],
  ['a 5-minute timer', [5]],
  ['in zehn Minuten', [10]],
  ['eine halbe Stunde', [30]],
  ['eine Viertelstunde', [15]],
  ['eine Dreiviertelstunde', [45]],
  ['anderthalb Stunden', [90]],
  ['eine Stunde und zehn Minuten', [70]],
  ['5 minutes and 10 minutes', [5, 10]],
  ['two days', [2880]],
  ['7 miles', []],
  ['10 hourly', []],
])('durations in %j', (text, wanted) => expect(minutes(text)).toEqual(wanted));

test.each<[string, string[][]]>([
  ['wake me at 7:30 tomorrow', [['07:30']]],
  ['07:05', [['07:05']]],
  ['7:30 pm', [['19:30']]],
  ['7:30pm', [['19:30']]],
  ['7.30 pm', [['19:30']]],
  ['at 7.30', [['07:30']]],
  ['7 p.m.', [['19:00']]],
  ['12 am', [['00:00']]],
  ['12 pm', [['12:00']]],
  ['13 am', []],
  ['7:30 in the evening', [['19:30']]],
  ['tonight at 8', [['20:00']]],
  ['tomorrow morning at 7', [['07:00']]],
  ['at 7', [['07:00', '19:00']]],
  ['at 19', [['19:00']]],
  ["seven o'clock", [['07:00', '19:00']]],
  ['half past seven', [['07:30', '19:30']]],
  ['quarter to eight', [['07:45', '19:45']]],
  ['a quarter past eight', [['08:15', '20:15']]],
  ['ten to eight', [['07:50', '19:50']]],
  ['twenty-five past six', [['06:25', '18:25']]],
  ['seven thirty', [['07:30', '19:30']]],
  ['noon', [['12:00']]],
  ['at midnight', [['00:00']]],
  ['this afternoon', []],
  ['halb acht', [['07:30', '19:30']]],
  ['um halb acht abends', [['19:30']]],
  ['viertel nach sechs', [['06:15', '18:15']]],
  ['Viertel vor sechs', [['05:45', '17:45']]],
  ['dreiviertel sechs', [['05:45', '17:45']]],
  ['fünf vor halb acht', [['07:25', '19:25']]],
  ['fünf nach halb acht', [['07:35', '19:35']]],
  ['um 7 Uhr 30', [['07:30']]],
  ['um sieben Uhr', [['07:00']]],
  ['19 Uhr', [['19:00']]],
  ['um 19h30', [['19:30']]],
  ['halb eins', [['00:30', '12:30']]],
  ['volume at 40', []],
  ['for 7 minutes', []],
  ['for 7 %', []],
  ['26.75 km', []],
  ['25:10', []],
])('times in %j', (text, wanted) => expect(times(text).map((list) => list.toSorted())).toEqual(wanted));

test.each<[string, string | undefined]>([
  ['7:30', '07:30'],
  ['7.30', '07:30'],
  ['7 pm', '19:00'],
  ['7pm', '19:00'],
  ['19h', '19:00'],
  ['19h30', '19:30'],
  ['0730', '07:30'],
  ['07:30:00', '07:30'],
  ['7', '07:00'],
  ['at 7:30', '07:30'],
  ['quarter to eight', '07:45'],
  ['halb acht', '07:30'],
  ['viertel nach sieben', '07:15'],
  ['noon', '12:00'],
  ['7:30 and 8:30', undefined],
  ['7:75', undefined],
  ['24:00', undefined],
  ['soon', undefined],
  ['7:30 or so', undefined],
  ['10 minutes', undefined],
  ['7'.repeat(1000), undefined],
  ['', undefined],
])('the time %j', (text, wanted) => expect(readTime(text)).toBe(wanted));

test('long hostile texts take little time', () => {
  const started = performance.now();
  for (const piece of ['1,', 'hundert', 'a quarter ', 'at 7 ', 'one ', 'half ', '- ', '7:', 'fünfund', ' ', "'1"]) {
    const text = plain(piece.repeat(4000));
    findNumbers(text);
    findDurations(text);
    findTimes(text);
  }
  expect(performance.now() - started).toBeLessThan(5000);
});
