/**
 * Buffers that several parts of the store use at a time. Whoever keeps one holds it; the last to let go frees its memory. One who never lets go
 * leaves it to the collector, which is slow: an engine lets hundreds of megabytes lie before it collects.
 */
const holders = new WeakMap<ArrayBufferLike, number>();

export function hold<T extends Uint8Array>(bytes: T): T {
  holders.set(bytes.buffer, (holders.get(bytes.buffer) ?? 0) + 1);
  return bytes;
}

/** The bytes must not be touched after this. */
export function letGo(bytes: Uint8Array): void {
  const others = (holders.get(bytes.buffer) ?? 0) - 1;
  if (others > 0) holders.set(bytes.buffer, others);
  else if (holders.delete(bytes.buffer)) free(bytes);
}

/**
 * Frees the memory of a buffer of which this is the only user. A port that closes over it does so at once; ArrayBuffer.transfer does not, for what a
 * browser interface has made or taken (fetch, Blob, IndexedDB, WebCrypto) is held by its handle on it until the collector comes by.
 */
export function free({ buffer }: Uint8Array): void {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength === 0) return;
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(buffer, [buffer]);
  port1.close();
  port2.close();
}
