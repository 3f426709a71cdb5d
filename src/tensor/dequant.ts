/**
 * The block formats of GGUF files as plain loops: the oracle of every kernel (ggml-common.h of llama.cpp).
 * Each block is decoded in f64 and stored as f32.
 */
import { DTYPES, type Dtype } from './dtype';
import { bfloatToFloat, halfToFloat } from './half';
import { simpleRowBytes, simplify, TABLES } from './nibbles';

/** Writes the values of the block at `at` into y, from index `to` on. */
type Decode = (b: Uint8Array, at: number, y: Float32Array, to: number) => void;

const u16 = (b: Uint8Array, at: number): number => b[at] | (b[at + 1] << 8);
const u32 = (b: Uint8Array, at: number): number => (u16(b, at) | (u16(b, at + 2) << 16)) >>> 0;
const i8 = (b: Uint8Array, at: number): number => (b[at] << 24) >> 24;
const f16 = (b: Uint8Array, at: number): number => halfToFloat(u16(b, at));

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

const f32: Decode = (b, at, y, to) => {
  word[0] = u32(b, at);
  y[to] = float[0];
};

// 32 values: byte j holds value j in its low nibble and value j + 16 in its high nibble

const q4_0: Decode = (b, at, y, to) => {
  const d = f16(b, at);
  for (let j = 0; j < 16; j++) {
    const q = b[at + 2 + j];
    y[to + j] = d * ((q & 15) - 8);
    y[to + j + 16] = d * ((q >> 4) - 8);
  }
};

const q4_1: Decode = (b, at, y, to) => {
  const d = f16(b, at);
  const m = f16(b, at + 2);
  for (let j = 0; j < 16; j++) {
    const q = b[at + 4 + j];
    y[to + j] = d * (q & 15) + m;
    y[to + j + 16] = d * (q >> 4) + m;
  }
};

// the fifth bits are in a 32-bit word, bit j for value j

const q5_0: Decode = (b, at, y, to) => {
  const d = f16(b, at);
  const high = u32(b, at + 2);
  for (let j = 0; j < 16; j++) {
    const q = b[at + 6 + j];
    y[to + j] = d * (((q & 15) | (((high >>> j) & 1) << 4)) - 16);
    y[to + j + 16] = d * (((q >> 4) | (((high >>> (j + 16)) & 1) << 4)) - 16);
  }
};

const q5_1: Decode = (b, at, y, to) => {
  const d = f16(b, at);
  const m = f16(b, at + 2);
  const high = u32(b, at + 4);
  for (let j = 0; j < 16; j++) {
    const q = b[at + 8 + j];
    y[to + j] = d * ((q & 15) | (((high >>> j) & 1) << 4)) + m;
    y[to + j + 16] = d * ((q >> 4) | (((high >>> (j + 16)) & 1) << 4)) + m;
  }
};

const q8_0: Decode = (b, at, y, to) => {
  const d = f16(b, at);
  for (let j = 0; j < 32; j++) y[to + j] = d * i8(b, at + 2 + j);
};

// 256 values in sub-blocks. Q4_K and Q5_K: eight 6-bit (scale, min) pairs packed in 12 bytes

const scale = (b: Uint8Array, s: number, j: number): number =>
  j < 4 ? b[s + j] & 63 : (b[s + j + 4] & 15) | ((b[s + j - 4] >> 6) << 4);
const minimum = (b: Uint8Array, s: number, j: number): number =>
  j < 4 ? b[s + j + 4] & 63 : (b[s + j + 4] >> 4) | ((b[s + j] >> 6) << 4);

const q4_K: Decode = (b, at, y, to) => {
  const d = f16(b, at);
  const dmin = f16(b, at + 2);
  for (let j = 0; j < 8; j++) {
    // 32 bytes for two sub-blocks: low nibbles, then high nibbles
    const qs = at + 16 + 32 * (j >> 1);
    const shift = 4 * (j & 1);
    const s = d * scale(b, at + 4, j);
    const m = dmin * minimum(b, at + 4, j);
    for (let l = 0; l < 32; l++) y[to + 32 * j + l] = s * ((b[qs + l] >> shift) & 15) - m;
  }
};

