/** Reads a file header of which only the first bytes are in memory. */
import { fail } from '../errors';

/** A longer header counts as damaged: vocabularies of 262,144 tokens stay below 12 MB. */
export const MAX_HEADER_BYTES = 32 * 2 ** 20;

/** Thrown at the end of the bytes in memory; `parseHead` turns it into `{ need }`. */
class OutOfBytes {
  constructor(readonly need: number) {}
}

/** The result of a header parser that needs at least `need` bytes of the file. */
export interface NeedMoreBytes {
  need: number;
}

export interface NamedFile {
  /** for error messages */
  name: string;
  /** bytes */
  size: number;
}

/** Little-endian, with bounds checks against the bytes in memory and the file. Invalid UTF-8 becomes U+FFFD. */
export class HeaderCursor {
  at = 0;
  private readonly view: DataView;
  private readonly text = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(
    readonly head: Uint8Array,
    readonly file: NamedFile,
  ) {
    this.view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  }

  /** Moves past the next `length` bytes and returns their position. @throws OutOfBytes if they are not in memory */
  take(length: number): number {
    const from = this.at;
    const to = from + length;
    if (to > this.file.size)
      fail('CheckpointError', {
        what: `${this.file.name} is incomplete or damaged: its header is longer than the file`,
        got: `${this.file.size} bytes`,
        wanted: `at least ${to}`,
        cure: 'Get the file again.',
      });
    if (to > MAX_HEADER_BYTES)
      fail('CheckpointError', {
        what: `The header of ${this.file.name} is too long`,
        got: `more than ${to} bytes`,
        wanted: `at most ${MAX_HEADER_BYTES}`,
        cure: 'The file is damaged: get it again.',
      });
    if (to > this.head.length) throw new OutOfBytes(to);
    this.at = to;
    return from;
  }

  u8(): number {
    return this.view.getUint8(this.take(1));
  }
  i8(): number {
    return this.view.getInt8(this.take(1));
  }
  u16(): number {
    return this.view.getUint16(this.take(2), true);
  }
  i16(): number {
    return this.view.getInt16(this.take(2), true);
  }
  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }
  i32(): number {
    return this.view.getInt32(this.take(4), true);
  }
  f32(): number {
    return this.view.getFloat32(this.take(4), true);
  }
  f64(): number {
    return this.view.getFloat64(this.take(8), true);
  }
  /** Rounded beyond 2^53; counts that large are rejected elsewhere. */
  u64(): number {
    const at = this.take(8);
    return this.view.getUint32(at + 4, true) * 2 ** 32 + this.view.getUint32(at, true);
  }
  i64(): number {
    const at = this.take(8);
    return this.view.getInt32(at + 4, true) * 2 ** 32 + this.view.getUint32(at, true);
  }

  string(length: number): string {
    const at = this.take(length);
    return this.text.decode(this.head.subarray(at, at + length));
  }

  /**
   * `count` strings, each after its 64-bit length. They are decoded together: one TextDecoder call each would take 0.1
   * s for a vocabulary.
   */
  strings(count: number): string[] {
    const first = this.at;
    for (let i = 0; i < count; i++) this.take(this.u64());
    const joined = new Uint8Array(Math.max(this.at - first - 7 * count, 0));
    let to = 0;
    this.at = first;
    for (let i = 0; i < count; i++) {
      const length = this.u64();
      const at = this.take(length);
      // tokens are short, so a view for each would be slower
      for (let k = 0; k < length; k++) joined[to + k] = this.head[at + k];
      to += length + 1; // separated by NUL
    }
    const strings = this.text.decode(joined).split('\0');
    if (strings.pop() === '' && strings.length === count) return strings;
    this.at = first; // a string contains a NUL
    return Array.from({ length: count }, () => this.string(this.u64()));
  }
}

/** Runs a parser over the first bytes of a file. */
export function parseHead<T>(head: Uint8Array, file: NamedFile, parse: (cursor: HeaderCursor) => T): T | NeedMoreBytes {
  try {
    return parse(new HeaderCursor(head, file));
  } catch (error) {
    if (error instanceof OutOfBytes) return { need: error.need };
    throw error;
  }
}
