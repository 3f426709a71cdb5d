/**
 * The rounds of SHA-256 (FIPS 180-4, 6.2.2) in WebAssembly: 64 in a row, all 24 words in locals, constants in the code. WebCrypto cannot hash
 * a file piece by piece, and JavaScript does so at half the speed.
 */
import { compileModule, constant, forEachBlock, get, load, OP, set, store, type Run } from './assembler';

/** x rotated right by each of `turns`, and shifted right by `shift`, all xored: the Σ and σ of the standard */
const sigma = (x: number, turns: number[], shift?: number): number[] => [
  ...turns.flatMap((n, i) => [...get(x), ...constant(n), OP.rotr, ...(i > 0 ? [OP.xor] : [])]),
  ...(shift ? [...get(x), ...constant(shift), OP.shr, OP.xor] : []),
];

function compress(K: Int32Array): number[] {
  const T = 26;
  const w = Array.from({ length: 16 }, (_, i) => 10 + i);
  let v = Array.from({ length: 8 }, (_, i) => 2 + i);
  const STATE = constant(0);
  const code: number[] = [];
  for (let i = 0; i < 8; i++) code.push(...STATE, ...load(4 * i), ...set(v[i]));
  for (let i = 0; i < 16; i++) {
    code.push(...get(0), ...load(4 * i), ...set(T)); // big-endian words
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
  for (let i = 0; i < 8; i++) code.push(...STATE, ...load(4 * i), ...get(v[i]), OP.add, ...set(v[i]), ...STATE, ...get(v[i]), ...store(4 * i));
  return forEachBlock(64, code);
}

/** Blocks of 64 bytes into a state of 8 words. @param K [64] the constants of the standard */
export const compileRounds = (K: Int32Array): Run | undefined => compileModule(compress(K), [25, 0x7f], 64);