const q5_K: Decode = (b, at, y, to) => {
  const d = f16(b, at);
  const dmin = f16(b, at + 2);
  for (let j = 0; j < 8; j++) {
    const qs = at + 48 + 32 * (j >> 1);
    const shift = 4 * (j & 1);
    const s = d * scale(b, at + 4, j);
    const m = dmin * minimum(b, at + 4, j);
    for (let l = 0; l < 32; l++) {
      const q = ((b[qs + l] >> shift) & 15) | (((b[at + 16 + l] >> j) & 1) << 4);
      y[to + 32 * j + l] = s * q - m;
    }
  }
};

const q6_K: Decode = (b, at, y, to) => {
  const d = f16(b, at + 208);
  for (let j = 0; j < 8; j++) {
    // groups of 32 values, four in each half of 128: nibbles from 64 bytes, two high bits from 32 bytes
    const half = j >> 2;
    const group = j & 3;
    const ql = at + 64 * half + 32 * (group & 1);
    const qh = at + 128 + 32 * half;
    for (let l = 0; l < 32; l++) {
      const low = (b[ql + l] >> (4 * (group >> 1))) & 15;
      const high = (b[qh + l] >> (2 * group)) & 3;
      const s = i8(b, at + 192 + 2 * j + (l >> 4));
      y[to + 32 * j + l] = d * s * ((low | (high << 4)) - 32);
    }
  }
};

// the layouts of nibbles.ts

const table =
  (values: readonly number[], parts: number): Decode =>
  (b, at, y, to) => {
    for (let part = 0; part < parts; part++, at += 20, to += 32) {
      word[0] = u32(b, at);
      const d = float[0];
      for (let j = 0; j < 16; j++) {
        const q = b[at + 4 + j];
        y[to + j] = d * values[q & 15];
        y[to + j + 16] = d * values[q >> 4];
      }
    }
  };

/** @param of the values of a nibble, given the byte of its 16 values, d and dmin */
const sixteens =
  (of: (d: number, dmin: number, byte: number, q: number) => number): Decode =>
  (b, at, y, to) => {
    const d = f16(b, at);
    const dmin = f16(b, at + 2);
    for (let i = 0; i < 256; i++) {
      const q = (b[at + 20 + 32 * (i >> 6) + (i & 31)] >> (4 * ((i >> 5) & 1))) & 15;
      y[to + i] = of(d, dmin, b[at + 4 + (i >> 4)], q);
    }
  };

const DECODE: Record<Dtype, Decode> = {
  F32: f32,
  F16: (b, at, y, to) => void (y[to] = f16(b, at)),
  BF16: (b, at, y, to) => void (y[to] = bfloatToFloat(u16(b, at))),
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q8_0: q8_0,
  Q4_K: q4_K,
  Q5_K: q5_K,
  Q6_K: q6_K,
  Q2_K: sixteens((d, dmin, byte, q) => d * (byte & 15) * q - dmin * (byte >> 4)),
  Q3_K: sixteens((d, _, byte, q) => d * ((byte << 24) >> 24) * (q - 8)),
  IQ4_NL: table(TABLES.IQ4_NL!, 1),
  IQ3_S: table(TABLES.IQ3_S!, 8),
  IQ4_XS: table(TABLES.IQ4_XS!, 8),
  MXFP4: table(TABLES.MXFP4!, 1),
};

/**
 * The first `count` values of `bytes`, in storage order.
 * @param out if given, written from index 0 on; at least `count` long
 * @throws RangeError if `count` is not a multiple of the block length, or if `bytes` or `out` is too short. Files are
 * checked before, so this is a bug
 */
export function dequantize(
  dtype: Dtype,
  bytes: Uint8Array,
  count: number,
  out: Float32Array = new Float32Array(count),
): Float32Array {
  const { blockLength, blockBytes } = DTYPES[dtype];
  const blocks = count / blockLength;
  if (!Number.isInteger(blocks))
    throw new RangeError(`${count} values are not whole blocks of ${blockLength} (${dtype})`);
  if (bytes.length < blocks * blockBytes) throw new RangeError(`${bytes.length} bytes for ${count} values of ${dtype}`);
  if (out.length < count) throw new RangeError(`out has ${out.length} elements for ${count} values`);
  const decode = DECODE[dtype];
  const simple = simplify(dtype, bytes.subarray(0, blocks * blockBytes));
  const size = simpleRowBytes(dtype, blockLength);
  for (let i = 0; i < blocks; i++) decode(simple, i * size, out, i * blockLength);
  return out;
}
