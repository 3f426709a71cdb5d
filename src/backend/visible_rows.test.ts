import { expect, it } from 'vitest';
import { visibleRows } from './visible_rows';

const rows = (...args: Parameters<typeof visibleRows>): number[][] => {
  const all = [...visibleRows(...args)];
  return Array.from({ length: all.length / 4 }, (_, t) => all.slice(4 * t, 4 * t + 4));
};
const PADDED = [
  { length: 2, attended: 2 },
  { length: 3, attended: 2 },
];

it('a row sees its sequence, without the padding', () => {
  expect(rows(PADDED, { causal: false, zeroed: true })).toEqual([
    [0, 2, 0, 2],
    [0, 2, 0, 2],
    ...[1, 2, 3].map(() => [2, 4, 2, 4]),
  ]);
});

it('convolutions read padding that is kept', () => {
  expect(rows(PADDED, { causal: false, zeroed: false }).slice(2)).toEqual([1, 2, 3].map(() => [2, 4, 2, 5]));
});

it('a causal row attends up to itself', () => {
  expect(rows(PADDED, { causal: true, zeroed: true })).toEqual([
    [0, 1, 0, 2],
    [0, 2, 0, 2],
    [2, 3, 2, 4],
    [2, 4, 2, 4],
    [2, 4, 2, 4],
  ]);
});
