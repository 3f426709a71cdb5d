/**
 * The option `sha256`: a model whose files have other hashes is refused, whatever the server says and whatever is
 * stored.
 */
import 'fake-indexeddb/auto';
import { IDBFactory } from 'fake-indexeddb';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createHub, modelBytes, sha256Of, type Hub } from '../../e2e/hub';
import { downloadModel, listModels } from './cached_models';
import { openModel, type OpenOptions } from './open_model';

const CHUNK = 64 << 10;
const POLICY = { backoff: 1, stall: 200, chunkBytes: CHUNK };
const REPO = 'Org/Model-GGUF';
const one = modelBytes(5 * CHUNK + 1234, 1);
const two = modelBytes(3 * CHUNK, 2);
const other = sha256Of(modelBytes(16, 3));

let hub: Hub;
let url: string;
beforeEach(async () => {
  globalThis.indexedDB = new IDBFactory();
  hub = await createHub({ repos: { [REPO]: { 'one-Q4_0.gguf': one, 'two-Q4_0.gguf': two } } });
  url = `${hub.origin}/plain/${REPO}/one-Q4_0.gguf`;
});
afterEach(() => hub.close());

/** Reads every byte, as a load does. @returns the bytes that were delivered, or the error */
async function readAll(
  source: string | { url: string[] },
  options: OpenOptions,
): Promise<{ read: number; error?: Error & { got?: string; wanted?: string } }> {
  let read = 0;
  try {
    const model = await openModel(source, { hub: hub.origin, ...options, cache: 'required', policy: POLICY });
    try {
      for (const file of model.files)
        for (let at = 0; at < file.size; at += CHUNK) {
          read += (await file.read(at, Math.min(CHUNK, file.size - at))).length;
        }
      await model.finish();
    } finally {
      await model.close();
    }
    return { read };
  } catch (error) {
    return { read, error: error as Error };
  }
}

const complete = async (): Promise<string[]> =>
  (await listModels()).filter((model) => model.complete).map(({ id }) => id);

it('the right hash: the model is loaded, and the next time without the server', async () => {
  const sha256 = sha256Of(one);
  expect(await readAll(url, { sha256 })).toEqual({ read: one.length });
  await hub.close();
  expect(await readAll(url, { sha256 })).toEqual({ read: one.length });
});

it('a wrong hash: an error names both, the end of the file is not delivered, and nothing stays stored', async () => {
  const { read, error } = await readAll(url, { sha256: other });
  expect(error).toMatchObject({
    name: 'SourceError',
    what: 'one-Q4_0.gguf arrived damaged',
    got: `hash ${sha256Of(one)}`,
    wanted: other,
  });
  expect(read).toBeLessThan(one.length);
  expect(await complete()).toEqual([]);
});

it('several files, each with its hash by its name', async () => {
  const source = { url: [url, url.replace('one', 'two')] };
  const right = { 'one-Q4_0.gguf': sha256Of(one), 'two-Q4_0.gguf': sha256Of(two) };
  const wrong = await readAll(source, { sha256: { ...right, 'two-Q4_0.gguf': other } });
  expect(wrong.error).toMatchObject({ name: 'SourceError', what: 'two-Q4_0.gguf arrived damaged', wanted: other });
  expect(await readAll(source, { sha256: right })).toEqual({ read: one.length + two.length });
  // a hash of one file says nothing of the others
  expect(await readAll(source, { sha256: { 'one-Q4_0.gguf': sha256Of(one) } })).toEqual({
    read: one.length + two.length,
  });
});

it('one hash for several files is refused', async () => {
  const { error } = await readAll({ url: [url, url.replace('one', 'two')] }, { sha256: sha256Of(one) });
  expect(error).toMatchObject({ name: 'SourceError', what: 'two-Q4_0.gguf arrived damaged' });
});

it('a stored model without a hash, or with another one, is not taken', async () => {
  expect(await readAll(url, {})).toEqual({ read: one.length });
  expect((await readAll(url, { sha256: other })).error).toMatchObject({ name: 'SourceError', wanted: other });
  expect(await readAll(url, { sha256: sha256Of(one) })).toEqual({ read: one.length });
  // as tools of Windows write it
  expect(await readAll(url, { sha256: sha256Of(one).toUpperCase() })).toEqual({ read: one.length });
  await hub.close();
  expect(await readAll(url, {})).toEqual({ read: one.length });
  expect((await readAll(url, { sha256: other })).error).toMatchObject({ name: 'SourceError' });
});

it('the hash counts, not the one that the hub states', async () => {
  expect((await readAll(`${REPO}/one-Q4_0.gguf`, { sha256: other })).error).toMatchObject({
    name: 'SourceError',
    what: 'one-Q4_0.gguf arrived damaged',
    wanted: other,
  });
  expect(await readAll(`${REPO}/one-Q4_0.gguf`, { sha256: sha256Of(one) })).toEqual({ read: one.length });
});

it('a download without a load is compared, too', async () => {
  await expect(downloadModel(url, { sha256: other, policy: POLICY })).rejects.toMatchObject({
    name: 'SourceError',
    wanted: other,
  });
  expect(await complete()).toEqual([]);
  expect(await downloadModel(url, { sha256: sha256Of(one), policy: POLICY })).toBe(url);
});

it('a local file is refused: its bytes are not compared', async () => {
  await expect(openModel(new File([one], 'one.gguf'), { sha256: sha256Of(one) })).rejects.toMatchObject({
    name: 'RequestError',
    what: 'This is not a model source',
  });
});
