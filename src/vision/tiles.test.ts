/** Pictures become the very bytes of torchvision's resize, in the order in which the encoder reads patches. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { GOLDEN_DIRECTORY } from '../../e2e/tools/golden';
import type { VisionConfig } from '../model/config';
import { PREPARATION } from '../model/lfm2_vl';
import { patchRows, positionRows, type Tile } from './patches';
import { resizePixels, type Pixels } from './resize';
import { cutPicture } from './tiles';

const CONFIG = { patchSize: 16, downsample: 2, channelsFirst: false, preparation: PREPARATION } as VisionConfig;

interface GoldenPicture {
  width: number;
  height: number;
  rgb_sha256: string;
  tiles: { spatial_shape: number[]; patches_sha256: string }[];
}
const golden = JSON.parse(readFileSync(join(GOLDEN_DIRECTORY, 'vision', 'expected.json'), 'utf8')) as {
  pic: number[];
  resized: Record<string, GoldenPicture[]>;
};
const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** By the formula in expected.json. */
function picture(width: number, height: number): Pixels {
  const [a, b, c, d] = golden.pic;
  const data = new Uint8Array(3 * width * height);
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i += 3) {
      const t = (3 * x + 2 * y) % 510;
      data[i] = a * x + b * y + Math.floor((x * y) / c);
      data[i + 1] = Math.min(t, 510 - t);
      data[i + 2] = ((Math.floor(x / d) + Math.floor(y / d)) & 1 ? 220 : 30) + (((37 * x) ^ (91 * y)) & 15);
    }
  return { width, height, channels: 3, data };
}

/** The bytes of the patches, row by row. */
function patchBytes(tile: Tile): Uint8Array {
  const values = patchRows(tile, CONFIG);
  const bytes = new Uint8Array(values.length);
  let row = 0;
  for (let y = 0; y < tile.height; y += 2)
    for (let x = 0; x < tile.width; x += 2)
      for (const [dy, dx] of [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
      ])
        // prettier-ignore
        for (let i = 0, to = ((y + dy) * tile.width + x + dx) * 768, from = 768 * row++; i < 768; i++)
          bytes[to + i] = Math.round((values[from + i] * 0.5 + 0.5) * 255);
  return bytes;
}

test.each(Object.entries(golden.resized))('%s', (_, [wanted]) => {
  const whole = picture(wanted.width, wanted.height);
  expect(hash(whole.data as Uint8Array)).toBe(wanted.rgb_sha256);
  const { tiles } = cutPicture(whole, CONFIG);
  expect(tiles.map(({ width, height }) => [height, width])).toEqual(wanted.tiles.map((tile) => tile.spatial_shape));
  expect(tiles.map((tile) => hash(patchBytes(tile)))).toEqual(wanted.tiles.map((tile) => tile.patches_sha256));
});

describe('resizing', () => {
  it('leaves alpha out', () => {
    const { width, height, data } = picture(61, 45);
    const withAlpha = new Uint8Array(4 * width * height);
    for (let i = 0; i < width * height; i++) withAlpha.set([...data.subarray(3 * i, 3 * i + 3), i & 255], 4 * i);
    const wanted = resizePixels({ width, height, channels: 3, data }, 64, 32);
    expect(resizePixels({ width, height, channels: 4, data: withAlpha }, 64, 32)).toEqual(wanted);
  });
  it('keeps every byte of a picture that has the size', () => {
    const one = picture(40, 24);
    expect(resizePixels(one, 40, 24)).toEqual(one.data);
  });
  it.each([
    [1, 1, 32, 64],
    [3000, 1, 32, 32],
    [2, 500, 64, 32],
  ])('keeps a plain colour, from %i × %i to %i × %i', (width, height, W, H) => {
    const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => [7, 255, 0][i % 3]);
    const resized = resizePixels({ width, height, channels: 3, data }, W, H);
    expect(resized).toEqual(Uint8Array.from({ length: 3 * W * H }, (_, i) => [7, 255, 0][i % 3]));
  });
});

describe('patches', () => {
  it('have their channels first where the weights have', () => {
    const { data: pixels } = picture(64, 32);
    const tile: Tile = { pixels: pixels as Uint8Array, stride: 64, left: 32, top: 0, width: 2, height: 2 };
    const last = patchRows(tile, CONFIG);
    const first = patchRows(tile, { ...CONFIG, channelsFirst: true });
    const wanted = last.map((_, i) => last[768 * Math.floor(i / 768) + 3 * (i % 256) + Math.floor((i % 768) / 256)]);
    expect(first).toEqual(wanted);
  });
});

describe('positions', () => {
  const D = 3;
  const table = Float32Array.from({ length: 256 * D }, (_, i) => Math.sin(i));

  it('are those of the table on its own grid, in blocks of 2 × 2', () => {
    const rows = positionRows(table, D, [16, 16], 2);
    const blocks = [0, 1, 16, 17, 2, 3, 18, 19].flatMap((i) => [...table.subarray(i * D, (i + 1) * D)]);
    expect([...rows.subarray(0, blocks.length)]).toEqual(blocks);
  });
  it('grow a ramp linearly and shrink it by its mean', () => {
    const ramp = Float32Array.from({ length: 256 }, (_, i) => i % 16);
    // half as many columns: a triangle over four of the table, cut at the edge
    const [first, second] = positionRows(ramp, 1, [16, 8], 2);
    expect(first).toBeCloseTo((0.75 * 1 + 0.25 * 2) / 1.75, 6);
    expect(second).toBeCloseTo(2.5, 6);
    const wide = positionRows(ramp, 1, [16, 32], 2);
    expect([wide[0], wide[1], wide[4]]).toEqual([0, 0.25, 0.75]);
  });
});
