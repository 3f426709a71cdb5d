import { describe, expect, it } from 'vitest';
import { sha256WithQuickChecksum, matchesChecksum, quickChecksum } from './checksum';

/** The definition, in BigInt. */
function slowSum(data: Uint8Array): string {
  const prime = 0x9e3779b97f4a7c55n;
  const lanes = [1n, 2n, 3n, 4n].map((i) => BigInt.asUintN(64, prime * i + BigInt(data.length)));
  const padded = new Uint8Array(Math.ceil(data.length / 32) * 32);
  padded.set(data);
  new BigUint64Array(padded.buffer).forEach((word, i) => {
    const x = lanes[i % 4] ^ word;
    lanes[i % 4] = BigInt.asUintN(64, ((x << 29n) | (x >> 35n)) * prime);
  });
  return new BigUint64Array(lanes).join();
}

describe('fingerprint', () => {
  const data = Uint8Array.from({ length: 700_001 }, (_, i) => (i * 31 + (i >> 8)) & 255);

  it.each([0, 1, 31, 32, 33, 64, 1000, 700_001])('the quick sum of %i bytes is what its definition says', (length) => {
    const sum = quickChecksum(data.subarray(0, length))!;
    expect(new BigUint64Array(sum.buffer).join()).toBe(slowSum(data.subarray(0, length)));
  });

  it('finds a flipped bit anywhere, by the sum and by SHA-256', async () => {
    const print = await sha256WithQuickChecksum(data);
    expect(print.length).toBe(64);
    for (const thorough of [false, true]) {
      expect(await matchesChecksum(data, print, thorough)).toBe(true);
      expect(await matchesChecksum(data, print.slice(0, 32), thorough)).toBe(true);
      for (const at of [0, 31, 32, 4095, 327_615, 327_616, 700_000]) {
        data[at] ^= 128;
        expect(await matchesChecksum(data, print, thorough)).toBe(false);
        data[at] ^= 128;
      }
    }
  });
});
