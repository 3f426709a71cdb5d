import { expect, test } from 'vitest';
import { bytes, count, duration, speed } from './format';

const plain = (text: string): string => text.replaceAll('\u00a0', ' ');

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [2_281_536, '2.3 MB'],
  [219_423_136, '219 MB'],
  [999_600, '1.0 MB'],
  [1_483_216_288, '1.48 GB'],
  [12_345_678_901, '12.3 GB'],
])('%d bytes are %s', (n, text) => expect(plain(bytes(n))).toBe(text));

test.each([
  [0.0421, '42 ms'],
  [3.14, '3.1 s'],
  [3, '3 s'],
  [42.4, '42 s'],
  [59.7, '1 min'],
  [600, '10 min'],
  [5400, '1.5 h'],
])('%d seconds are %s', (seconds, text) => expect(plain(duration(seconds))).toBe(text));

test('slow speeds keep a decimal', () =>
  expect([speed(3.456), speed(123.4), speed(1108.3)].map(plain)).toEqual(['3.5 tok/s', '123 tok/s', '1,108 tok/s']));

test('a long count has its thousands apart', () => expect([count(24), count(2048)]).toEqual(['24', '2,048']));
