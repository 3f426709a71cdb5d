/**
 * The rounds of SHA-256 (FIPS 180-4, 6.2.2) in WebAssembly: 64 in a row, the state in locals, the message schedule four words at a time in
 * vectors, four rounds ahead. WebCrypto cannot hash a file piece by piece, and JavaScript does so at a third of the speed.
 */
import { compileModule, constant, forEachBlock, get, load, loadVector, OP, set, shuffle, shuffleBytes, store, storeVector, TABLE, tee, VECTOR, type Run } from './assembler';

const READY = TABLE + 4 * 64; // address of the next 16 words of the schedule with their constants added
const [T, SUM, TURNED] = [10, 17, 18]; // locals: state 2–9, i32 10–12, vectors 13–18
const AT0 = constant(0);

/** x rotated right by each of `turns`, all xored: the Σ of the standard */
const sigma = (x: number, turns: number[]): number[] => turns.flatMap((n, i) => [...get(x), ...constant(n), OP.rotr, ...(i > 0 ? [OP.xor] : [])]);

/** Words 4i to 4i + 3 of the schedule, which are in local x, with their constants, to where the rounds take them from. */
const ready = (i: number, x: number): number[] => [...AT0, ...get(x), ...AT0, ...loadVector(TABLE + 16 * i), ...VECTOR.add, ...storeVector(READY + 16 * (i % 4))];

/** σ1 of words `low` and `high` of x, added to SUM in lanes 0 and 1 and again in 2 and 3: a word beside itself turns by a shift of 64 bits */
const addSigma1 = (x: number, low: number, high: number): number[] => [
  ...[...get(x), ...get(x), ...shuffle(low, low, high, high), ...set(TURNED)],
  ...[...get(TURNED), ...constant(17), ...VECTOR.shr64, ...get(TURNED), ...constant(19), ...VECTOR.shr64, ...VECTOR.xor],
  ...[...get(TURNED), ...constant(10), ...VECTOR.shr, ...VECTOR.xor, ...set(TURNED)],
  ...[...get(TURNED), ...get(TURNED), ...shuffle(0, 2, 0, 2), ...get(SUM), ...VECTOR.add],
];

/** Replaces w, four words of the schedule, by those 16 further on; x, y, z are the twelve between. */
const further = ([w, x, y, z]: number[]): number[] => [
  ...[...get(w), ...get(x), ...shuffle(1, 2, 3, 4), ...set(TURNED)],
  ...[...get(TURNED), ...constant(7), ...VECTOR.shr, ...get(TURNED), ...constant(25), ...VECTOR.shl, ...VECTOR.xor], // σ0
  ...[...get(TURNED), ...constant(18), ...VECTOR.shr, ...VECTOR.xor, ...get(TURNED), ...constant(14), ...VECTOR.shl, ...VECTOR.xor],
  ...[...get(TURNED), ...constant(3), ...VECTOR.shr, ...VECTOR.xor],
  ...[...get(w), ...VECTOR.add, ...get(y), ...get(z), ...shuffle(1, 2, 3, 4), ...VECTOR.add, ...set(SUM)],
  ...[...addSigma1(z, 2, 3), ...set(w)], // words 0 and 1 are right, and words 2 and 3 need them
  ...[...get(w), ...addSigma1(w, 0, 1), ...shuffle(0, 1, 6, 7), ...set(w)],
];

function compress(): number[] {
  const w = [13, 14, 15, 16];
  let v = Array.from({ length: 8 }, (_, i) => 2 + i);
  let [pair, before] = [11, 12]; // a ⊕ b of this round and of the last, which is b ⊕ c of this one
  const code: number[] = [];
  for (let i = 0; i < 8; i++) code.push(...AT0, ...load(4 * i), ...set(v[i]));
  w.forEach((x, i) => {
    code.push(...get(0), ...loadVector(16 * i), ...tee(x), ...get(x), ...shuffleBytes([3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12]), ...set(x)); // big-endian
    code.push(...ready(i, x));
  });
  code.push(...get(v[1]), ...get(v[2]), OP.xor, ...set(before));
  for (let t = 0; t < 64; t++) {
    const [a, b, , d, e, f, g, h] = v;
    code.push(...get(h), ...AT0, ...load(READY + 4 * (t % 16)), OP.add); // what waits for the last round comes last
    code.push(...get(f), ...get(g), OP.xor, ...get(e), OP.and, ...get(g), OP.xor, OP.add); // choose
    code.push(...sigma(e, [6, 11, 25]), OP.add, ...set(T));
    if (t % 4 === 3 && t < 48) {
      const from = t >> 2;
      code.push(...further([0, 1, 2, 3].map((i) => w[(from + i) % 4])), ...ready(from + 4, w[from % 4]));
    }
    code.push(...get(d), ...get(T), OP.add, ...set(d));
    code.push(...get(T), ...get(a), ...get(b), OP.xor, ...tee(pair), ...get(before), OP.and, ...get(b), OP.xor, OP.add); // majority
    code.push(...sigma(a, [2, 13, 22]), OP.add, ...set(h));
    [pair, before] = [before, pair];
    v = [h, ...v.slice(0, 7)];
  }
  for (let i = 0; i < 8; i++) code.push(...AT0, ...load(4 * i), ...get(v[i]), OP.add, ...set(v[i]), ...AT0, ...get(v[i]), ...store(4 * i));
  return forEachBlock(64, code);
}

/** Blocks of 64 bytes into a state of 8 words. @param K [64] the constants of the standard */
export const compileRounds = (K: Int32Array): Run | undefined =>
  compileModule(
    compress(),
    [
      [11, 0x7f],
      [6, 0x7b],
    ],
    64,
    K,
  );
