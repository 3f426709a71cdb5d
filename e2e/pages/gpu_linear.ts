/**
 * Runs the linear maps of the WebGPU backend on random weights and compares them with plain f64 loops over the
 * dequantized weights.
 */
import '../../src/modules/experts';
import { openDevice, type OpenedDevice } from '../../src/backend/webgpu/device';
import {
  wholeBuffer,
  type GpuWeightVector,
  type BufferRegion,
  type Dispatch,
  type KernelTuning,
} from '../../src/backend/webgpu/dispatch';
import {
  expertsLinearDispatches,
  expertsSwigluDispatches,
  selectExpertsDispatches,
} from '../../src/backend/webgpu/experts';
import { expertBufferBytes } from '../../src/backend/webgpu/expert_buffers';
import {
  inProjConvDispatches,
  embedDispatches,
  linearDispatches,
  swigluDispatches,
} from '../../src/backend/webgpu/linear';
import { createMatrixWriter, packedMatrixBytes, type GpuMatrix } from '../../src/backend/webgpu/repack';
import type { Matrix } from '../../src/model/ops';
import type { NodeOf, Plan, PlanActivation } from '../../src/backend/plan';
import { ROW_SLICE_MULTIPLE } from '../../src/backend/backend';
import { randomTestWeightRows } from '../../src/backend/random_weights';
import { dequantize } from '../../src/tensor/dequant';
import { rowBytes, type Dtype } from '../../src/tensor/dtype';
import { keepingAdapter } from './devices';

