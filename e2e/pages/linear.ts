/** Runs the linear maps of the WebGPU backend on random weights and compares with plain loops in f64 over the dequantised weights. */
import { openDevice, type DeviceOptions, type OpenedDevice } from '../../src/backend/webgpu/device';
import { whole, type GpuVector, type Region, type Step, type Tuning } from '../../src/backend/webgpu/gpu';
import { convInSteps, embedSteps, linearSteps, swigluSteps } from '../../src/backend/webgpu/linear';
import { matrixWriter, packedBytes, type GpuMatrix } from '../../src/backend/webgpu/repack';
import type { Matrix } from '../../src/model/ops';
import { ROW_STEP } from '../../src/backend/backend';
import { dequantize } from '../../src/tensor/dequant';
import { DTYPES, rowBytes, type Dtype } from '../../src/tensor/dtype';
import { floatToBfloat, floatToHalf } from '../../src/tensor/half';

export interface Case {
  op: 'linear' | 'swiglu' | 'embed' | 'convIn';
  /** one a segment */
  dtypes: Dtype[];
  /** one a segment */
  rows: number[];
  cols: number;
  T: number;
  norm?: boolean;
  bias?: boolean;
  add?: 'apart' | 'in place';
  /** bytes a binding may have, to cut the matrix into parts */
  limit?: number;
  tuning?: Partial<Tuning>;
}

export interface Variant {
  subgroups?: boolean;
  integerHalves?: boolean;
}

export interface Result {
  /** of |y − wanted| / Σ |terms|; Infinity where y is not a number */
  worst: number;
  labels: string[];
  parts: number;
}

/** mulberry32, in (−1, 1) */
function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

/** Random rows: every code and 6-bit scale occurs; halves lie between 2⁻²⁰ (subnormal) and 1. */
function randomRows(dtype: Dtype, rows: number, cols: number, next: () => number): Uint8Array {
  const bytes = new Uint8Array(rows * rowBytes(dtype, cols));
  const view = new DataView(bytes.buffer);
  const { blockBytes } = DTYPES[dtype];
  if (dtype === 'F32') for (let i = 0; i < bytes.length; i += 4) view.setFloat32(i, next(), true);
  else if (dtype === 'F16') for (let i = 0; i < bytes.length; i += 2) view.setUint16(i, floatToHalf(next() * 2 ** (next() * 9 - 9)), true);
  else if (dtype === 'BF16') for (let i = 0; i < bytes.length; i += 2) view.setUint16(i, floatToBfloat(next()), true);
  else {
    for (let i = 0; i < bytes.length; i++) bytes[i] = (next() + 1) * 128;
    const halves = dtype === 'Q6_K' ? [208] : dtype.endsWith('_0') ? [0] : [0, 2];
    for (let at = 0; at < bytes.length; at += blockBytes)
      for (const half of halves) view.setUint16(at + half, floatToHalf(next() * 2 ** (next() * 10 - 10)), true);
  }
  return bytes;
}

const devices = new Map<string, Promise<OpenedDevice>>();
function device(options: DeviceOptions): Promise<OpenedDevice> {
  const key = JSON.stringify(options);
  if (!devices.has(key)) devices.set(key, openDevice({ ...options, allowSoftware: true }));
  return devices.get(key)!;
}

interface Weights {
  packed: GpuMatrix;
  values: Float32Array;
}

async function weights(gpu: OpenedDevice, name: string, { dtypes, rows, cols, limit }: Case, next: () => number): Promise<Weights> {
  const segments = dtypes.map((dtype, i) => ({ name: `${name}.${i}`, rows: rows[i], dtype }));
  const spec: Matrix = { name, rows: rows.reduce((a, b) => a + b), cols, segments };
  const writer = matrixWriter(gpu, spec, limit ? { limit } : {});
  const values = new Float32Array(spec.rows * cols);
  let at = 0;
  for (const [i, { dtype, rows: count }] of segments.entries()) {
    const bytes = randomRows(dtype, count, cols, next);
    values.set(dequantize(dtype, bytes, count * cols), at);
    at += count * cols;
    // in slices, as a loader does
    const step = ROW_STEP * 3;
    for (let row = 0; row < count; row += step) {
      const last = Math.min(count, row + step);
      await writer.write(i, row, bytes.slice(row * rowBytes(dtype, cols), last * rowBytes(dtype, cols)));
    }
  }
  const packed = (await writer.finish()) as GpuMatrix;
  if (packed.bytes !== packedBytes(spec, limit)) throw new Error(`${name}: ${packed.bytes} bytes held, ${packedBytes(spec, limit)} told`);
  return { packed, values };
}

