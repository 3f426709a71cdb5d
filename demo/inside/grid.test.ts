import { expect, test } from 'vitest';
import type { Inspection } from '../../src/inspect/index';
import { figure, gridOf, partsOf, strongest, tokenName } from './grid';

const inspection: Inspection = {
  ids: [1, 2],
  tokens: ['Set', ' a\n'],
  layers: [
    {
      kind: 'conv',
      layer: 0,
      channels: 3,
      B: Float32Array.of(1, -4, 2, 0, 0, 0),
      C: Float32Array.of(0, 0, 0, 0, 0, 0),
    },
    { kind: 'attention', layer: 1, heads: 2, weights: Float32Array.of(1, 0, 0.25, 0.75, 1, 0, 0.5, 0.5) },
  ],
};

test('a gate: tokens by channels, scaled by the largest magnitude', () => {
  const [conv] = inspection.layers;
  expect(partsOf(conv)).toHaveLength(2);
  const grid = gridOf(inspection, conv, 0);
  expect([grid.rows, grid.columns, grid.largest]).toEqual([2, 3, 4]);
  expect(strongest(grid, 0, 2)).toEqual([
    { name: 'channel 1', value: -4 },
    { name: 'channel 2', value: 2 },
  ]);
  expect(strongest(grid, 1, 2)).toEqual([]);
  expect(grid.range).toEqual([-4, 2]);
  expect(gridOf(inspection, conv, 1).largest).toBe(1);
});

test('a head: tokens by tokens', () => {
  const [, attention] = inspection.layers;
  expect(partsOf(attention)).toEqual(['head 0', 'head 1']);
  const grid = gridOf(inspection, attention, 1);
  expect([...grid.values]).toEqual([1, 0, 0.5, 0.5]);
  expect(grid.columnNames).toEqual(['Set', '␣a⏎']);
  expect(strongest(gridOf(inspection, attention, 0), 1, 5)).toEqual([
    { name: '␣a⏎', value: 0.75 },
    { name: 'Set', value: 0.25 },
  ]);
});

test('tokens and figures as people read them', () => {
  expect([tokenName(''), tokenName('\t')]).toEqual(['∅', '⇥']);
  expect([figure(0.123456), figure(-12.3456), figure(1e-7), figure(0)]).toEqual(['0.123', '-12.3', '1e-7', '0']);
});
