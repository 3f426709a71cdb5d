import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { compileSha256Blocks } from './sha256_wasm';
import { createSha256, sha256BlocksInJavaScript, equalBytes, toHex, Sha256, sha256 } from './sha256';

describe('SHA-256 piece by piece', () => {
  const bytes = Uint8Array.from({ length: 4099 }, (_, i) => (i * 31 + (i >> 3)) & 255);

  it.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000, 4099])(
    'equals the reference at %i bytes, in pieces of 1, 7, 64 and 100',
    async (length) => {
      const part = bytes.slice(0, length);
      const wanted = createHash('sha256').update(part).digest('hex');
      for (const create of [createSha256, () => new Sha256(sha256BlocksInJavaScript)]) {
        for (const piece of [1, 7, 64, 100]) {
          const hash = create();
          for (let at = 0; at < length; at += piece) hash.update(part.subarray(at, Math.min(at + piece, length)));
          expect(toHex(hash.digest())).toBe(wanted);
        }
      }
      expect(toHex(await sha256(part))).toBe(wanted);
    },
  );

  it('is WebAssembly here', () => expect(compileSha256Blocks(new Int32Array(64))).toBeDefined());

  it('equals it beyond the memory of the module', () => {
    const long = new Uint8Array(1_000_001).map((_, i) => i * 7);
    expect(toHex(createSha256().update(long).digest())).toBe(createHash('sha256').update(long).digest('hex'));
  });

  it('tells equal digests from others', () => {
    expect(equalBytes(bytes.subarray(0, 32), bytes.slice(0, 32))).toBe(true);
    expect(equalBytes(bytes.subarray(0, 32), bytes.subarray(1, 33))).toBe(false);
    expect(equalBytes(bytes.subarray(0, 32), bytes.subarray(0, 31))).toBe(false);
  });
});