async function upload(gpu: OpenedDevice, values: Float32Array): Promise<Region> {
  const buffer = await gpu.allocate('test', values.byteLength);
  gpu.device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
  return whole(buffer);
}

async function download(gpu: OpenedDevice, { buffer }: Region, length: number): Promise<Float32Array> {
  const read = gpu.device.createBuffer({ size: Math.ceil(length / 4) * 16, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const encoder = gpu.device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, read, 0, read.size);
  gpu.device.queue.submit([encoder.finish()]);
  await read.mapAsync(GPUMapMode.READ);
  const values = new Float32Array(read.getMappedRange().slice(0)).subarray(0, length);
  read.destroy();
  return values;
}

/** Σ_k W[n,k] · v[k] and Σ |…| */
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

export async function check(c: Case, { subgroups, integerHalves }: Variant = {}): Promise<Result> {
  const gpu = await device({ subgroups });
  gpu.features.integerHalves = integerHalves;
  const next = random(c.cols * 31 + c.T);
  const { cols, T } = c;
  const N = c.rows.reduce((a, b) => a + b);
  const floats = (length: number): Float32Array => Float32Array.from({ length }, next);
  const width = c.op === 'embed' || c.op === 'convIn' ? cols : N;
  const y = await upload(gpu, new Float32Array(T * width));
  const position = 5;
  gpu.device.queue.writeBuffer(gpu.step.buffer, 0, new Uint32Array([position, T, 0, 0]));

  const a = await weights(gpu, 'a', c, next);
  let steps: Step[];
  let wanted: (t: number, n: number) => [number, number];
  if (c.op === 'embed') {
    const tokens = Uint32Array.from({ length: T }, () => Math.floor(((next() + 1) / 2) * N));
    gpu.device.queue.writeBuffer(gpu.tokens.buffer, 4 * position, tokens);
    steps = embedSteps(gpu, a.packed, y, T);
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
    const vector: GpuVector = { name: 'norm', length: cols, region: await upload(gpu, gains) };
    const norm = c.norm ? { weight: vector, eps } : undefined;
    if (c.op === 'convIn') {
      const [length, slots] = [3, 4];
      const taps = floats(cols * length);
      const bias = floats(cols);
      const ring = floats(slots * cols);
      const map = { inProj: a.packed, x: region, y, norm: norm!, channels: cols, length, slots };
      steps = convInSteps(gpu, { ...map, taps: await upload(gpu, taps), bias: c.bias ? await upload(gpu, bias) : undefined, ring: await upload(gpu, ring) })!;
      wanted = (t, n) => {
        const [[B, Bs], [C, Cs], [v, vs]] = [0, 1, 2].map((part) => dot(a.values, part * cols + n, rows[t]));
        const past = [position - 2, position - 1].map((p) => ring[(p % slots) * cols + n]);
        const sum = taps[3 * n] * past[0] + taps[3 * n + 1] * past[1] + taps[3 * n + 2] * B * v + (c.bias ? bias[n] : 0);
        return [C * sum, Math.abs(sum) * Cs + Math.abs(C) * (Math.abs(taps[3 * n] * past[0]) + Math.abs(taps[3 * n + 1] * past[1]) + Bs * vs + 1)];
      };
    } else if (c.op === 'swiglu') {
      const b = await weights(gpu, 'b', c, next);
      steps = swigluSteps(gpu, { w1: a.packed, w3: b.packed, x: region, y, T, norm: norm! }, c.tuning);
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
      steps = linearSteps(gpu, { ...map, add: c.add === 'in place' ? y : c.add ? await upload(gpu, add) : undefined }, c.tuning);
      wanted = (t, n) => {
        const [sum, size] = dot(a.values, n, rows[t]);
        const more = (c.bias ? bias[n] : 0) + (c.add ? add[t * N + n] : 0);
        return [sum + more, size + Math.abs(more)];
      };
    }
  }
  await gpu.run(steps);
  const got = await download(gpu, y, T * width);
  gpu.check();
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
