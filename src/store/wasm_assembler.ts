/** Assembles a WebAssembly module of one function from its instructions. Bytes go in through its memory. */
const STATE_ADDRESS = 0; // byte addresses in the module's memory
export const CONSTANTS_ADDRESS = 64;
const BLOCKS_ADDRESS = 1024;
const PAGES = 5;
const BLOCKS_BYTES = PAGES * 65536 - BLOCKS_ADDRESS;

/** Instructions without operands (WebAssembly core specification, 5.4) */
export const OPCODE = {
  ...{ end: 0x0b, ne: 0x47, add: 0x6a, and: 0x71, or: 0x72, xor: 0x73, shr: 0x76, rotl: 0x77, rotr: 0x78 },
  ...{ i64Mul: 0x7e, i64Xor: 0x85, i64Rotl: 0x89 },
};
export const localGet = (local: number): number[] => [0x20, local];
export const localSet = (local: number): number[] => [0x21, local];
export const localTee = (local: number): number[] => [0x22, local];
export const i32Load = (address: number): number[] => [0x28, 2, ...unsigned(address)];
export const i32Store = (address: number): number[] => [0x36, 2, ...unsigned(address)];
export const i64Load = (address: number): number[] => [0x29, 3, ...unsigned(address)];
export const i64Store = (address: number): number[] => [0x37, 3, ...unsigned(address)];
export const i32Const = (value: number): number[] => [0x41, ...signed(BigInt(value | 0))];
export const i64Const = (value: bigint): number[] => [0x42, ...signed(BigInt.asIntN(64, value))];

/**
 * SIMD instructions (5.4.8). A shuffle takes each word from the eight words of two vectors, or each byte from their 32.
 */
const simdOpcode = (code: number): number[] => [0xfd, ...unsigned(code)];
export const SIMD_OPCODE = {
  xor: /* @__PURE__ */ simdOpcode(81),
  add: /* @__PURE__ */ simdOpcode(174),
  shl: /* @__PURE__ */ simdOpcode(171),
  shr: /* @__PURE__ */ simdOpcode(173),
  shr64: /* @__PURE__ */ simdOpcode(205),
};
export const v128Load = (address: number): number[] => [...simdOpcode(0), 4, ...unsigned(address)];
export const v128Store = (address: number): number[] => [...simdOpcode(11), 4, ...unsigned(address)];
export const i8x16Shuffle = (bytes: number[]): number[] => [...simdOpcode(13), ...bytes];
export const i32x4Shuffle = (...words: number[]): number[] =>
  i8x16Shuffle(words.flatMap((word) => [0, 1, 2, 3].map((byte) => 4 * word + byte)));

/** Repeats `body` for every `step` bytes. Locals 0 and 1 are where the remaining bytes begin and end. */
export const loopOverBlocks = (step: number, body: number[]): number[] => [
  ...[0x03, 0x40, ...body, ...localGet(0), ...i32Const(step), OPCODE.add, ...localSet(0)],
  ...[...localGet(0), ...localGet(1), OPCODE.ne, 0x0d, 0, OPCODE.end],
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

/** Updates a state of up to 64 bytes, in place, with whole blocks. */
export type BlockHashFunction = (state: Uint8Array, blocks: Uint8Array) => void;

/**
 * @param code finds the state at address 0 of the memory and the bytes between locals 0 and 1
 * @param locals further locals: [count, 0x7f for i32, 0x7e for i64 or 0x7b for a vector]
 * @param block bytes of a block
 * @param table constants at CONSTANTS_ADDRESS; the memory from their end to address 1024 is free for the code
 * @returns undefined if the page may not compile WebAssembly, or the browser has no SIMD
 */
export function compileBlockHashFunction(
  code: number[],
  locals: [number, 0x7f | 0x7e | 0x7b][],
  block: number,
  table: Int32Array = new Int32Array(0),
): BlockHashFunction | undefined {
  const body = [locals.length, ...locals.flat(), ...code, OPCODE.end];
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
    const { memory, run } = instance.exports as unknown as {
      memory: WebAssembly.Memory;
      run: (from: number, to: number) => void;
    };
    const words = new Uint8Array(memory.buffer, STATE_ADDRESS, CONSTANTS_ADDRESS);
    new Int32Array(memory.buffer, CONSTANTS_ADDRESS).set(table);
    const data = new Uint8Array(memory.buffer, BLOCKS_ADDRESS, BLOCKS_BYTES - (BLOCKS_BYTES % block));
    return (state, blocks) => {
      words.set(state);
      for (let at = 0; at < blocks.length; at += data.length) {
        const part = blocks.subarray(at, at + data.length);
        data.set(part);
        run(BLOCKS_ADDRESS, BLOCKS_ADDRESS + part.length);
      }
      state.set(words.subarray(0, state.length));
    };
  } catch {
    return undefined;
  }
}
