/**
 * SHA-256 of blocks (FIPS 180-4, 6.2.2) in WebAssembly: 64 unrolled rounds with the state in locals. The message
 * schedule is computed in SIMD vectors, four words at a time and four rounds ahead. WebCrypto cannot hash a file in
 * pieces, and JavaScript has a third of the speed.
 */
import {
  compileBlockHashFunction,
  i32Const,
  loopOverBlocks,
  localGet,
  i32Load,
  v128Load,
  OPCODE,
  localSet,
  i32x4Shuffle,
  i8x16Shuffle,
  i32Store,
  v128Store,
  CONSTANTS_ADDRESS,
  localTee,
  SIMD_OPCODE,
  type BlockHashFunction,
} from './wasm_assembler';

const SCHEDULE_ADDRESS = CONSTANTS_ADDRESS + 4 * 64; // the next 16 words of the schedule, with their constants added
const [T, SUM, ROTATED] = [10, 17, 18]; // locals: state 2–9, i32 10–12, vectors 13–18
const ADDRESS_0 = /* @__PURE__ */ i32Const(0);

/** x rotated right by each of `turns`, all xored: the Σ of the standard */
const sigma = (x: number, turns: number[]): number[] =>
  turns.flatMap((n, i) => [...localGet(x), ...i32Const(n), OPCODE.rotr, ...(i > 0 ? [OPCODE.xor] : [])]);

/** Stores words 4i to 4i + 3 of the schedule (local x), with their constants added, for the rounds. */
const storeScheduleWords = (i: number, x: number): number[] => [
  ...ADDRESS_0,
  ...localGet(x),
  ...ADDRESS_0,
  ...v128Load(CONSTANTS_ADDRESS + 16 * i),
  ...SIMD_OPCODE.add,
  ...v128Store(SCHEDULE_ADDRESS + 16 * (i % 4)),
];

/**
 * σ1 of words `low` and `high` of x, added to SUM in lanes 0, 1 and again in 2, 3. A word next to itself is rotated by
 * a 64-bit shift.
 */
const addSigma1 = (x: number, low: number, high: number): number[] => [
  ...[...localGet(x), ...localGet(x), ...i32x4Shuffle(low, low, high, high), ...localSet(ROTATED)],
  ...[
    ...localGet(ROTATED),
    ...i32Const(17),
    ...SIMD_OPCODE.shr64,
    ...localGet(ROTATED),
    ...i32Const(19),
    ...SIMD_OPCODE.shr64,
    ...SIMD_OPCODE.xor,
  ],
  ...[...localGet(ROTATED), ...i32Const(10), ...SIMD_OPCODE.shr, ...SIMD_OPCODE.xor, ...localSet(ROTATED)],
  ...[...localGet(ROTATED), ...localGet(ROTATED), ...i32x4Shuffle(0, 2, 0, 2), ...localGet(SUM), ...SIMD_OPCODE.add],
];

/** Replaces w, four words of the schedule, by the four words 16 later; x, y, z are the twelve words between. */
const nextScheduleWords = ([w, x, y, z]: number[]): number[] => [
  ...[...localGet(w), ...localGet(x), ...i32x4Shuffle(1, 2, 3, 4), ...localSet(ROTATED)],
  ...[
    ...localGet(ROTATED),
    ...i32Const(7),
    ...SIMD_OPCODE.shr,
    ...localGet(ROTATED),
    ...i32Const(25),
    ...SIMD_OPCODE.shl,
    ...SIMD_OPCODE.xor,
  ], // σ0
  ...[
    ...localGet(ROTATED),
    ...i32Const(18),
    ...SIMD_OPCODE.shr,
    ...SIMD_OPCODE.xor,
    ...localGet(ROTATED),
    ...i32Const(14),
    ...SIMD_OPCODE.shl,
    ...SIMD_OPCODE.xor,
  ],
  ...[...localGet(ROTATED), ...i32Const(3), ...SIMD_OPCODE.shr, ...SIMD_OPCODE.xor],
  ...[
    ...localGet(w),
    ...SIMD_OPCODE.add,
    ...localGet(y),
    ...localGet(z),
    ...i32x4Shuffle(1, 2, 3, 4),
    ...SIMD_OPCODE.add,
    ...localSet(SUM),
  ],
  ...[...addSigma1(z, 2, 3), ...localSet(w)], // words 0 and 1 are complete; words 2 and 3 need them
  ...[...localGet(w), ...addSigma1(w, 0, 1), ...i32x4Shuffle(0, 1, 6, 7), ...localSet(w)],
];

function compress(): number[] {
  const w = [13, 14, 15, 16];
  let v = Array.from({ length: 8 }, (_, i) => 2 + i);
  let [pair, before] = [11, 12]; // a ⊕ b of this round, and of the last round, which is b ⊕ c now
  const code: number[] = [];
  for (let i = 0; i < 8; i++) code.push(...ADDRESS_0, ...i32Load(4 * i), ...localSet(v[i]));
  w.forEach((x, i) => {
    code.push(
      ...localGet(0),
      ...v128Load(16 * i),
      ...localTee(x),
      ...localGet(x),
      ...i8x16Shuffle([3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12]),
      ...localSet(x),
    ); // big-endian
    code.push(...storeScheduleWords(i, x));
  });
  code.push(...localGet(v[1]), ...localGet(v[2]), OPCODE.xor, ...localSet(before));
  for (let t = 0; t < 64; t++) {
    const [a, b, , d, e, f, g, h] = v;
    // terms that depend on the last round come last
    code.push(...localGet(h), ...ADDRESS_0, ...i32Load(SCHEDULE_ADDRESS + 4 * (t % 16)), OPCODE.add);
    code.push(
      ...localGet(f),
      ...localGet(g),
      OPCODE.xor,
      ...localGet(e),
      OPCODE.and,
      ...localGet(g),
      OPCODE.xor,
      OPCODE.add,
    ); // choose
    code.push(...sigma(e, [6, 11, 25]), OPCODE.add, ...localSet(T));
    if (t % 4 === 3 && t < 48) {
      const from = t >> 2;
      code.push(
        ...nextScheduleWords([0, 1, 2, 3].map((i) => w[(from + i) % 4])),
        ...storeScheduleWords(from + 4, w[from % 4]),
      );
    }
    code.push(...localGet(d), ...localGet(T), OPCODE.add, ...localSet(d));
    code.push(
      ...localGet(T),
      ...localGet(a),
      ...localGet(b),
      OPCODE.xor,
      ...localTee(pair),
      ...localGet(before),
      OPCODE.and,
      ...localGet(b),
      OPCODE.xor,
      OPCODE.add,
    ); // majority
    code.push(...sigma(a, [2, 13, 22]), OPCODE.add, ...localSet(h));
    [pair, before] = [before, pair];
    v = [h, ...v.slice(0, 7)];
  }
  for (let i = 0; i < 8; i++)
    code.push(
      ...ADDRESS_0,
      ...i32Load(4 * i),
      ...localGet(v[i]),
      OPCODE.add,
      ...localSet(v[i]),
      ...ADDRESS_0,
      ...localGet(v[i]),
      ...i32Store(4 * i),
    );
  return loopOverBlocks(64, code);
}

/** Blocks of 64 bytes into a state of 8 words. @param K [64] the constants of the standard */
export const compileSha256Blocks = (K: Int32Array): BlockHashFunction | undefined =>
  compileBlockHashFunction(
    compress(),
    [
      [11, 0x7f],
      [6, 0x7b],
    ],
    64,
    K,
  );
