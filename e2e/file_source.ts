import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { ByteSource } from '../src/store/byte_source';

/** A file of this machine, read by range. */
export function fileSource(path: string): ByteSource {
  const { size } = statSync(path);
  return {
    name: basename(path),
    size,
    async read(offset, length) {
      const bytes = new Uint8Array(length);
      const fd = openSync(path, 'r');
      const got = readSync(fd, bytes, 0, length, offset);
      closeSync(fd);
      if (got !== length) throw new RangeError(`${path}: read of ${offset} + ${length} in ${size} bytes`);
      return bytes;
    },
  };
}
