/**
 * The rounds of SHA-256 (FIPS 180-4, 6.2.2) as a WebAssembly module, written out here instruction by instruction: 64 rounds in a row, all
 * 24 words in locals, constants in the code. WebCrypto cannot hash a file piece by piece, and JavaScript does so at half the speed.
 */
const STATE = 0; // byte addresses in the module's memory
const DATA = 64;
const PAGES = 5;
const ROOM = PAGES * 65536 - DATA;

const OP = { end: 0x0b, loop: 0x03, brIf: 0x0d, add: 0x6a, and: 0x71, or: 0x72, xor: 0x73, shr: 0x76, rotl: 0x77, rotr: 0x78, ne: 0x47 };
const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const load = (address: number): number[] => [0x28, 2, ...unsigned(address)];
const store = (address: number): number[] => [0x36, 2, ...unsigned(address)];

function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

function constant(value: number): number[] {
  const bytes = [0x41];
  for (let rest = value | 0; ; rest >>= 7) {
    if (rest >= -64 && rest < 64) return [...bytes, rest & 127];
    bytes.push((rest & 127) | 128);
  }
}

/** x rotated right by each of `turns`, and shifted right by `shift`, all xored: the Σ and σ of the standard */
const sigma = (x: number, turns: number[], shift?: number): number[] => [
  ...turns.flatMap((n, i) => [...get(x), ...constant(n), OP.rotr, ...(i > 0 ? [OP.xor] : [])]),
  ...(shift ? [...get(x), ...constant(shift), OP.shr, OP.xor] : []),
];

/** compress(from, to): the blocks of 64 bytes at [from, to) into the state */
function body(K: Int32Array): number[] {
  const [FROM, TO] = [0, 1];
  const T = 26;
  const w = Array.from({ length: 16 }, (_, i) => 10 + i);
  let v = Array.from({ length: 8 }, (_, i) => 2 + i);
  const code: number[] = [];
  for (let i = 0; i < 8; i++) code.push(...constant(STATE), ...load(4 * i), ...set(v[i]));
  code.push(OP.loop, 0x40);
  for (let i = 0; i < 16; i++) {
    code.push(...get(FROM), ...load(4 * i), ...set(T)); // big-endian words
    code.push(...get(T), ...constant(8), OP.rotl, ...constant(0x00ff00ff), OP.and, ...get(T), ...constant(8), OP.rotr, ...constant(0xff00ff00), OP.and, OP.or, ...set(w[i]));
  }
  for (let t = 0; t < 64; t++) {
    const [a, b, c, d, e, f, g, h] = v;
    const now = w[t % 16];
    if (t >= 16) {
      code.push(...get(now), ...sigma(w[(t + 1) % 16], [7, 18], 3), OP.add, ...get(w[(t + 9) % 16]), OP.add);
      code.push(...sigma(w[(t + 14) % 16], [17, 19], 10), OP.add, ...set(now));
    }
    code.push(...get(h), ...sigma(e, [6, 11, 25]), OP.add, ...constant(K[t]), OP.add, ...get(now), OP.add);
    code.push(...get(f), ...get(g), OP.xor, ...get(e), OP.and, ...get(g), OP.xor, OP.add, ...set(T)); // choose
    code.push(...get(d), ...get(T), OP.add, ...set(d));
    code.push(...get(a), ...get(b), OP.and, ...get(a), ...get(b), OP.or, ...get(c), OP.and, OP.or, ...sigma(a, [2, 13, 22]), OP.add, ...get(T), OP.add, ...set(h)); // majority
    v = [h, a, b, c, d, e, f, g];
  }
  for (let i = 0; i < 8; i++) code.push(...constant(STATE), ...load(4 * i), ...get(v[i]), OP.add, ...set(v[i]), ...constant(STATE), ...get(v[i]), ...store(4 * i));
  code.push(...get(FROM), ...constant(64), OP.add, ...set(FROM), ...get(FROM), ...get(TO), OP.ne, OP.brIf, 0, OP.end, OP.end);
  return [1, 25, 0x7f, ...code]; // 25 locals of type i32
}

const section = (id: number, content: number[]): number[] => [id, ...unsigned(content.length), ...content];
const name = (text: string): number[] => [text.length, ...new TextEncoder().encode(text)];

function assemble(K: Int32Array): Uint8Array<ArrayBuffer> {
  const code = body(K);
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 2, 0x7f, 0x7f, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, PAGES]),
    ...section(7, [2, ...name('memory'), 2, 0, ...name('compress'), 0, 0]),
    ...section(10, [1, ...unsigned(code.length), ...code]),
  ]);
}

/** Runs blocks of 64 bytes through the state, in place. */
export type Compress = (state: Int32Array, blocks: Uint8Array) => void;

/** Undefined where a page may not compile WebAssembly. @param K [64] the constants of the standard */
export function compileRounds(K: Int32Array): Compress | undefined {
  try {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(assemble(K)));
    const { memory, compress } = instance.exports as unknown as { memory: WebAssembly.Memory; compress: (from: number, to: number) => void };
    const words = new Int32Array(memory.buffer, STATE, 8);
    const data = new Uint8Array(memory.buffer, DATA, ROOM - (ROOM % 64));
    return (state, blocks) => {
      words.set(state);
      for (let at = 0; at < blocks.length; at += data.length) {
        const part = blocks.subarray(at, at + data.length);
        data.set(part);
        compress(DATA, DATA + part.length);
      }
      state.set(words);
    };
  } catch {
    return undefined;
  }
}
