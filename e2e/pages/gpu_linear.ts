/**
 * Runs the linear maps of the WebGPU backend on random weights and compares them with plain f64 loops over the
 * dequantized weights.
 */
import { openDevice, type OpenedDevice } from '../../src/backend/webgpu/device';
import {
  wholeBuffer,
  type GpuWeightVector,
  type BufferRegion,
  type Dispatch,
  type KernelTuning,
} from '../../src/backend/webgpu/dispatch';
import {
  inProjConvDispatches,
  embedDispatches,
  linearDispatches,
  swigluDispatches,
} from '../../src/backend/webgpu/linear';
import { createMatrixWriter, packedMatrixBytes, type GpuMatrix } from '../../src/backend/webgpu/repack';
import type { Matrix } from '../../src/model/ops';
import { ROW_SLICE_MULTIPLE } from '../../src/backend/backend';
import { randomTestWeightRows } from '../../src/backend/random_weights';
import { dequantize } from '../../src/tensor/dequant';
import { rowBytes, type Dtype } from '../../src/tensor/dtype';
import { keepingAdapter } from './devices';

export interface Case {
  op: 'linear' | 'swiglu' | 'embed' | 'convIn';
  /** one per segment */
  dtypes: Dtype[];
  /** one per segment */
  rows: number[];
  cols: number;
  T: number;
  norm?: boolean;
  bias?: boolean;
  add?: 'apart' | 'in place';
  /** most bytes of a binding, to split the matrix into parts */
  limit?: number;
  tuning?: Partial<KernelTuning>;
}

export interface FeatureOptions {
  subgroups?: boolean;
  integerHalfDecode?: boolean;
}

export interface Result {
  /** the largest |y − wanted| / Σ |terms|; Infinity when y is not a number */
  worst: number;
  labels: string[];
  parts: number;
}

/** A generator of numbers in (−1, 1) by the algorithm mulberry32. */
function mulberry32(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

/** Random rows: every code and 6-bit scale occurs; floats lie between 2⁻²⁰, a subnormal half, and 1. */
const randomRows = (dtype: Dtype, rows: number, cols: number, next: () => number): Uint8Array =>
  randomTestWeightRows(
    dtype,
    rows,
    cols,
    () => (next() + 1) * 128,
    () => next() * 2 ** (next() * 10 - 10),
  );

interface Weights {
  packed: GpuMatrix;
  values: Float32Array;
}

async function weights(
  gpu: OpenedDevice,
  name: string,
  { dtypes, rows, cols, limit }: Case,
  next: () => number,
): Promise<Weights> {
  const segments = dtypes.map((dtype, i) => ({ name: `${name}.${i}`, rows: rows[i], dtype }));
  const spec: Matrix = { name, rows: rows.reduce((a, b) => a + b), cols, segments };
  const writer = createMatrixWriter(gpu, spec, limit ? { limit } : {});
  const values = new Float32Array(spec.rows * cols);
  let at = 0;
  for (const [i, { dtype, rows: count }] of segments.entries()) {
    const bytes = randomRows(dtype, count, cols, next);
    values.set(dequantize(dtype, bytes, count * cols), at);
    at += count * cols;
    // in slices, as a loader does
    const step = ROW_SLICE_MULTIPLE * 3;
    for (let row = 0; row < count; row += step) {
      const last = Math.min(count, row + step);
      await writer.write(i, row, bytes.slice(row * rowBytes(dtype, cols), last * rowBytes(dtype, cols)));
    }
  }
  const packed = (await writer.finish()) as GpuMatrix;
  if (packed.bytes !== packedMatrixBytes(spec, limit))
    throw new Error(`${name}: ${packed.bytes} bytes held, ${packedMatrixBytes(spec, limit)} told`);
  return { packed, values };
}

async function upload(gpu: OpenedDevice, values: Float32Array): Promise<BufferRegion> {
  const buffer = await gpu.allocateBuffer('test', values.byteLength);
  gpu.device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
  return wholeBuffer(buffer);
}

async function download(gpu: OpenedDevice, { buffer }: BufferRegion, length: number): Promise<Float32Array> {
  const read = gpu.device.createBuffer({
    size: Math.ceil(length / 4) * 16,
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
  });
  const encoder = gpu.device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, read, 0, read.size);
  gpu.device.queue.submit([encoder.finish()]);
  await read.mapAsync(GPUMapMode.READ);
  const values = new Float32Array(read.getMappedRange().slice(0)).subarray(0, length);
  read.destroy();
  return values;
}

/** Σ_k W[n,k] · v[k], and the sum of the absolute terms. */
function dot(w: Float32Array, n: number, v: Float64Array): [number, number] {
  let sum = 0;
  let size = 0;
  for (let k = 0; k < v.length; k++) {
    const term = w[n * v.length + k] * v[k];
    sum += term;
    size += Math.abs(term);
  }
  return [sum, size];
}

/** On the device that the page keeps, without the buffers of the cases before. */
export async function check(c: Case, { subgroups, integerHalfDecode }: FeatureOptions = {}): Promise<Result> {
  const gpu = await openDevice({ subgroups, adapter: await keepingAdapter(), allowSoftware: true });
  gpu.features.integerHalfDecode = integerHalfDecode;
  try {
    return await compare(gpu, c);
  } finally {
    gpu.destroy();
  }
}

