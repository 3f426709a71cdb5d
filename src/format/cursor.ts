/** Reads a header of which only the head is at hand. */
import { fail } from '../errors';

/** A header longer than this is taken for damaged: vocabularies of 262,144 tokens stay below 12 MB. */
export const MAX_HEADER = 32 * 2 ** 20;

/** Thrown by a cursor at the end of the bytes at hand; `parseHead` turns it into `{ need }`. */
class Short {
  constructor(readonly need: number) {}
}

/** What a header parser answers when the head is too short: it wants at least so many bytes of the file. */
export interface Need {
  need: number;
}

export interface HeadFile {
  /** for error messages */
  name: string;
  /** bytes */
  size: number;
}

/** Little-endian, bounds-checked against both the head and the file. Text must not be trusted: it is UTF-8 with replacements. */
export class Cursor {
  at = 0;
  private readonly view: DataView;
  private readonly text = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(
    readonly head: Uint8Array,
    readonly file: HeadFile,
  ) {
    this.view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  }

  /** The position of the next `length` bytes, which are at hand when this returns. */
  take(length: number): number {
    const from = this.at;
    const to = from + length;
    if (to > this.file.size)
      fail('CheckpointError', {
        what: `${this.file.name} is cut short or damaged: its header leaves the file`,
        got: `${this.file.size} bytes`,
        wanted: `at least ${to}`,
        cure: 'Get the file again.',
      });
    if (to > MAX_HEADER)
      fail('CheckpointError', {
        what: `the header of ${this.file.name} is too long`,
        got: `more than ${to} bytes`,
        wanted: `at most ${MAX_HEADER}`,
        cure: 'The file is damaged: get it again.',
      });
    if (to > this.head.length) throw new Short(to);
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
  /** Rounded beyond 2^53; a value that large is refused wherever it counts something. */
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

  /** `count` strings, each behind its 64-bit length, decoded in one piece: a call of TextDecoder for each would cost 0.1 s a vocabulary. */
  strings(count: number): string[] {
    const first = this.at;
    for (let i = 0; i < count; i++) this.take(this.u64());
    const joined = new Uint8Array(Math.max(this.at - first - 7 * count, 0));
    let to = 0;
    this.at = first;
    for (let i = 0; i < count; i++) {
      const length = this.u64();
      const at = this.take(length);
      for (let k = 0; k < length; k++) joined[to + k] = this.head[at + k]; // tokens are short: a view for each costs more
      to += length + 1; // a NUL between
    }
    const strings = this.text.decode(joined).split('\0');
    if (strings.pop() === '' && strings.length === count) return strings;
    this.at = first; // a string holds a NUL itself
    return Array.from({ length: count }, () => this.string(this.u64()));
  }
}

/** Runs a parser over the head of a file. */
export function parseHead<T>(head: Uint8Array, file: HeadFile, parse: (cursor: Cursor) => T): T | Need {
  try {
    return parse(new Cursor(head, file));
  } catch (error) {
    if (error instanceof Short) return { need: error.need };
    throw error;
  }
}
