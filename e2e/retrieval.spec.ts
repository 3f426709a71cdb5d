// @module-tag chromium
/** A model for retrieval through the public calls, and an index in two tabs and over a reload. */
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { maxSim } from '../src/api/max_sim';
import { launchChromium, serve } from './harness';
import type { RetrievalPage } from './pages/retrieval';
import { GOLDEN_DIRECTORY } from './tools/golden';
import type { RetrievalSet } from './tools/verify_retrieval';
import { readTensors } from './tools/verify_vision';

declare const retrieval: RetrievalPage;

const SIZE = 32;
const golden = join(GOLDEN_DIRECTORY, 'retrieval/centred');
const { queries, documents } = JSON.parse(
  readFileSync(join(golden, 'expected.json'), 'utf8'),
) as Required<RetrievalSet>;
const known = readTensors(join(golden, 'vectors.safetensors'));
const off = (got: number[], name: string): number => {
  const wanted = known.get(name)!;
  expect(got).toHaveLength(wanted.length);
  return got.reduce((most, v, i) => Math.max(most, Math.abs(v - wanted[i])), 0);
};

it('vectors, an index in two tabs, and what is refused', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'rivulet-retrieval-'));
  cpSync(join(GOLDEN_DIRECTORY, 'dense/model'), join(folder, 'text'), { recursive: true });
  cpSync(join(GOLDEN_DIRECTORY, 'dense/model'), join(folder, 'model'), { recursive: true });
  cpSync(join(golden, 'model'), join(folder, 'model'), { recursive: true });
  const server = await serve({ mounts: { '/files': folder }, isolated: true });
  const browser = await launchChromium();
  try {
    const context = await browser.newContext();
    const [first, second] = [await context.newPage(), await context.newPage()];
    for (const page of [first, second]) {
      await page.goto(`${server.origin}/e2e/pages/retrieval.html`);
      await page.waitForFunction(() => 'retrieval' in window);
      const loaded = await page.evaluate(() => retrieval.load('/files/model/'));
      expect(loaded).toEqual({ vectors: 'tokens', backend: 'wasm' });
    }

    const query = await first.evaluate((text) => retrieval.query(text), queries[0].text);
    expect(off(query, 'q0.kept')).toBeLessThan(5e-3);
    const texts = documents.map(({ text }) => text);
    const { vectors, reports } = await first.evaluate((all) => retrieval.documents(all), texts);
    vectors.forEach((one, i) => expect(off(one, `d${i}`)).toBeLessThan(5e-3));
    expect(reports).toEqual([[3, 3]]);
    const score = await first.evaluate(([a, b]) => retrieval.similarity(a, b), [query, vectors[0]] as const);
    expect(score).toBeCloseTo(maxSim(Float32Array.from(query), Float32Array.from(vectors[0]), SIZE), 3);
    for (const [call, said] of [
      ['generate', /^RequestError: The model makes vectors/],
      ['chat', /^RequestError: The model makes vectors/],
      ['embed', /^RequestError: The model has no vectors of whole texts/],
      ['abort', /^AbortError/],
    ] as const)
      expect(await first.evaluate((name) => retrieval.refuse(name), call)).toMatch(said);

    for (const page of [first, second]) expect(await page.evaluate(() => retrieval.open('notes'))).toBe(0);
    const notes = texts.map((text, i) => ({ id: `d${i}`, text }));
    expect(await first.evaluate((all) => retrieval.add(all), notes)).toBe('done');
    await second.waitForFunction(() => retrieval.size() === 3);
    const found = await first.evaluate(() => retrieval.search('a tide pool'));
    expect(found[0]).toBe('d0');
    expect(await second.evaluate(() => retrieval.search('a tide pool'))).toEqual(found);
    const more = [{ id: 'late', text: 'Whales sing.' }];
    expect(await second.evaluate((all) => retrieval.add(all), more)).toMatch(/^StorageError: Another tab writes/);
    await first.close(); // without a call: the browser gives the lock away
    await expect.poll(() => second.evaluate((all) => retrieval.add(all), more)).toBe('done');

    await second.reload();
    await second.waitForFunction(() => 'retrieval' in window);
    await second.evaluate(() => retrieval.load('/files/model/'));
    expect(await second.evaluate(() => retrieval.open('notes'))).toBe(4);
    expect(await second.evaluate(() => retrieval.search('whales', { by: 'words' }))).toEqual(['late']);

    await second.evaluate(() => retrieval.load('/files/text/'));
    const refused = await second.evaluate(() => retrieval.refuse('encodeQuery'));
    expect(refused).toMatch(/^RequestError: The model makes no vectors of texts/);
  } finally {
    await browser.close();
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
