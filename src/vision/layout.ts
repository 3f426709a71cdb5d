/**
 * How a picture is cut: into one image, or into a grid of tiles and a thumbnail, and how many tokens it has
 * (image_processing_lfm2_vl.py and processing_lfm2_vl.py in transformers).
 */
import type { VisionConfig } from '../model/config';

export interface PictureLayout {
  /** tiles of `tileSize` pixels; 1 and 1 for a picture that is one image */
  rows: number;
  cols: number;
  /** the image, or the thumbnail: pixels, multiples of those of an image token; undefined if there is none */
  whole?: { width: number; height: number; tokens: number };
  /** image tokens of one tile; 0 without tiles */
  tileTokens: number;
  /** of all of these */
  tokens: number;
}

export type LayoutRules = Pick<VisionConfig, 'patchSize' | 'downsample' | 'preparation'>;

/** Python's round: halves to the even number. */
const roundHalfEven = (x: number): number => {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2) : Math.round(x);
};

/** @param width pixels, 1 or more */
export function layoutOf(width: number, height: number, rules: LayoutRules): PictureLayout {
  const { patchSize: P, downsample, preparation } = rules;
  const { maxTokens, tileSize, splits, thumbnail, tolerance } = preparation;
  const unit = P * downsample;
  const rounded = (side: number, least: number): number => Math.max(least, roundHalfEven(side / unit) * unit);
  const whole = wholeSize(width, height, rules);
  const tooLarge = rounded(width, P) * rounded(height, P) > maxTokens * unit ** 2 * tolerance;
  const [cols, rows] = tooLarge && splits ? gridOf(width, height, rules) : [1, 1];
  if (rows * cols === 1) return { rows, cols, whole, tileTokens: 0, tokens: whole.tokens };
  const tileTokens = (tileSize / unit) ** 2;
  const tokens = rows * cols * tileTokens + (thumbnail ? whole.tokens : 0);
  return { rows, cols, whole: thumbnail ? whole : undefined, tileTokens, tokens };
}

/** The size with about the same ratio of sides that has as many tokens as allowed. */
function wholeSize(width: number, height: number, { patchSize, downsample, preparation }: LayoutRules) {
  const unit = patchSize * downsample;
  const [least, most] = [preparation.minTokens, preparation.maxTokens].map((tokens) => tokens * unit ** 2);
  const each = (resize: (side: number) => number): [number, number] => [
    Math.max(unit, resize(width) * unit),
    Math.max(unit, resize(height) * unit),
  ];
  let [w, h] = each((side) => roundHalfEven(side / unit));
  if (w * h > most) {
    const by = Math.sqrt((width * height) / most);
    [w, h] = each((side) => Math.floor(side / by / unit));
  } else if (w * h < least) {
    const by = Math.sqrt(least / (width * height));
    [w, h] = each((side) => Math.ceil((side * by) / unit));
  }
  return { width: w, height: h, tokens: (w * h) / unit ** 2 };
}

/**
 * Columns and rows of up to ten tiles, by area, in the order in which CPython lists them: of equal areas the later one
 * may win.
 */
const ORDER =
  '12 21 31 13 22 41 14 51 15 16 61 32 23 71 17 42 24 18 81 19 33 91 25 52 A1 1A'.split(' ').map((pair) =>
    [...pair].map((digit) => parseInt(digit, 16)),
  ); // prettier-ignore

function candidates(minTiles: number, maxTiles: number): number[][] {
  const more: number[][] = [];
  for (let cols = 1; cols <= maxTiles; cols++)
    for (let rows = 1; cols * rows <= maxTiles; rows++)
      if (cols * rows === 1 || cols * rows > 10) more.push([cols, rows]);
  const known = ORDER.filter(([cols, rows]) => cols * rows <= maxTiles);
  return [...more, ...known].filter(([cols, rows]) => cols * rows >= minTiles).sort(([a, b], [c, d]) => a * b - c * d);
}

/** [columns, rows] with the nearest ratio; of equally near ones the larger, if the picture fills half of it. */
function gridOf(width: number, height: number, { preparation }: LayoutRules): number[] {
  const { minTiles, maxTiles, tileSize } = preparation;
  let [best, difference] = [[1, 1], Infinity];
  for (const grid of candidates(minTiles, maxTiles)) {
    const [cols, rows] = grid;
    const off = Math.abs(width / height - cols / rows);
    const fills = width * height > 0.5 * tileSize ** 2 * cols * rows;
    if (off < difference || (off === difference && fills)) [best, difference] = [grid, off];
  }
  return best;
}
