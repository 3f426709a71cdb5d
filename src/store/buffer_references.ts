/**
 * Reference counts of buffers that several parts of the store use. The last release frees the memory. A buffer that is
 * never released waits for the garbage collector, which may leave hundreds of megabytes for long.
 */
const referenceCounts = new WeakMap<ArrayBufferLike, number>();

export function retainBuffer<T extends Uint8Array>(bytes: T): T {
  referenceCounts.set(bytes.buffer, (referenceCounts.get(bytes.buffer) ?? 0) + 1);
  return bytes;
}

/** The bytes must not be touched after this. */
export function releaseBuffer(bytes: Uint8Array): void {
  const others = (referenceCounts.get(bytes.buffer) ?? 0) - 1;
  if (others > 0) referenceCounts.set(bytes.buffer, others);
  else if (referenceCounts.delete(bytes.buffer)) freeBufferNow(bytes);
}

/**
 * Frees the memory of a buffer without other users. Sending it to a port and closing the port frees it at once.
 * ArrayBuffer.transfer does not:
 * fetch, Blob, IndexedDB and WebCrypto keep handles on their buffers until the garbage collector runs.
 */
export function freeBufferNow({ buffer }: Uint8Array): void {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength === 0) return;
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(buffer, [buffer]);
  port1.close();
  port2.close();
}
