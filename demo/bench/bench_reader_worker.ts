/** One thread of the measurement of the memory bandwidth: reads a memory of its own again and again. */
import { READ_MEMORY_WASM } from './read_memory_wasm';

export interface ReaderJob {
  /** to read in one pass */
  bytes: number;
  milliseconds: number;
}

export type ReaderMessage = { ready: true } | { bytes: number; milliseconds: number } | { error: string };

const PAGE = 65536;
let read: ((from: number, to: number) => number) | undefined;
let end = 0;

self.onmessage = async ({ data }: MessageEvent<ReaderJob>) => {
  try {
    if (!read) {
      const { instance } = await WebAssembly.instantiate(
        Uint8Array.from(atob(READ_MEMORY_WASM), (letter) => letter.charCodeAt(0)),
      );
      const { memory, read: compiled } = instance.exports as unknown as {
        memory: WebAssembly.Memory;
        read: typeof read;
      };
      memory.grow(Math.ceil(data.bytes / PAGE));
      // memory that was never written may have no place of its own
      new Uint8Array(memory.buffer).fill(1);
      [read, end] = [compiled, data.bytes];
      return postMessage({ ready: true } satisfies ReaderMessage);
    }
    const start = performance.now();
    let bytes = 0;
    while (performance.now() - start < data.milliseconds) {
      read(0, end);
      bytes += end;
    }
    postMessage({ bytes, milliseconds: performance.now() - start } satisfies ReaderMessage);
  } catch (error) {
    postMessage({ error: String(error) } satisfies ReaderMessage);
  }
};
