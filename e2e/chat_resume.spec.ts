// @module-tag chromium
/**
 * The chat page as built, after a reload: a conversation goes on without being read again, and nothing of it stays when
 * it is deleted.
 */
import type { Page } from 'playwright';
import { expect, test } from 'vitest';
import { ask, BRIEF, ready, soon, testChat } from './chat_page';

const chat = testChat({ scripts: [BRIEF] });

interface Saved {
  calls: [Uint32Array, number][];
  lastUsed: number;
}

/** What is saved of conversations in the library's database. */
const savedStates = (page: Page): Promise<Saved[]> =>
  page.evaluate(
    () =>
      new Promise<Saved[]>((resolve, reject) => {
        const opening = indexedDB.open('rivulet');
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const [store] = opening.result.objectStoreNames;
          const reading = opening.result
            .transaction(store)
            .objectStore(store)
            .getAll(IDBKeyRange.bound(['state'], ['state', []]));
          reading.onsuccess = () => (opening.result.close(), resolve(reading.result as Saved[]));
        };
      }),
  );

const hide = (page: Page): Promise<void> =>
  page.evaluate(() => {
    Object.defineProperty(document, 'hidden', { value: true, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });

test('a conversation is saved when the page is left, goes on after a reload, and is deleted', async () => {
  const page = await chat.visit();
  await ask(page, 'Good morning');
  expect(await savedStates(page)).toEqual([]);
  await hide(page);
  await soon(async () => (await savedStates(page)).length).toBe(1);
  const [before] = await savedStates(page);
  await page.reload();
  await ready(page);
  await ask(page, 'And good night');
  const [after] = await savedStates(page);
  expect(after.lastUsed).toBeGreaterThan(before.lastUsed); // its bytes were read, not its text
  await hide(page);
  const tokens = async (): Promise<number> =>
    (await savedStates(page)).flatMap(({ calls }) => calls).reduce((sum, [, kept]) => sum + kept, 0);
  await soon(tokens).toBeGreaterThan(before.calls.reduce((sum, [, kept]) => sum + kept, 0));
  await page.locator('.conversation').hover();
  await page.getByRole('button', { name: /^Options for/ }).click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await soon(async () => (await savedStates(page)).length).toBe(0);
  await hide(page);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  expect(await savedStates(page)).toEqual([]);
});
