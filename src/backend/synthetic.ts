/** Made-up numbers and weights, the same everywhere by name: for the conformance cases and for self tests. */
import type { Matrix } from '../model/ops';
import { DTYPES, rowBytes, type Dtype } from '../tensor/dtype';
import { ROW_STEP, type Backend } from './backend';

/** Small deterministic numbers in [0, 2³²) by name. */
export function noise(name: string): () => number {
  let state = [...name].reduce((hash, c) => Math.imul(hash ^ c.charCodeAt(0), 16777619), 2166136261) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
}

/** Exponents of the least scale of a block, by the size of its codes. */
const LEAST: Partial<Record<Dtype, number>> = { Q4_0: -7, Q4_1: -7, Q5_0: -8, Q5_1: -8, Q8_0: -11, Q4_K: -13, Q5_K: -14, Q6_K: -14 };
/** 2^exponent as a half */
const half = (exponent: number): number => (exponent + 15) << 10;

/** Random blocks of a dtype. Weights of every format are about 1/16 in size, so that 256 of them keep the size of what they map. */
export function randomRows(name: string, dtype: Dtype, rows: number, cols: number): Uint8Array {
  const next = noise(`${name} ${dtype}`);
  const bytes = new Uint8Array(rows * rowBytes(dtype, cols));
  for (let i = 0; i < bytes.length; i++) bytes[i] = next() >>> 24;
  const view = new DataView(bytes.buffer);
  const { blockBytes } = DTYPES[dtype];
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const value = (next() / 2 ** 32 - 0.5) * 0.25;
    if (dtype === 'F32') view.setFloat32(at, value, true);
    else if (dtype === 'BF16') view.setUint16(at, bf16(value), true);
    else if (dtype === 'F16') view.setUint16(at, (value < 0 ? 0x8000 : 0) | 0x2800 | (next() & 0x7ff), true);
    else {
      const d = half(LEAST[dtype]!) + (next() & 0x7ff); // up to four times that
      // that of Q6_K is often a subnormal half, which some devices flush
      view.setUint16(dtype === 'Q6_K' ? at + 208 : at, dtype === 'Q6_K' && next() & 3 ? 0x200 | (d & 0x1ff) : d, true);
      // a minimum as large as the middle code, or what all weights have in common would hide the rest
      const minimum = (d & 0x7c00) + (dtype.startsWith('Q4') ? 0x0c00 : 0x1000) + (next() & 0x3ff);
      if (dtype.endsWith('_1')) view.setUint16(at + 2, 0x8000 | minimum, true);
      if (dtype !== 'Q4_K' && dtype !== 'Q5_K') continue;
      view.setUint16(at + 2, minimum, true);
      // 6-bit minima near the 6-bit scales, for the same reason
      for (let i = at + 4; i < at + 8; i++) {
        bytes[i + 4] = bytes[i] ^ (bytes[i + 4] & 7);
        bytes[i + 8] = (bytes[i + 8] & 15) | ((bytes[i + 8] << 4) ^ (bytes[i + 8] & 0x30));
      }
    }
  }
  return bytes;
}

const bf16 = (value: number): number => new Uint32Array(new Float32Array([value]).buffer)[0] >>> 16;

/** Writes a matrix through the backend in two slices a segment, as a loader would. */
export async function write(backend: Pick<Backend, 'matrix'>, spec: Matrix): Promise<Matrix> {
  const writer = backend.matrix(spec);
  for (const [i, { name, rows, dtype }] of spec.segments.entries()) {
    const bytes = randomRows(name, dtype, rows, spec.cols);
    const middle = Math.floor(rows / 2 / ROW_STEP) * ROW_STEP;
    const border = middle * rowBytes(dtype, spec.cols);
    if (middle > 0) await writer.write(i, 0, bytes.slice(0, border));
    await writer.write(i, middle, bytes.slice(border));
  }
  return writer.finish();
}
