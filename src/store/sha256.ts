/** SHA-256 (FIPS 180-4) in pieces: WebCrypto needs all bytes in memory, and is missing outside of secure contexts. */
import type { BlockHashFunction } from './wasm_assembler';
import { compileSha256Blocks } from './sha256_wasm';

// the first 32 bits of the fractions of the cube roots of the first 64 primes, and of the square roots of the first 8
const K = new Int32Array(64);
const INITIAL_STATE = new Int32Array(8);
for (let candidate = 2, n = 0; n < 64; candidate++) {
  if (Array.from({ length: candidate - 2 }, (_, i) => i + 2).some((divisor) => candidate % divisor === 0)) continue;
  if (n < 8) INITIAL_STATE[n] = (candidate ** 0.5 % 1) * 2 ** 32;
  K[n++] = (Math.cbrt(candidate) % 1) * 2 ** 32;
}

export class Sha256 {
  readonly #state = INITIAL_STATE.slice();
  readonly #bytes = new Uint8Array(this.#state.buffer);
  readonly #compress: BlockHashFunction;
  readonly #rest = new Uint8Array(64);
  #length = 0;

  constructor(compress: BlockHashFunction) {
    this.#compress = compress;
  }

  update(bytes: Uint8Array): this {
    let at = 0;
    const filled = this.#length % 64;
    this.#length += bytes.length;
    if (filled > 0) {
      at = Math.min(64 - filled, bytes.length);
      this.#rest.set(bytes.subarray(0, at), filled);
      if (filled + at < 64) return this;
      this.#compress(this.#bytes, this.#rest);
    }
    const whole = at + Math.floor((bytes.length - at) / 64) * 64;
    this.#compress(this.#bytes, bytes.subarray(at, whole));
    this.#rest.set(bytes.subarray(whole));
    return this;
  }

  /** 32 bytes; no update may follow */
  digest(): Uint8Array<ArrayBuffer> {
    const filled = this.#length % 64;
    const tail = new DataView(new ArrayBuffer(filled < 56 ? 64 : 128));
    new Uint8Array(tail.buffer).set(this.#rest.subarray(0, filled));
    tail.setUint8(filled, 0x80);
    tail.setBigUint64(tail.byteLength - 8, BigInt(this.#length) * 8n);
    this.#compress(this.#bytes, new Uint8Array(tail.buffer));
    const out = new DataView(new ArrayBuffer(32));
    this.#state.forEach((word, i) => out.setInt32(4 * i, word));
    return new Uint8Array(out.buffer);
  }
}

let fastestCompress: BlockHashFunction | undefined;

/** The fastest that this browser allows. */
export const createSha256 = (): Sha256 =>
  new Sha256((fastestCompress ??= compileSha256Blocks(K) ?? sha256BlocksInJavaScript));

/** The blocks in JavaScript: for pages that may not compile WebAssembly, and for a few bytes. */
export const sha256BlocksInJavaScript: BlockHashFunction = (state, blocks) => {
  const s = new Int32Array(state.buffer, state.byteOffset, 8);
  const view = new DataView(blocks.buffer, blocks.byteOffset, blocks.byteLength);
  const w = new Int32Array(64);
  for (let at = 0; at < blocks.length; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(at + 4 * i);
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15];
      const y = w[i - 2];
      const low = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const high = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16] + low + w[i - 7] + high) | 0;
    }
    let a = s[0],
      b = s[1],
      c = s[2],
      d = s[3],
      e = s[4],
      f = s[5],
      g = s[6],
      h = s[7];
    for (let i = 0; i < 64; i++) {
      const high = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t = (h + high + (g ^ (e & (f ^ g))) + K[i] + w[i]) | 0;
      const low = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      h = g;
      g = f;
      f = e;
      e = (d + t) | 0;
      d = c;
      c = b;
      b = a;
      a = (t + low + ((b & c) | (d & (b | c)))) | 0;
    }
    s[0] = (s[0] + a) | 0;
    s[1] = (s[1] + b) | 0;
    s[2] = (s[2] + c) | 0;
    s[3] = (s[3] + d) | 0;
    s[4] = (s[4] + e) | 0;
    s[5] = (s[5] + f) | 0;
    s[6] = (s[6] + g) | 0;
    s[7] = (s[7] + h) | 0;
  }
};

/** SHA-256 of a buffer: by WebCrypto if the page may use it, else in pieces. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  if (globalThis.crypto?.subtle) return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return createSha256().update(bytes).digest();
}

export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);
