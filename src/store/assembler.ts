/** A WebAssembly module of one function, written out instruction by instruction; bytes go in through its memory. */
const STATE = 0; // byte addresses in the module's memory
export const TABLE = 64;
const DATA = 1024;
const PAGES = 5;
const ROOM = PAGES * 65536 - DATA;

/** Instructions without operands (WebAssembly core specification, 5.4) */
export const OP = {
  ...{ end: 0x0b, ne: 0x47, add: 0x6a, and: 0x71, or: 0x72, xor: 0x73, shr: 0x76, rotl: 0x77, rotr: 0x78 },
  ...{ mul64: 0x7e, xor64: 0x85, rotl64: 0x89 },
};
export const get = (local: number): number[] => [0x20, local];
export const set = (local: number): number[] => [0x21, local];
export const tee = (local: number): number[] => [0x22, local];
export const load = (address: number): number[] => [0x28, 2, ...unsigned(address)];
export const store = (address: number): number[] => [0x36, 2, ...unsigned(address)];
export const load64 = (address: number): number[] => [0x29, 3, ...unsigned(address)];
export const store64 = (address: number): number[] => [0x37, 3, ...unsigned(address)];
export const constant = (value: number): number[] => [0x41, ...signed(BigInt(value | 0))];
export const constant64 = (value: bigint): number[] => [0x42, ...signed(BigInt.asIntN(64, value))];

/** Instructions on four words at once (5.4.8), where a lane's word is taken from one of the eight words of two vectors, or a byte from their 32 */
const vector = (code: number): number[] => [0xfd, ...unsigned(code)];
export const VECTOR = { xor: vector(81), add: vector(174), shl: vector(171), shr: vector(173), shr64: vector(205) };
export const loadVector = (address: number): number[] => [...vector(0), 4, ...unsigned(address)];
export const storeVector = (address: number): number[] => [...vector(11), 4, ...unsigned(address)];
export const shuffleBytes = (bytes: number[]): number[] => [...vector(13), ...bytes];
export const shuffle = (...words: number[]): number[] => shuffleBytes(words.flatMap((word) => [0, 1, 2, 3].map((byte) => 4 * word + byte)));

/** Locals 0 and 1: the bytes still to be read begin and end here. Repeats `body` for every `step` bytes. */
export const forEachBlock = (step: number, body: number[]): number[] => [
  ...[0x03, 0x40, ...body, ...get(0), ...constant(step), OP.add, ...set(0)],
  ...[...get(0), ...get(1), OP.ne, 0x0d, 0, OP.end],
];

function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

function signed(value: bigint): number[] {
  const low = Number(value & 127n);
  return value >= -64n && value < 64n ? [low] : [low | 128, ...signed(value >> 7n)];
}

const section = (id: number, content: number[]): number[] => [id, ...unsigned(content.length), ...content];
const name = (text: string): number[] => [text.length, ...new TextEncoder().encode(text)];

/** Runs whole blocks through a state of up to 64 bytes, in place. */
export type Run = (state: Uint8Array, blocks: Uint8Array) => void;

/**
 * @param code the state is at address 0 of the memory, the bytes between locals 0 and 1
 * @param locals further ones: [count, 0x7f for i32, 0x7e for i64 or 0x7b for a vector]
 * @param block bytes
 * @param table constants at address TABLE; from their end to address 1024 the code has room of its own
 * @returns undefined where a page may not compile WebAssembly, or the browser does not know vectors
 */
export function compileModule(code: number[], locals: [number, 0x7f | 0x7e | 0x7b][], block: number, table: Int32Array = new Int32Array(0)): Run | undefined {
  const body = [locals.length, ...locals.flat(), ...code, OP.end];
  const bytes = [
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 2, 0x7f, 0x7f, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, PAGES]),
    ...section(7, [2, ...name('memory'), 2, 0, ...name('run'), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ];
  try {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(bytes)));
    const { memory, run } = instance.exports as unknown as { memory: WebAssembly.Memory; run: (from: number, to: number) => void };
    const words = new Uint8Array(memory.buffer, STATE, TABLE);
    new Int32Array(memory.buffer, TABLE).set(table);
    const data = new Uint8Array(memory.buffer, DATA, ROOM - (ROOM % block));
    return (state, blocks) => {
      words.set(state);
      for (let at = 0; at < blocks.length; at += data.length) {
        const part = blocks.subarray(at, at + data.length);
        data.set(part);
        run(DATA, DATA + part.length);
      }
      state.set(words.subarray(0, state.length));
    };
  } catch {
    return undefined;
  }
}
