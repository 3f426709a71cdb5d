import { expect, test } from 'vitest';
import { positionLabel, withoutOverlap } from './axis_labels';

test('positions are named as they are', () => {
  expect([128, 512, 1000, 1024, 1500, 4096, 16384].map(positionLabel)).toEqual([
    '128',
    '512',
    '1,000',
    '1k',
    '1,500',
    '4k',
    '16k',
  ]);
});

test('labels do not touch: what has no room to the right of the one before is left out', () => {
  expect(withoutOverlap(['128', '256', '512', '1k', '4k', '16k'], [0, 40, 80, 100, 180, 260])).toEqual([
    '128',
    '256',
    '512',
    '',
    '4k',
    '16k',
  ]);
  expect(withoutOverlap(['128'], [0])).toEqual(['128']);
  expect(withoutOverlap(['1,000', '1,001', '1,002'], [0, 1, 44])).toEqual(['1,000', '', '1,002']);
});
