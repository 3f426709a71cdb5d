import { afterAll } from 'vitest';

/** What all tests of a file share: opened at its first use, closed after the last test. */
export function once<T extends { close(): Promise<unknown> }>(open: () => Promise<T>): () => Promise<T> {
  let opened: Promise<T> | undefined;
  afterAll(async () => void (await (await opened)?.close()));
  return () => (opened ??= open());
}
