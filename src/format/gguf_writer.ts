/**
 * Writes the header of a GGUF file (version 3, docs/gguf.md of ggml): for made-up models. The engine itself only reads
 * such files.
 */
import { DTYPES, type Dtype } from '../tensor/dtype';

/** GGUF type ids */
export const [U32, I32, F32, BOOL, STRING, ARRAY] = [4, 5, 6, 7, 8, 9] as const;
const U64 = 10;
const F64 = 12;
const ALIGNMENT = 32;

/** [GGUF type id, value]; an array is [9, element type, values] */
export type GgufEntry = [number, number | boolean | string] | [9, number, readonly (number | boolean | string)[]];

export interface GgufTensor {
  name: string;
  /** outermost first */
  shape: readonly number[];
  dtype: Dtype;
  byteLength: number;
}

/** Distance from `length` to the next multiple of the alignment. */
export const padding = (length: number, alignment = ALIGNMENT): number =>
  (alignment - (length % alignment)) % alignment;

export const alignmentOf = (metadata: Readonly<Record<string, GgufEntry>>): number =>
  Number(metadata['general.alignment']?.[1] ?? ALIGNMENT) || 1; // 0 is a file that must be refused

/** The bytes before the tensor data, which follows in the order of the tensors, each padded to the alignment. */
export function ggufHeader(
  metadata: Readonly<Record<string, GgufEntry>>,
  tensors: readonly GgufTensor[],
  version = 3,
): Uint8Array<ArrayBuffer> {
  const alignment = alignmentOf(metadata);
  const head = new ByteWriter();
  head.raw(new TextEncoder().encode('GGUF'));
  head.number(U32, version);
  head.number(U64, tensors.length);
  head.number(U64, Object.keys(metadata).length);
  for (const [key, [type, value, list]] of Object.entries(metadata)) {
    head.value(STRING, key);
    head.number(U32, type);
    if (!list) {
      head.value(type, value);
      continue;
    }
    head.number(U32, Number(value));
    head.number(U64, list.length);
    for (const element of list) head.value(Number(value), element);
  }
  let offset = 0;
  for (const { name, shape, dtype, byteLength } of tensors) {
    head.value(STRING, name);
    head.number(U32, shape.length);
    for (const length of [...shape].reverse()) head.number(U64, length);
    head.number(U32, DTYPES[dtype].ggml);
    head.number(U64, offset);
    offset += byteLength + padding(byteLength, alignment);
  }
  head.pad(alignment);
  return head.bytes();
}

/** Grows by doubling; numbers by GGUF type id, little-endian. */
export class ByteWriter {
  private data = new Uint8Array(1 << 16);
  private at = 0;

  private room(length: number): number {
    while (this.at + length > this.data.length) {
      const larger = new Uint8Array(2 * this.data.length);
      larger.set(this.data);
      this.data = larger;
    }
    this.at += length;
    return this.at - length;
  }
  raw(bytes: Uint8Array): void {
    const at = this.room(bytes.length);
    this.data.set(bytes, at);
  }
  pad(alignment: number): void {
    this.room(padding(this.at, alignment));
  }
  number(type: number, value: number): void {
    const size = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8][type] ?? 4;
    const at = this.room(size);
    const view = new DataView(this.data.buffer);
    if (type === F32) view.setFloat32(at, value, true);
    else if (type === F64) view.setFloat64(at, value, true);
    else if (size === 8) view.setBigInt64(at, BigInt(value), true);
    else for (let i = 0; i < size; i++) view.setUint8(at + i, value >> (8 * i));
  }
  value(type: number, value: number | boolean | string): void {
    if (type !== STRING) return this.number(type, Number(value));
    const text = new TextEncoder().encode(String(value));
    this.number(U64, text.length);
    this.raw(text);
  }
  bytes(): Uint8Array<ArrayBuffer> {
    return this.data.slice(0, this.at);
  }
}