async function compare(gpu: OpenedDevice, c: Case): Promise<Result> {
  const next = mulberry32(c.cols * 31 + c.T);
  const { cols, T } = c;
  const N = c.rows.reduce((a, b) => a + b);
  const floats = (length: number): Float32Array => Float32Array.from({ length }, next);
  const width = c.op === 'embed' || c.op === 'convIn' ? cols : N;
  const y = await upload(gpu, new Float32Array(T * width));
  const position = 5;
  gpu.device.queue.writeBuffer(gpu.step.buffer, 0, new Uint32Array([position, T, 0, 0]));

  const a = await weights(gpu, 'a', c, next);
  let steps: Dispatch[];
  let wanted: (t: number, n: number) => [number, number];
  if (c.op === 'embed') {
    const tokens = Uint32Array.from({ length: T }, () => Math.floor(((next() + 1) / 2) * N));
    gpu.device.queue.writeBuffer(gpu.tokens.buffer, 4 * position, tokens);
    steps = embedDispatches(gpu, a.packed, y, T);
    wanted = (t, n) => [a.values[tokens[t] * cols + n], Math.abs(a.values[tokens[t] * cols + n])];
  } else {
    const x = floats(T * cols);
    const gains = floats(cols);
    const eps = 1e-5;
    const rows = Array.from({ length: T }, (_, t) => {
      const row = Float64Array.from(x.subarray(t * cols, (t + 1) * cols));
      if (!c.norm) return row;
      const rms = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / cols + eps);
      return row.map((v, k) => (v / rms) * gains[k]);
    });
    const region = await upload(gpu, x);
    const vector: GpuWeightVector = { name: 'norm', length: cols, region: await upload(gpu, gains) };
    const norm = c.norm ? { weight: vector, eps } : undefined;
    if (c.op === 'convIn') {
      const [length, slots] = [3, 4];
      const taps = floats(cols * length);
      const bias = floats(cols);
      const ring = floats(slots * cols);
      const map = { inProj: a.packed, x: region, y, norm: norm!, channels: cols, length, slots };
      steps = inProjConvDispatches(gpu, {
        ...map,
        taps: await upload(gpu, taps),
        bias: c.bias ? await upload(gpu, bias) : undefined,
        ring: await upload(gpu, ring),
      })!;
      wanted = (t, n) => {
        const [[B, Bs], [C, Cs], [v, vs]] = [0, 1, 2].map((part) => dot(a.values, part * cols + n, rows[t]));
        const past = [position - 2, position - 1].map((p) => ring[(p % slots) * cols + n]);
        const sum =
          taps[3 * n] * past[0] + taps[3 * n + 1] * past[1] + taps[3 * n + 2] * B * v + (c.bias ? bias[n] : 0);
        return [
          C * sum,
          Math.abs(sum) * Cs +
            Math.abs(C) * (Math.abs(taps[3 * n] * past[0]) + Math.abs(taps[3 * n + 1] * past[1]) + Bs * vs + 1),
        ];
      };
    } else if (c.op === 'swiglu') {
      const b = await weights(gpu, 'b', c, next);
      steps = swigluDispatches(gpu, { w1: a.packed, w3: b.packed, x: region, y, T, norm: norm! }, c.tuning);
      wanted = (t, n) => {
        const [gate, gateSize] = dot(a.values, n, rows[t]);
        const [up, upSize] = dot(b.values, n, rows[t]);
        const silu = gate / (1 + Math.exp(-gate));
        return [silu * up, Math.abs(silu) * upSize + gateSize * Math.abs(up)];
      };
    } else {
      const bias = floats(N);
      const add = floats(T * N);
      if (c.add === 'in place') gpu.device.queue.writeBuffer(y.buffer, 0, add as Float32Array<ArrayBuffer>);
      const map = { w: a.packed, x: region, y, T, norm, bias: c.bias ? await upload(gpu, bias) : undefined };
      steps = linearDispatches(
        gpu,
        { ...map, add: c.add === 'in place' ? y : c.add ? await upload(gpu, add) : undefined },
        c.tuning,
      );
      wanted = (t, n) => {
        const [sum, size] = dot(a.values, n, rows[t]);
        const more = (c.bias ? bias[n] : 0) + (c.add ? add[t * N + n] : 0);
        return [sum + more, size + Math.abs(more)];
      };
    }
  }
  await gpu.run(steps);
  const got = await download(gpu, y, T * width);
  gpu.throwIfFailed();
  let worst = 0;
  for (let t = 0; t < T; t++)
    for (let n = 0; n < width; n++) {
      const [value, size] = wanted(t, n);
      const error = Math.abs(got[t * width + n] - value) / (size || 1);
      worst = Math.max(worst, Number.isNaN(error) ? Infinity : error);
    }
  return { worst, labels: steps.map(({ label }) => label), parts: a.packed.parts.length };
}

export interface LinearWindow {
  check: typeof check;
}

Object.assign(window, { check } satisfies LinearWindow);
