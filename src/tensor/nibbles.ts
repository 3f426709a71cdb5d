/**
 * Blocks of six formats, rewritten into two simpler layouts that all kernels read. Nothing is rounded.
 *
 *   table     32 values, 20 bytes: scale f32, 16 bytes of nibbles as in Q4_0. A value is scale · TABLES[dtype][nibble]
 *   sixteens  256 values, 148 bytes: d f16, dmin f16, a byte b for 16 values each, 128 bytes of nibbles as in Q4_K.
 *             A value is d · (b & 15) · nibble − dmin · (b >> 4) in Q2_K, d · b · (nibble − 8) with a signed b in Q3_K
 */
import { DTYPES, type Dtype } from './dtype.ts';
import { halfToFloat } from './half.ts';

const IQ4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** The values of the 16 nibbles in formats of the layout `table`. */
export const TABLES: Partial<Record<Dtype, readonly number[]>> = {
  IQ4_NL: IQ4,
  IQ4_XS: IQ4,
  IQ3_S: IQ4.map((_, i) => 2 * i - 15),
  MXFP4: [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12],
};

const TABLE_BYTES = 20;
const SIXTEENS_BYTES = 148;

/** Writes the block at `at` of `from` in its simpler layout to `to`, from `out` on. */
type Rewrite = (from: DataView, at: number, to: DataView, out: number) => void;

const half = (from: DataView, at: number): number => halfToFloat(from.getUint16(at, true));

function writeTable(from: DataView, codes: number, to: DataView, out: number, scale: number): void {
  to.setFloat32(out, scale, true);
  for (let i = 0; i < 16; i += 4) to.setUint32(out + 4 + i, from.getUint32(codes + i, true), true);
}

/** 8 six-bit scales less 32: four bits of each from four bytes, two from a 16-bit number */
const iq4_xs: Rewrite = (from, at, to, out) => {
  for (let j = 0; j < 8; j++) {
    const low = (from.getUint8(at + 4 + (j >> 1)) >> (4 * (j & 1))) & 15;
    const high = (from.getUint16(at + 2, true) >> (2 * j)) & 3;
    writeTable(from, at + 8 + 16 * j, to, out + TABLE_BYTES * j, half(from, at) * (low + 16 * high - 32));
  }
};

/**
 * The 512 points of the grid in rising order, as differences: four magnitudes of 3 bits, the first in the lowest. A
 * magnitude m is 2m + 1.
 */
const IQ3_GRID =
  '???A@???@@@?BDC@A@@@C@EAA???@B?BAAB@BEKBCD?B@?AAABABDA@@@KAFDBA@E@ADB@K@BAIB@ADDADMH@J@BCDB@MCIA@LOME@@J@BCKBR??@B?@@@?@EA@L@AGD' +
  '?@A@BCEADE@LD@HA@?BDDAHAHEAA?ADD?BCODI@C@K@EB@BSEADE@MeBAK@Y@C@EJBODF?@@@?@@@A@B?@E@@A@K?A@A@DABAABADEVAAH@CE@HBHAB@ABG@C@EDLIDG' +
  'AEABWAECGK?IKF@CHZBRBK@ICXE@@@AE@@C@A@HDF@@EC@KNHB@HDH@JWEBC@B?G@BDLFDCBEODBKE@ICHHKQQ^@K@IaBDDBAAEENHC@@EDCDDBR@CCBHCMADJC@C@EB' +
  'a@PI?WJ@H_WORVCIIDWDBDLBAAJDC@@CEG^DGHCDKUC?MKCJDDAJHJbJQ@u^@Lu@@J@SNNE[TPDICDFJCMsLMLAWRSYg@sBAG@J@JDNEIM@ZABDAEOWVALTBDCVhN^Ue';
let grid: Uint32Array | undefined;

/** The points as words, one magnitude in each byte. */
function iq3Grid(): Uint32Array {
  let point = -1;
  return (grid ??= Uint32Array.from(IQ3_GRID, (c) => {
    point += c.charCodeAt(0) - 62;
    return (point & 7) | ((point & 56) << 5) | ((point & 448) << 10) | ((point & 3584) << 15);
  }));
}

/**
 * An index of the grid for 4 values, its ninth bit apart; a bit for the sign of each value; 4-bit scales s that stand
 * for 2s + 1
 */
