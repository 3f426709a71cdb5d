/**
 * How a stored chunk is known again: SHA-256, 32 bytes, which is what "verified" means; and a sum of 32 bytes that is quick enough to be
 * taken at every load. The sum finds every change that lies within one word of 8 bytes, for each step is a bijection, and any other change
 * but for one in 2^64; it is no defence against intent.
 */
import { compileModule, constant, constant64, forEachBlock, get, load64, OP, set, store64, type Run } from './assembler';
import { equal, sha256 } from './sha256';

const LANES = 4;
const PRIME = 0x9e3779b97f4a7c55n; // odd: multiplication by it is a bijection

/** For each lane: lane ← rotl(lane ⊕ word, 29) · PRIME */
function mix(): number[] {
  const lane = (i: number): number => 2 + i;
  const lanes = Array.from({ length: LANES }, (_, i) => i);
  const step = lanes.flatMap((i) => [...get(lane(i)), ...get(0), ...load64(8 * i), OP.xor64, ...constant64(29n), OP.rotl64, ...constant64(PRIME), OP.mul64, ...set(lane(i))]);
  return [
    ...lanes.flatMap((i) => [...constant(0), ...load64(8 * i), ...set(lane(i))]),
    ...forEachBlock(8 * LANES, step),
    ...lanes.flatMap((i) => [...constant(0), ...get(lane(i)), ...store64(8 * i)]),
  ];
}

let run: Run | undefined | null = null;

/** 32 bytes; undefined where a page may not compile WebAssembly */
export function quickSum(data: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  if (run === null) run = compileModule(mix(), [[LANES, 0x7e]], 8 * LANES);
  if (!run) return undefined;
  const state = new BigUint64Array(LANES).map((_, i) => PRIME * BigInt(i + 1) + BigInt(data.length));
  const sum = new Uint8Array(state.buffer);
  const whole = data.length - (data.length % sum.length);
  run(sum, data.subarray(0, whole));
  if (whole < data.length) {
    const tail = new Uint8Array(sum.length);
    tail.set(data.subarray(whole));
    run(sum, tail);
  }
  return sum;
}

/** SHA-256 and, where it can be had, the sum: 64 or 32 bytes */
export async function fingerprint(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const hash = await sha256(data);
  const sum = quickSum(data);
  return sum ? new Uint8Array([...hash, ...sum]) : hash;
}

export const sha256Part = (print: Uint8Array): Uint8Array => print.subarray(0, 32);

/** Are these the bytes? @param thorough by SHA-256 also if there is a sum */
export async function matches(data: Uint8Array<ArrayBuffer>, print: Uint8Array, thorough: boolean): Promise<boolean> {
  const sum = print.length < 64 ? undefined : quickSum(data);
  if (sum && !equal(sum, print.subarray(32))) return false;
  return (sum && !thorough) || equal(await sha256(data), sha256Part(print));
}