export interface Case {
  op: 'linear' | 'swiglu' | 'embed' | 'convIn' | 'experts';
  /** one per segment; of all experts those of W1, W3 and W2 */
  dtypes: Dtype[];
  /** one per segment; of experts the rows of W1 of each */
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

/** Of the experts of a token two are taken, by scores and a bias. */
async function compareExperts(
  gpu: OpenedDevice,
  { dtypes, rows, cols: D, T, limit, add: added }: Case,
): Promise<Result> {
  const next = mulberry32(D * 31 + T);
  const [E, I, top] = [rows.length, rows[0], 2];
  gpu.device.queue.writeBuffer(gpu.step.buffer, 0, new Uint32Array([5, T, 0, 0]));
  const floats = (length: number): Float32Array => Float32Array.from({ length }, next);
  const all = (name: string, dtype: Dtype, each: number, cols: number): Promise<Weights> =>
    weights(
      gpu,
      name,
      { op: 'linear', dtypes: rows.map(() => dtype), rows: rows.map(() => each), cols, T, limit },
      next,
    );
  const w1 = await all('w1', dtypes[0], I, D);
  const [w3, w2] = [await all('w3', dtypes[1], I, D), await all('w2', dtypes[2], D, I)];
  const [x, scores, bias, gains, add] = [floats(T * D), floats(T * E), floats(E), floats(D), floats(T * D)];
  const [eps, scale] = [1e-5, 1.5];
  const vector = async (name: string, values: Float32Array): Promise<GpuWeightVector> => ({
    name,
    length: values.length,
    region: await upload(gpu, values),
  });

  const act = (slot: number, cols: number): PlanActivation => ({ id: slot, name: '', rows: 'T', cols, slot });
  const [input, scored, chosen, hidden] = [act(0, D), act(1, E), act(2, 2 * top), act(3, top * I)];
  const [rest, out] = [act(4, D), act(added === 'in place' ? 4 : 5, D)];
  const empty = [2 * top * T, top * I * T, D * T].map((size) => new Float32Array(size));
  const values = [x, scores, empty[0], empty[1], add, empty[2]];
  const slots = await Promise.all(values.map((one) => upload(gpu, one)));
  const norm = { weight: await vector('norm', gains), eps };
  const select: NodeOf<'selectExperts'> = {
    ...{
      op: 'selectExperts',
      scores: scored,
      bias: await vector('bias', bias),
      top,
      normalise: true,
      scale,
      out: chosen,
    },
  };
  const both: NodeOf<'expertsSwiglu'> = {
    ...{ op: 'expertsSwiglu', w1: w1.packed, w3: w3.packed, x: input, chosen, norm, out: hidden },
  };
  const down: NodeOf<'expertsLinear'> = {
    ...{ op: 'expertsLinear', w: w2.packed, x: hidden, chosen, add: rest, out },
  };
  const bytes = expertBufferBytes({ nodes: [select, both, down], slots: [], outputs: [] } satisfies Plan, T)!;
  const buffers = {
    sorted: await upload(gpu, new Float32Array(bytes.sorted / 4)),
    results: await upload(gpu, new Float32Array(bytes.results / 4)),
  };
  const context = { gpu, state: { experts: buffers }, at: ({ slot }: PlanActivation) => slots[slot], T };
  const steps = [
    ...selectExpertsDispatches(select, context),
    ...expertsSwigluDispatches(both, context),
    ...expertsLinearDispatches(down, context),
  ];

  const results = Array.from({ length: T }, (_, t) => {
    const row = normedRow(x.subarray(t * D, (t + 1) * D), gains, eps);
    const p = Array.from(scores.subarray(t * E, (t + 1) * E), (score) => 1 / (1 + Math.exp(-score)));
    const taken = p.map((_, e) => e).sort((a, b) => p[b] + bias[b] - p[a] - bias[a]).slice(0, top); // prettier-ignore
    const sum = taken.reduce((total, e) => total + p[e], 1e-6);
    const all = taken.map((e) => {
      const parts = Array.from({ length: I }, (_, i) => gated(w1.values, w3.values, e * I + i, row));
      return { e, g: (p[e] / sum) * scale, h: parts.map(([value]) => value), sizes: parts.map(([, size]) => size) };
    });
    return Array.from({ length: D }, (_, n): [number, number] => {
      let [value, size] = [add[t * D + n], Math.abs(add[t * D + n])];
      for (const { e, g, h, sizes } of all)
        for (let i = 0; i < I; i++) {
          const w = g * w2.values[(e * D + n) * I + i];
          value += w * h[i];
          size += Math.abs(w) * sizes[i];
        }
      return [value, size];
    });
  });
  const parts = Math.min(...[w1, w3, w2].map(({ packed }) => packed.parts.length));
  return { ...(await run(gpu, steps, slots[out.slot], [T, D], (t, n) => results[t][n])), parts };
}

/** Row n of silu(W1 · row) ⊙ (W3 · row), and the size of its error. */
function gated(w1: Float32Array, w3: Float32Array, n: number, row: Float64Array): [number, number] {
  const [gate, gateSize] = dot(w1, n, row);
  const [up, upSize] = dot(w3, n, row);
  const silu = gate / (1 + Math.exp(-gate));
  return [silu * up, Math.abs(silu) * upSize + gateSize * Math.abs(up)];
}

function normedRow(x: Float32Array, gains: Float32Array | undefined, eps: number): Float64Array {
  const row = Float64Array.from(x);
  if (!gains) return row;
  const rms = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / row.length + eps);
  return row.map((v, k) => (v / rms) * gains[k]);
}

/** On the device that the page keeps, without the buffers of the cases before. */
export async function check(c: Case, { subgroups, integerHalfDecode }: FeatureOptions = {}): Promise<Result> {
  const gpu = await openDevice({ subgroups, adapter: await keepingAdapter(), allowSoftware: true });
  gpu.features.integerHalfDecode = integerHalfDecode;
  try {
    return await (c.op === 'experts' ? compareExperts : compare)(gpu, c);
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
    const rows = Array.from({ length: T }, (_, t) =>
      normedRow(x.subarray(t * cols, (t + 1) * cols), c.norm ? gains : undefined, eps),
    );
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
      wanted = (t, n) => gated(a.values, b.values, n, rows[t]);
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
  return { ...(await run(gpu, steps, y, [T, width], wanted)), parts: a.packed.parts.length };
}

/** Runs dispatches whose result in y [T, width] is known, up to its error. */
async function run(
  gpu: OpenedDevice,
  steps: Dispatch[],
  y: BufferRegion,
  [T, width]: readonly [number, number],
  wanted: (t: number, n: number) => [value: number, size: number],
): Promise<Omit<Result, 'parts'>> {
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
  return { worst, labels: steps.map(({ label }) => label) };
}

export interface LinearWindow {
  check: typeof check;
}

Object.assign(window, { check } satisfies LinearWindow);
