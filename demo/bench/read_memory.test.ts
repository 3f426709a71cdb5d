import { readFileSync } from 'node:fs';
import { commands } from '@yowasp/clang';
import { expect, test } from 'vitest';
import { READ_MEMORY_FLAGS, READ_MEMORY_WASM } from './read_memory_wasm';

test('the compiled read loop is that of read_memory.c', async () => {
  const source = readFileSync(new URL('read_memory.c', import.meta.url), 'utf8');
  const out = await commands.clang(
    [...READ_MEMORY_FLAGS, '-o', 'read.wasm', 'read.c'],
    { 'read.c': source },
    { fetchProgress: () => undefined },
  );
  expect(Buffer.from((out as Record<string, Uint8Array>)['read.wasm']).toString('base64')).toBe(READ_MEMORY_WASM);
});
