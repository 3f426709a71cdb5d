/**
 * The checksum of a stored chunk: its SHA-256 (32 bytes) and a quick checksum (32 bytes) that every load can afford.
 * The quick one finds every change within one 8-byte word, because each step is a bijection, and misses one in 2^64 of
 * other changes. It does not stop an attacker.
 */
import {
  compileBlockHashFunction,
  i32Const,
  i64Const,
  loopOverBlocks,
  localGet,
  i64Load,
  OPCODE,
  localSet,
  i64Store,
  type BlockHashFunction,
} from './wasm_assembler';
import { equalBytes, sha256 } from './sha256';

const LANES = 4;
const PRIME = 0x9e3779b97f4a7c55n; // odd: multiplication by it is a bijection

/** For each lane: lane ← rotl(lane ⊕ word, 29) · PRIME */
function mixFunction(): number[] {
  const lane = (i: number): number => 2 + i;
  const lanes = Array.from({ length: LANES }, (_, i) => i);
  const step = lanes.flatMap((i) => [
    ...localGet(lane(i)),
    ...localGet(0),
    ...i64Load(8 * i),
    OPCODE.i64Xor,
    ...i64Const(29n),
    OPCODE.i64Rotl,
    ...i64Const(PRIME),
    OPCODE.i64Mul,
    ...localSet(lane(i)),
  ]);
  return [
    ...lanes.flatMap((i) => [...i32Const(0), ...i64Load(8 * i), ...localSet(lane(i))]),
    ...loopOverBlocks(8 * LANES, step),
    ...lanes.flatMap((i) => [...i32Const(0), ...localGet(lane(i)), ...i64Store(8 * i)]),
  ];
}

let mixBlocks: BlockHashFunction | undefined | null = null;

/** 32 bytes; undefined if the page may not compile WebAssembly */
export function quickChecksum(data: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  if (mixBlocks === null) mixBlocks = compileBlockHashFunction(mixFunction(), [[LANES, 0x7e]], 8 * LANES);
  if (!mixBlocks) return undefined;
  const state = new BigUint64Array(LANES).map((_, i) => PRIME * BigInt(i + 1) + BigInt(data.length));
  const sum = new Uint8Array(state.buffer);
  const whole = data.length - (data.length % sum.length);
  mixBlocks(sum, data.subarray(0, whole));
  if (whole < data.length) {
    const tail = new Uint8Array(sum.length);
    tail.set(data.subarray(whole));
    mixBlocks(sum, tail);
  }
  return sum;
}

/** SHA-256 and, if available, the quick checksum: 64 or 32 bytes */
export async function sha256WithQuickChecksum(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const hash = await sha256(data);
  const sum = quickChecksum(data);
  return sum ? new Uint8Array([...hash, ...sum]) : hash;
}

export const sha256PartOfChecksum = (checksum: Uint8Array): Uint8Array => checksum.subarray(0, 32);

/** @param thorough compares SHA-256 even if there is a quick checksum */
export async function matchesChecksum(
  data: Uint8Array<ArrayBuffer>,
  checksum: Uint8Array,
  thorough: boolean,
): Promise<boolean> {
  const sum = checksum.length < 64 ? undefined : quickChecksum(data);
  if (sum && !equalBytes(sum, checksum.subarray(32))) return false;
  return (sum && !thorough) || equalBytes(await sha256(data), sha256PartOfChecksum(checksum));
}
