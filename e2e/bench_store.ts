/**
 * Puts sets and results where the benchmark page keeps them: a state of the page that nothing has to be measured for.
 */
import type { Page } from 'playwright';
import { planRuns, PRESETS, type Selection } from '../demo/bench/plan';
import type { BenchmarkResult } from '../demo/bench/result';
import { partialOf, type StoredSet } from '../demo/bench/set_store';

/** A finished set with these results. */
export const finishedSet = (
  result: BenchmarkResult,
  selection: Selection = { ...PRESETS.quick, stored: [], backends: ['wasm'] },
): StoredSet => ({ selection, plan: planRuns(selection), result, partial: partialOf(), attempts: 0, state: 'done' });

/** The open page, reloaded with this in its storage. */
export async function reloadWith(page: Page, value: { set?: StoredSet; compared?: BenchmarkResult[] }): Promise<void> {
  await page.evaluate(async (values) => {
    const store = await new Promise<IDBObjectStore>((resolve, reject) => {
      const opened = indexedDB.open('rivulet-bench');
      opened.onupgradeneeded = () => opened.result.createObjectStore('results');
      opened.onsuccess = () => resolve(opened.result.transaction('results', 'readwrite').objectStore('results'));
      opened.onerror = () => reject(opened.error);
    });
    for (const [key, one] of Object.entries(values)) store.put(one, key);
    await new Promise((done) => (store.transaction.oncomplete = done));
  }, value);
  await page.reload();
  await page.waitForSelector('body[data-ready]');
}
