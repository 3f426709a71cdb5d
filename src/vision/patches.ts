/** The rows that the vision encoder reads: patches of pixels, and the positions of these patches. */
import type { VisionConfig } from '../model/config';
import { axisWeights } from './antialias';

/**
 * Calls for each patch of a grid, in the order of the rows: the u·u patches of an image token come one after the other,
 * so that their features are one row of four times the width (pixel_unshuffle in modeling_lfm2_vl.py).
 */
function eachPatch(height: number, width: number, u: number, call: (y: number, x: number, row: number) => void): void {
  let row = 0;
  for (let y = 0; y < height; y += u)
    for (let x = 0; x < width; x += u)
      for (let dy = 0; dy < u; dy++) for (let dx = 0; dx < u; dx++) call(y + dy, x + dx, row++);
}

/** A part of a picture that is one sequence of the encoder. */
export interface Tile {
  /** of the picture, [_, stride, 3] */
  pixels: Uint8Array;
  stride: number;
  /** the corner, in pixels */
  left: number;
  top: number;
  /** patches */
  width: number;
  height: number;
}

/** Normalised values of the patches of a tile, [height · width, 3 · P²]. */
export function patchRows(
  { pixels, stride, left, top, width, height }: Tile,
  { patchSize: P, downsample, channelsFirst, preparation: { mean, std } }: VisionConfig,
): Float32Array<ArrayBuffer> {
  const values = mean.map((m, c) => Float32Array.from({ length: 256 }, (_, v) => (v - m * 255) / (std[c] * 255)));
  const rows = new Float32Array(height * width * 3 * P * P);
  const [pixelStep, channelStep] = channelsFirst ? [1, P * P] : [3, 1];
  eachPatch(height, width, downsample, (y, x, row) => {
    const begin = row * 3 * P * P;
    for (let py = 0; py < P; py++)
      for (let px = 0; px < P; px++) {
        const from = 3 * ((top + y * P + py) * stride + left + x * P + px);
        const to = begin + (py * P + px) * pixelStep;
        for (let c = 0; c < 3; c++) rows[to + c * channelStep] = values[c][pixels[from + c]];
      }
  });
  return rows;
}

/**
 * The table of positions [side², D], resized to a grid of patches: [height · width, D], for patches in the order of
 * `patchRows`.
 */
export function positionRows(
  table: Float32Array,
  D: number,
  [height, width]: readonly [number, number],
  downsample: number,
): Float32Array<ArrayBuffer> {
  const side = Math.sqrt(table.length / D);
  const [across, down] = [axisWeights(side, width), axisWeights(side, height)];
  /** each row of the table in the new width, [side, width, D] */
  const wide = new Float32Array(side * width * D);
  const accumulate = (to: Float32Array, at: number, from: Float32Array, begin: number, w: number): void => {
    for (let d = 0; d < D; d++) to[at + d] += w * from[begin + d];
  };
  for (let y = 0; y < side; y++)
    for (let x = 0; x < width; x++)
      for (let j = 0; j < across.count[x]; j++)
        accumulate(
          wide,
          (y * width + x) * D,
          table,
          (y * side + across.first[x] + j) * D,
          across.weights[x * across.taps + j],
        );
  const rows = new Float32Array(height * width * D);
  eachPatch(height, width, downsample, (y, x, row) => {
    for (let j = 0; j < down.count[y]; j++)
      accumulate(rows, row * D, wide, ((down.first[y] + j) * width + x) * D, down.weights[y * down.taps + j]);
  });
  return rows;
}
