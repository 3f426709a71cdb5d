/**
 * Unpacks the kernels: WASM modules and WGSL texts. They are stored as repeats of earlier bytes and single bytes
 * between them, as in deflate, but each bit is range coded: a logistic regression over what came before it predicts the
 * bit and learns from it. That takes a quarter less than deflate (PERF.md). wasm/kernels/pack.ts packs with the same
 * model.
 */

/** A single byte, or a repeat. */
export interface PackedToken {
  /** of a repeat, in bytes; 0: a single byte */
  length: number;
  /** how far back the last repeat began */
  distance: number;
  /** whether each of the last three was a repeat, this one in the lowest bit */
  history: number;
}

export const FIRST_TOKEN: PackedToken = { length: 0, distance: 1, history: 0 };

/** The kinds of decisions; the bits of one have names below 2048 from there. */
const [FLAG, AGAIN, LENGTH, DISTANCE, BYTE] = [0, 2048, 4096, 6144, 8192];
const SLOT_BITS = 16;

/** The probabilities of a 1, in 1/65536, for sums from -8 to 8, in 1/256. All browsers round these operations alike. */
const PROBABILITIES = Uint16Array.from({ length: 4096 }, (_, i) => {
  let e = 1 + (i - 2048) / 65536;
  for (let k = 0; k < 8; k++) e *= e;
  return (65536 * e) / (1 + e);
});

/**
 * Small integers throughout: an engine that has not yet optimized the code is slow with other numbers.
 * @param code codes a bit. `ones` is how probable a 1 is, in 1/4096. Returns the bit: for the packer that is `bit`, for
 * the unpacker the next one. So each function of the model returns what it is given, or what was packed.
 */
export function createModel(code: (ones: number, bit: number) => number) {
  const weights = new Int32Array(2 ** SLOT_BITS);
  const slots = new Int32Array(4);
  /** of the next bit: the first `count` of them. Arrays of their own would be garbage by the million */
  const contexts = new Int32Array(4);
  let count = 0;
  const model = { learns: true, flag, again, length, distance, byte, token };

  /** @param name tells the bits apart that have the same contexts */
  function bit(name: number, wanted: number): number {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const key = Math.imul(contexts[i] * 4 + i, 0x2c1b3c6d) ^ name;
      slots[i] = Math.imul(key ^ (key >>> 15), 0x297a2d39) >>> (32 - SLOT_BITS);
      sum += weights[slots[i]];
    }
    const p = PROBABILITIES[Math.max(1, Math.min(4095, (sum >> 8) + 2048))];
    const got = code((p >> 4) | 1, wanted);
    const change = model.learns ? ((got ? 65536 : 0) - p) >> 2 : 0;
    for (let i = 0; i < count; i++) weights[slots[i]] += change;
    return got;
  }

  /** A number from 1 to 2^20: how many bits follow its first, then these. Only the first four are predicted. */
  function number(name: number, wanted: number): number {
    let bits = 0;
    while (bit(name + bits, +(wanted >> bits > 1))) bits++;
    let value = 1;
    for (let i = bits - 1; i >= 0; i--) {
      const next = (wanted >> i) & 1;
      value = 2 * value + (value < 16 ? bit(name + 32 * (bits + 1) + value, next) : code(2048, next));
    }
    return value;
  }

  function use(a: number, b = 0, c = 0, d = 0): void {
    contexts[0] = a;
    contexts[1] = b;
    contexts[2] = c;
    contexts[3] = d;
  }

  /** nothing, the byte before, the two bytes before, and the one at the last distance */
  function useAround(out: Uint8Array, at: number, { distance }: PackedToken): void {
    const a = out[at - 1] | 0;
    use(0, a, (out[at - 2] | 0) * 256 + a, out[at - distance] | 0);
    count = 4;
  }

  /** whether a repeat follows */
  function flag(out: Uint8Array, at: number, last: PackedToken, wanted: number): number {
    useAround(out, at, last);
    return bit(FLAG + last.history, wanted);
  }

  /** whether it has the last distance again */
  function again(out: Uint8Array, at: number, { history }: PackedToken, wanted: number): number {
    if (history & 1) return 0;
    use(0, out[at - 1] | 0);
    count = 2;
    return bit(AGAIN + history, wanted);
  }

  function length(again: number, wanted: number): number {
    use(again);
    count = 1;
    return number(LENGTH, wanted - 1 + again) + 1 - again;
  }

  function distance(length: number, wanted: number): number {
    use(0, Math.min(length, 9));
    count = 2;
    return number(DISTANCE, wanted);
  }

  function byte(out: Uint8Array, at: number, last: PackedToken, wanted: number): number {
    useAround(out, at, last);
    const like = contexts[3] + 256;
    let value = 1;
    for (let i = 7; i >= 0; i--) {
      if (value !== like >> (i + 1)) contexts[3] = -1; // it is another one
      value = 2 * value + bit(BYTE + value, (wanted >> i) & 1);
    }
    return value - 256;
  }

  /** Writes a single byte; a repeat is left to the caller. */
  function token(out: Uint8Array, at: number, last: PackedToken, wanted: PackedToken): PackedToken {
    const history = (last.history * 2) & 7;
    if (!flag(out, at, last, +(wanted.length > 0))) {
      out[at] = byte(out, at, last, out[at]);
      return { length: 0, distance: last.distance, history };
    }
    const same = again(out, at, last, +(wanted.distance === last.distance));
    const bytes = length(same, wanted.length);
    const back = same ? last.distance : distance(bytes, wanted.distance);
    return { length: bytes, distance: back, history: history + 1 };
  }
  return model;
}

export const fromBase64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

/** @returns a function that returns a part of the `bytes` bytes; it unpacks these no further than needed */
export function createUnpacker(
  packed: Uint8Array,
  bytes: number,
): (begin: number, end: number) => Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes);
  let [at, read, range, value] = [0, 0, 1, 0];
  const fill = (): void => {
    for (; range < 2 ** 22; range <<= 8) value = (value << 8) | packed[read++];
  };
  const { token } = createModel((ones) => {
    const bound = (range >> 12) * ones;
    const bit = +(value < bound);
    if (!bit) value -= bound;
    range = bit ? bound : range - bound;
    fill();
    return bit;
  });
  fill();
  let last = FIRST_TOKEN;
  return (begin, end) => {
    while (at < end) {
      last = token(out, at, last, FIRST_TOKEN);
      for (const next = at + (last.length || 1); at < next; at++) if (last.length) out[at] = out[at - last.distance];
    }
    return out.slice(begin, end);
  };
}
