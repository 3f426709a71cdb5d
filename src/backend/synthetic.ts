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

/** Random blocks of a dtype whose scales are sane. */
export function randomRows(name: string, dtype: Dtype, rows: number, cols: number): Uint8Array {
  const next = noise(`${name} ${dtype}`);
  const bytes = new Uint8Array(rows * rowBytes(dtype, cols));
  for (let i = 0; i < bytes.length; i++) bytes[i] = next() >>> 24;
  const view = new DataView(bytes.buffer);
  const { blockBytes } = DTYPES[dtype];
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const value = (next() / 2 ** 32 - 0.5) * 0.5;
    if (dtype === 'F32') view.setFloat32(at, value, true);
    else if (dtype === 'BF16') view.setUint16(at, bf16(value), true);
    else if (dtype === 'F16') view.setUint16(at, (value < 0 ? 0x8000 : 0) | 0x2800 | (next() & 0x7ff), true);
    else {
      const scale = (): number => 0x1800 | (next() & 0x3ff) | (next() & 1 ? 0x400 : 0); // 2^-9 … 2^-7
      // that of Q6_K is often a subnormal half, which some devices flush
      if (dtype === 'Q6_K') view.setUint16(at + 208, next() & 3 ? 0x200 | (next() & 0x1ff) : scale() - 0x0c00, true);
      else view.setUint16(at, dtype.endsWith('_K') ? scale() - 0x0c00 : scale(), true);
      if (dtype === 'Q4_1' || dtype === 'Q5_1') view.setUint16(at + 2, 0x8000 | scale(), true);
      if (dtype === 'Q4_K' || dtype === 'Q5_K') view.setUint16(at + 2, scale() - 0x0800, true);
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
    const half = Math.floor(rows / 2 / ROW_STEP) * ROW_STEP;
    const border = half * rowBytes(dtype, spec.cols);
    if (half > 0) await writer.write(i, 0, bytes.slice(0, border));
    await writer.write(i, half, bytes.slice(border));
  }
  return writer.finish();
}
