/** Sizes, grids and token counts, against tables of transformers' rule (e2e/golden/make/image_sizes.py). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { GOLDEN_DIRECTORY } from '../../e2e/tools/golden';
import { PREPARATION } from '../model/lfm2_vl';
import { layoutOf, type LayoutRules } from './layout';

const RULES: LayoutRules = { patchSize: 16, downsample: 2, preparation: PREPARATION };
type Row = [width: number, height: number, rows: number, cols: number, H: number, W: number, tokens: number];
const read = (file: string): unknown => JSON.parse(readFileSync(join(GOLDEN_DIRECTORY, 'vision', file), 'utf8'));

const rowOf = (width: number, height: number): Row => {
  const { rows, cols, whole, tokens } = layoutOf(width, height, RULES);
  return [width, height, rows, cols, whole!.height, whole!.width, tokens];
};

test.each([
  ['drawn sizes', read('sizes.json') as Row[], 2360],
  ['sizes that transformers counted', (read('expected.json') as { size_table: Row[] }).size_table, 158],
])('%s', (_, table, count) => {
  expect(table.length).toBe(count);
  expect(table.map(([width, height]) => rowOf(width, height))).toEqual(table);
});

describe('sizes that other programs count differently', () => {
  it.each([
    ['half a token is rounded to even', 720, 720, 256],
    ['half a token is rounded to even', 720, 736, 240],
    ['half a token is rounded to even', 336, 336, 100],
    ['half a token is rounded to even', 16, 1600, 80],
    ['a side below a token keeps its ratio', 10, 300, 88],
    ['a side below a token keeps its ratio', 516, 23, 76],
    ['the smallest picture', 1, 1, 64],
    ['a large one has tiles and a thumbnail', 1300, 900, 1783],
  ])('%s: %i × %i', (_, width, height, tokens) => expect(layoutOf(width, height, RULES).tokens).toBe(tokens));
});

describe('settings', () => {
  const layout = (width: number, height: number, change: Partial<LayoutRules['preparation']>) =>
    layoutOf(width, height, { ...RULES, preparation: { ...PREPARATION, ...change } });

  it('without splitting every picture is one image', () =>
    expect(layout(4000, 3000, { splits: false })).toMatchObject({ rows: 1, cols: 1, tokens: 234 }));
  it('a picture in tiles may have no thumbnail', () =>
    expect(layout(1300, 900, { thumbnail: false })).toMatchObject({
      rows: 2,
      cols: 3,
      tokens: 1536,
      whole: undefined,
    }));
  it('more tokens', () => expect(layout(1000, 1000, { maxTokens: 1024 })).toMatchObject({ rows: 1, tokens: 961 }));
  it('more tiles than ten', () => {
    expect(layout(3000, 1000, { minTiles: 12, maxTiles: 12 })).toMatchObject({ rows: 2, cols: 6 });
  });
});
