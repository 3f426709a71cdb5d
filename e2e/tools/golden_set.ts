/** A golden set as verify.ts reads it, and how numbers are compared with it. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

export interface ExpectedSet {
  /** of LFM3 */
  sliding_window?: number;
  prompts: Record<string, number[]>;
  files: Record<string, ExpectedFile>;
}

export interface ExpectedFile {
  logits_file: string;
  logits_shape: [number, number];
  greedy_from_T7?: number[];
  greedy_margins?: number[];
  /**
   * continuations of any prompts, with the margin of the likeliest token at each step; always demanded up to the first
   * margin below 0.05
   */
  greedy?: Record<string, { tokens: number[]; margins: number[]; margin?: number }>;
  tensor_types: Record<string, string> | null;
}

export function floats(path: string): Float32Array {
  const bytes = readFileSync(path);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

export const hash = (values: Float32Array): string =>
  createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex').slice(0, 8);

/** @property nmse of the power of `wanted` */
export function difference(
  got: ArrayLike<number>,
  wanted: Float32Array,
): { maxAbs: number; nmse: number; top1Match: boolean } {
  if (got.length !== wanted.length) throw new Error(`${got.length} logits, expected ${wanted.length}`);
  let [maxAbs, error, power, top, best] = [0, 0, 0, 0, 0];
  for (let v = 0; v < wanted.length; v++) {
    const delta = Math.abs(got[v] - wanted[v]);
    if (!(delta <= maxAbs)) maxAbs = delta; // NaN counts
    error += delta * delta;
    power += wanted[v] * wanted[v];
    if (got[v] > got[top]) top = v;
    if (wanted[v] > wanted[best]) best = v;
  }
  return { maxAbs, nmse: error / power, top1Match: top === best };
}
