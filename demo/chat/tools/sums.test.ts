import { expect, test } from 'vitest';
import { calculate, figure } from './arithmetic';
import { memoryHost } from './memory_host';
import { calculateTool, convertUnits } from './sums';
import type { Result } from './tool';
import { findUnit } from './units';

test.each<[string, number]>([
  ['2 + 3 * 4', 14],
  ['(2 + 3) × 4', 20],
  ['10 − 4 − 3', 3],
  ['100 / 10 / 2', 5],
  ['100 ÷ 8', 12.5],
  ['2 ^ 3 ^ 2', 512],
  ['2 ** 10', 1024],
  ['-2 ^ 2', -4],
  ['2 ^ -1', 0.5],
  ['--3', 3],
  ['3 - -2', 5],
  ['0.1 + 0.2', 0.3],
  ['1,234.5 + 1', 1235.5],
  ['1,000,000 / 4', 250000],
  ['2,5 * 2', 5],
  ['10 000 + 1', 10001],
  ['sqrt(16) + √9', 7],
  ['square root of 81', 9],
  ['sqrt 2 * 2', 2.8284271247462],
  ['abs(-3)', 3],
  ['15% of 80', 12],
  ['15 percent of 80', 12],
  ['50%', 0.5],
  ['200 + 10%', 220],
  ['200 - 10%', 180],
  ['10% + 5%', 0.15],
  ['200 * 10%', 20],
  ['10 mod 3', 1],
  ['-1 mod 3', 2],
  ['twelve times four', 48],
  ['twenty-five plus 5', 30],
  ['7 x 6', 42],
  ['100 divided by 4', 25],
  ['2 to the power of 5', 32],
  ['5 squared', 25],
  ['5²', 25],
  ['2(3 + 4)', 14],
  ['(1 + 1)(2 + 2)', 8],
  ['2pi', 6.2831853071796],
  ['1e3 + 1', 1001],
  ['12 : 4', 3],
  ['drei mal vier', 12],
  ['2 + 2 = ?', 4],
  ['0 * -1', 0],
  ['.5 + .5', 1],
  ['9007199254740993 + 0', 9007199254741000],
])('%s = %d', (expression, value) => expect(calculate(expression)).toBe(value));

test.each<[string, RegExp]>([
  ['1 / 0', /division by zero/i],
  ['1 / (2 - 2)', /division by zero/i],
  ['5 mod 0', /division by zero/i],
  ['0 ^ -1', /division by zero/i],
  ['sqrt(-1)', /negative/],
  ['(-8) ^ 0.5', /negative/],
  ['10 % 3', /two ways/],
  ['9 ^ 9 ^ 9 ^ 9', /too large/],
  ['', /empty/],
  ['= ?', /empty/],
  ['1 +', /ends too early/],
  ['(1 + 2', /not closed/],
  ['1 + 2)', /"\)"/],
  ['* 2', /"\*"/],
  ['1 2', /"2"/],
  ['alert(1)', /is no part/],
  ['constructor', /is no part/],
  ['__proto__', /is no part/],
  ['process.exit()', /is no part/],
  ['1; 2', /is no part/],
  ['2 & 3', /is no part/],
  ['1'.repeat(201), /201 characters/],
  ['('.repeat(150), /ends too early/],
])('%s is refused', (expression, message) => expect(() => calculate(expression)).toThrow(message));

test('figures for people', () => {
  expect([1234.5, 12, 0, 1 / 3, -1e6, 2e20, 1.5e-9].map((value) => figure(value))).toEqual([
    '1,234.5',
    '12',
    '0',
    '0.3333333333',
    '-1,000,000',
    '2 × 10^20',
    '1.5 × 10^-9',
  ]);
});

test('the calculator answers with the expression', () =>
  expect(calculateTool.run({ expression: '12 * 4 = ?' }, memoryHost())).toEqual({
    value: { expression: '12 * 4 = ?', result: 48 },
    brief: '48',
    summary: '12 * 4 = 48',
  }));

const converted = (value: number, source: string, target: string): string =>
  (convertUnits.run({ value, source, target }, memoryHost()) as { summary: string }).summary;

