/** The swap file of experts, over a stand-in of the origin private file system that keeps bytes as files do. */
import 'fake-indexeddb/auto';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createPrivateFiles, type PrivateFiles } from '../../e2e/private_files';
import { openModelCache, swapFileName } from './model_cache';
import { equalBytes } from './sha256';
import { makeRoom } from './storage_space';
import { openSwapFile, type SwapFile } from './swap_file';

const ID = 'https://example.org/a/model.gguf';
const KEY = new Uint8Array(32).fill(7);
const GB = 1 << 30;
const part = (n: number, bytes = 10_000): Uint8Array => new Uint8Array(bytes).map((_, i) => i * n + (i >> 8));

let files: PrivateFiles;
const open = (key = KEY): Promise<SwapFile> => openSwapFile(ID, key, { parts: 20, bytes: 2e5 });
const read = (file: SwapFile, n: number, bytes = 10_000): Uint8Array | undefined => {
  const target = new Uint8Array(bytes);
  return file.read(n, target) ? target : undefined;
};
const state = (file: SwapFile, n: number, wanted: Uint8Array): 'there' | 'none' | 'other bytes' => {
  const got = read(file, n, wanted.length);
  return !got ? 'none' : equalBytes(got, wanted) ? 'there' : 'other bytes';
};
const stored = (): Uint8Array => files.get(swapFileName(ID))!;

beforeEach(async () => {
  files = createPrivateFiles();
  vi.stubGlobal('navigator', { storage: files.storage });
  vi.stubGlobal('FileSystemFileHandle', class {});
  const times = { added: 0, lastUsed: 0, pinned: false };
  await (await openModelCache())!.putManifest({
    id: ID,
    aliases: [],
    files: [],
    chunkBytes: 8,
    state: 'complete',
    ...times,
  });
});
afterEach(() => void vi.unstubAllGlobals());

describe('a swap file', () => {
  test('gives back what was written, also after it was opened again', async () => {
    const file = await open();
    expect(read(file, 3)).toBeUndefined();
    for (const n of [3, 0, 19]) file.write(n, part(n));
    file.write(5, part(5, 777));
    expect([read(file, 19), read(file, 5, 777), read(file, 4)]).toEqual([part(19), part(5, 777), undefined]);
    expect(read(file, 5)).toBeUndefined(); // another length
    file.close();
    expect(read(file, 3)).toBeUndefined();
    const again = await open();
    for (const n of [0, 3, 19]) expect(read(again, n)).toEqual(part(n));
    again.write(7, part(7));
    expect(read(again, 5, 777)).toEqual(part(5, 777));
    again.close();
  });

  test('of another key, another version or with a damaged head is empty', async () => {
    for (const damage of [undefined, 0, 9]) {
      const file = await open();
      file.write(1, part(1));
      expect(read(file, 1)).toEqual(part(1));
      file.close();
      if (damage !== undefined) stored()[damage] ^= 1;
      const other = await open(damage === undefined ? new Uint8Array(32) : KEY);
      expect(read(other, 1)).toBeUndefined();
      other.write(1, part(2));
      expect(read(other, 1)).toEqual(part(2));
      other.close();
    }
  });

  test('gives no bytes that differ from what was written, wherever one changes, and goes on', async () => {
    const file = await open();
    for (const n of [0, 1, 2]) file.write(n, part(n + 1));
    file.close();
    const whole = stored().slice();
    const head = [0, 8, 39];
    const rows = [0, 1, 2].flatMap((n) => [0, 1, 2, 4, 5, 6, 8, 39].map((at) => 4096 + 40 * n + at));
    const parts = [8192, 8200, 18_000, 20_480, 30_000, 32_768, 42_767];
    for (const at of [...head, ...rows, ...parts]) {
      files.set(swapFileName(ID), whole.slice());
      stored()[at] ^= 4;
      const again = await open();
      const got = [0, 1, 2].map((n) => state(again, n, part(n + 1)));
      expect(got).not.toContain('other bytes');
      expect(got, `byte ${at}`).toContain('none'); // each of these bytes counts
      for (const n of [0, 1, 2]) again.write(n, part(n + 1));
      expect([0, 1, 2].map((n) => state(again, n, part(n + 1)))).toEqual(['there', 'there', 'there']);
      again.close();
    }
  });

  test('that ends early, as after a crash, keeps what is whole', async () => {
    const file = await open();
    for (const n of [0, 1, 2]) file.write(n, part(n + 1));
    file.close();
    const whole = stored().slice();
    for (const length of [0, 4096, 4500, 9000, whole.length - 1]) {
      files.set(swapFileName(ID), whole.slice(0, length));
      const again = await open();
      const got = [0, 1, 2].map((n) => state(again, n, part(n + 1)));
      expect(got).toEqual(length > 40_000 ? ['there', 'there', 'none'] : ['none', 'none', 'none']);
      again.write(2, part(3));
      expect(state(again, 2, part(3))).toBe('there');
      again.close();
    }
  });

  test('leaves 1 GB free, and keeps what it has when the storage is full', async () => {
    files.quota = GB + 3e4;
    const file = await open();
    for (const n of [0, 1, 2, 3, 4]) file.write(n, part(n));
    expect([0, 1, 2, 3, 4].map((n) => Boolean(read(file, n)))).toEqual([true, true, false, false, false]);
    file.close();
    files.quota = GB + 1e6;
    const more = await open();
    files.quota = stored().length + 5000;
    for (const n of [2, 3]) more.write(n, part(n));
    expect([0, 1, 2, 3].map((n) => Boolean(read(more, n)))).toEqual([true, true, false, false]);
    more.close();
  });

  test('is refused where another tab has it, and gone when the file cannot be read', async () => {
    const file = await open();
    file.write(0, part(0));
    files.lockedElsewhere.add(swapFileName(ID));
    await expect(open()).rejects.toMatchObject({ name: 'NoModificationAllowedError' });
    files.lockedElsewhere.clear();
    const again = await open(); // closes the one before, as after a loss of the device
    expect(read(file, 0)).toBeUndefined();
    expect(read(again, 0)).toEqual(part(0));
    files.broken = true;
    expect(read(again, 0)).toBeUndefined();
    files.broken = false;
    expect(read(again, 0)).toBeUndefined();
  });

  test('takes shared memory also where the browser refuses it', async () => {
    files.refusesShared = true;
    const file = await open();
    const shared = new Uint8Array(new SharedArrayBuffer(10_000));
    shared.set(part(9));
    file.write(9, shared);
    shared.fill(0);
    expect(file.read(9, shared)).toBe(true);
    expect(shared).toEqual(part(9));
    file.close();
  });

  test('is deleted with its model, and when room is needed; files of models that are gone are deleted', async () => {
    const cache = (await openModelCache())!;
    const file = await open();
    file.write(0, part(0));
    files.set(`${swapFileName('gone')}`, new Uint8Array(5));
    files.set('of the page', new Uint8Array(5));
    expect(await makeRoom(cache, 'new', 2 * files.quota, false, [])).toBe(false);
    expect(files.names()).toEqual([swapFileName(ID), 'of the page'].sort()); // it is open
    file.close();
    await makeRoom(cache, 'new', 2 * files.quota, false, []);
    expect(files.names()).toEqual(['of the page']);
    (await open()).close();
    files.set(`${swapFileName('gone')}`, new Uint8Array(5));
    (await open()).close();
    expect(files.names()).toEqual([swapFileName(ID), 'of the page'].sort());
    await cache.deleteModel(ID);
    expect(files.names()).toEqual(['of the page']);
  });
});
