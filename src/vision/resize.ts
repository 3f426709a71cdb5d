/** Resizes pictures to the byte as PyTorch does on bytes: two passes with weights of 16 bits, each rounded to bytes. */
import { axisWeights, type AxisWeights } from './antialias';

/** Pixels in rows; with four channels the last one, alpha, is left out, as `convert('RGB')` of Pillow does. */
export interface Pixels {
  width: number;
  height: number;
  channels: 3 | 4;
  /** [height, width, channels] */
  data: Uint8Array | Uint8ClampedArray;
}

/** Pixels that are read row by row, ascending, a few rows at a time. */
export interface PixelStrips extends Omit<Pixels, 'data'> {
  /** The pixels from a row on, at or before the asked one: valid until the next call. */
  strip(row: number): { first: number; data: Pixels['data'] };
}

/** Weights times 2^shift, the largest power with which they fit into 16 bits. */
function fixedPoint({ weights }: AxisWeights): { fixed: Int32Array; shift: number } {
  const largest = weights.reduce((a, b) => Math.max(a, b));
  let shift = 0;
  while (shift < 22 && Math.trunc(0.5 + largest * 2 ** (shift + 1)) < 2 ** 15) shift++;
  return { fixed: Int32Array.from(weights, (w) => Math.trunc(0.5 + w * 2 ** shift)), shift };
}

/**
 * Red, green and blue, [height, width, 3]. It holds a few rows beside the result, however large the picture is.
 */
export function resizePixels(from: Pixels | PixelStrips, width: number, height: number): Uint8Array {
  const { channels } = from;
  const whole = 'data' in from ? { first: 0, data: from.data } : undefined;
  const [across, down] = [axisWeights(from.width, width), axisWeights(from.height, height)];
  const [x, y] = [fixedPoint(across), fixedPoint(down)];

  function resizeRow(row: number, to: Uint8Array): void {
    const { first, data } = whole ?? (from as PixelStrips).strip(row);
    const begin = (row - first) * from.width * channels;
    const half = 1 << (x.shift - 1);
    for (let i = 0; i < width; i++) {
      let [r, g, b] = [half, half, half];
      let at = begin + across.first[i] * channels;
      for (let j = 0, k = i * across.taps; j < across.count[i]; j++, k++, at += channels) {
        const w = x.fixed[k];
        r += w * data[at];
        g += w * data[at + 1];
        b += w * data[at + 2];
      }
      to[3 * i] = Math.min(r >> x.shift, 255);
      to[3 * i + 1] = Math.min(g >> x.shift, 255);
      to[3 * i + 2] = Math.min(b >> x.shift, 255);
    }
  }

  const result = new Uint8Array(3 * width * height);
  /** the rows that outputs still read, by number modulo their count */
  const ring = Array.from({ length: down.taps }, () => new Uint8Array(3 * width));
  let next = 0;
  const sums = new Int32Array(3 * width);
  for (let i = 0; i < height; i++) {
    const end = down.first[i] + down.count[i];
    for (next = Math.max(next, down.first[i]); next < end; next++) resizeRow(next, ring[next % down.taps]);
    sums.fill(1 << (y.shift - 1));
    for (let j = 0; j < down.count[i]; j++) {
      const [w, row] = [y.fixed[i * down.taps + j], ring[(down.first[i] + j) % down.taps]];
      if (w) for (let k = 0; k < sums.length; k++) sums[k] += w * row[k];
    }
    const begin = i * sums.length;
    for (let k = 0; k < sums.length; k++) result[begin + k] = Math.min(sums[k] >> y.shift, 255);
  }
  return result;
}