test.each<[number, string, string, string]>([
  [5, 'km', 'miles', '5 kilometres = 3.10686 miles'],
  [1, 'mile', 'kilometers', '1 mile = 1.60934 kilometres'],
  [1, 'foot', 'inches', '1 foot = 12 inches'],
  [12, 'inch', 'ft', '12 inches = 1 foot'],
  [100, '°F', '°C', '100 °F = 37.7778 °C'],
  [-40, 'celsius', 'Fahrenheit', '-40 °C = -40 °F'],
  [0, 'C', 'kelvin', '0 °C = 273.15 kelvins'],
  [20, 'degrees celsius', 'F', '20 °C = 68 °F'],
  [2, 'cups', 'ml', '2 US cups = 473.176 millilitres'],
  [10, 'stone', 'kg', '10 stone = 63.5029 kilograms'],
  [1, 'stone', 'pounds', '1 stone = 14 pounds'],
  [1, 'gallon', 'liters', '1 US gallon = 3.78541 litres'],
  [3, 'sq. ft', 'square metres', '3 square feet = 0.278709 square metres'],
  [1, 'hectare', 'm²', '1 hectare = 10,000 square metres'],
  [100, 'km/h', 'mph', '100 kilometres per hour = 62.1371 miles per hour'],
  [100, 'kilometers per hour', 'm/s', '100 kilometres per hour = 27.7778 metres per second'],
  [90, 'minutes', 'hours', '90 minutes = 1.5 hours'],
  [1, 'week', 'days', '1 week = 7 days'],
  [8, 'Mb', 'MB', '8 megabits = 1 megabyte'],
  [1, 'GiB', 'mb', '1 gibibyte = 1,073.74 megabytes'],
  [8, 'bits', 'bytes', '8 bits = 1 byte'],
  [2, 'Meilen', 'Kilometer', '2 miles = 3.21869 kilometres'],
  [500, 'Gramm', 'Pfund', '500 grams = 1.10231 pounds'],
  [2, 'Stunden', 'Minuten', '2 hours = 120 minutes'],
  [3, 'lbs.', 'oz', '3 pounds = 48 ounces'],
  [1, 'nautical mile', 'm', '1 nautical mile = 1,852 metres'],
])('%d %s in %s', (value, source, target, summary) => expect(converted(value, source, target)).toBe(summary));

test.each<[number, string, string, RegExp]>([
  [1, 'litres', 'miles', /^Litres cannot become miles: one is a volume, the other a length\.$/],
  [1, 'euros', 'dollars', /"euros" is not known/],
  [1, 'km', 'constructor', /"constructor" is not known/],
  [1, '__proto__', 'km', /not known/],
  [1, 'x'.repeat(10_000), 'km', /not known/],
  [-1, 'kelvin', 'celsius', /below absolute zero/],
  [-300, '°C', '°F', /below absolute zero/],
  [-5, 'km', 'miles', /cannot be negative/],
  [1e308, 'km', 'nm', /too large/],
])('%d %s in %s is refused', (value, source, target, message) =>
  expect(() => converted(value, source, target)).toThrow(message),
);

test('every unit is known in the plural and singular', () => {
  for (const [name, quantity] of [
    ['metre', 'length'],
    ['feet', 'length'],
    ['foot', 'length'],
    ['ounce', 'mass'],
    ['pint', 'volume'],
    ['acre', 'area'],
    ['knot', 'speed'],
    ['second', 'time'],
    ['byte', 'data'],
    ['terabytes', 'data'],
    ['inches', 'length'],
    ['square feet', 'area'],
    ['Quadratmeter', 'area'],
    ['tons', 'mass'],
  ])
    expect(findUnit(name)?.quantity, name).toBe(quantity);
});

test('converting there and back gives the value again', () => {
  for (const [a, b] of [
    ['km', 'mi'],
    ['°C', '°F'],
    ['kg', 'lb'],
    ['l', 'gal'],
    ['ha', 'acres'],
    ['km/h', 'knots'],
    ['GB', 'Gb'],
  ]) {
    const through = (value: number, source: string, target: string): number =>
      Number((convertUnits.run({ value, source, target }, memoryHost()) as Result).value.result);
    expect(through(through(123, a, b), b, a), `${a} ${b}`).toBeCloseTo(123, 2);
  }
});