const iq3_s: Rewrite = (from, at, to, out) => {
  const points = iq3Grid();
  for (let j = 0; j < 8; j++, out += TABLE_BYTES) {
    const scale = (from.getUint8(at + 106 + (j >> 1)) >> (4 * (j & 1))) & 15;
    to.setFloat32(out, half(from, at) * (2 * scale + 1), true);
    const ninth = from.getUint8(at + 66 + j);
    const signs = from.getUint32(at + 74 + 4 * j, true);
    const codes = (i: number): number => {
      const negative = (((signs >>> (4 * i)) & 15) * 0x204081) & 0x1010101; // one bit in each byte
      return (points[from.getUint8(at + 2 + 8 * j + i) | (((ninth >> i) & 1) << 8)] | 0x8080808) ^ (15 * negative);
    };
    for (let i = 0; i < 4; i++) to.setUint32(out + 4 + 4 * i, codes(i) | (codes(i + 4) << 4), true);
  }
};

/** The nibbles of the layout `sixteens` from two bits and, in Q3_K, a third one and an offset of 4. */
function writeSixteens(from: DataView, codes: number, high: number | undefined, to: DataView, out: number): void {
  for (let i = 0; i < 4; i++)
    for (let k = 0; k < 32; k += 4) {
      const low = from.getUint32(codes + 32 * (i >> 1) + k, true) >>> (4 * (i & 1));
      let word = (low & 0x3030303) | ((low & 0xc0c0c0c) << 2);
      if (high !== undefined) {
        const third = from.getUint32(high + k, true) >>> (2 * i);
        word = (word | ((third & 0x1010101) << 2) | ((third & 0x2020202) << 5)) + 0x44444444;
      }
      to.setUint32(out + 20 + 32 * i + k, word, true);
    }
}

const q2_k: Rewrite = (from, at, to, out) => {
  to.setUint32(out, from.getUint32(at + 80, true), true);
  for (let i = 0; i < 16; i += 4) to.setUint32(out + 4 + i, from.getUint32(at + i, true), true);
  writeSixteens(from, at + 16, undefined, to, out);
};

/** 16 six-bit scales less 32: four bits of each in eight bytes, two in four bytes */
const q3_k: Rewrite = (from, at, to, out) => {
  to.setUint32(out, from.getUint16(at + 108, true), true);
  for (let i = 0; i < 16; i++) {
    const low = (from.getUint8(at + 96 + (i & 7)) >> (4 * (i >> 3))) & 15;
    const high = (from.getUint8(at + 104 + (i & 3)) >> (2 * (i >> 2))) & 3;
    to.setInt8(out + 4 + i, low + 16 * high - 32);
  }
  writeSixteens(from, at + 32, at, to, out);
};

/** bytes of a rewritten block, and how it is made */
const REWRITES: Partial<Record<Dtype, [number, Rewrite]>> = {
  Q2_K: [SIXTEENS_BYTES, q2_k],
  Q3_K: [SIXTEENS_BYTES, q3_k],
  IQ4_NL: [TABLE_BYTES, (from, at, to, out) => writeTable(from, at + 2, to, out, half(from, at))],
  IQ3_S: [8 * TABLE_BYTES, iq3_s],
  IQ4_XS: [8 * TABLE_BYTES, iq4_xs],
  MXFP4: [TABLE_BYTES, (from, at, to, out) => writeTable(from, at + 1, to, out, 2 ** (from.getUint8(at) - 128))],
};

/** Bytes of a row as kernels read it: rewritten, or as in the file. */
export const simpleRowBytes = (dtype: Dtype, cols: number): number =>
  (REWRITES[dtype]?.[0] ?? DTYPES[dtype].blockBytes) * (cols / DTYPES[dtype].blockLength);

/**
 * Whole blocks in the layout that kernels read. Formats that are read as they lie in the file return `bytes` itself.
 */
export function simplify(dtype: Dtype, bytes: Uint8Array): Uint8Array {
  const [size, rewrite] = REWRITES[dtype] ?? [];
  if (!size || !rewrite) return bytes;
  const { blockBytes } = DTYPES[dtype];
  const made = new Uint8Array((bytes.length / blockBytes) * size);
  const from = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const to = new DataView(made.buffer);
  for (let at = 0, out = 0; at < bytes.length; at += blockBytes, out += size) rewrite(from, at, to, out);
  return made;
}
