// @module-tag chromium
/**
 * Any repository of a hub by its name: the built chat page lists its GGUF files, and one is picked. A local hub stands
 * for Hugging Face.
 */
import type { Locator, Page } from 'playwright';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ask, BRIEF, loadAxe, objections, PATIENCE, testChat } from './chat_page';
import { createHub, requested, type Hub } from './hub';
import { tinyGguf } from './tools/tiny';

const large = tinyGguf({ seed: 2 });
const small = tinyGguf({ seed: 2, dtype: 'Q8_0' });

const chat = testChat({ viewport: { width: 1100, height: 800 }, scripts: [BRIEF] });
let hub: Hub;
beforeEach(async () => {
  hub = await createHub({
    repos: {
      'someone/LFM2-mine-GGUF': {
        'README.md': new TextEncoder().encode('# mine'),
        'mine-Q8_0.gguf': large,
        'mine-Q4_0.gguf': small,
        'more/mine-v2-Q4_0.gguf': large,
        'mine-IQ2_XXS.gguf': small,
      },
      'someone/alone': { 'alone-Q8_0.gguf': large },
    },
  });
});
afterEach(() => hub.close());

const visit = (): Promise<Page> => chat.visit(`?backend=wasm&hub=${encodeURIComponent(hub.origin)}`);
const line = (page: Page, name: string): Locator => page.locator('#address-files li', { hasText: name });

async function enter(page: Page, text: string): Promise<void> {
  if (!(await page.isVisible('#models'))) await page.click('#choose');
  await page.fill('#address', text);
  await page.press('#address', 'Enter');
}

test('the files are listed with size and quantisation, the one that fits best is marked, and the chosen one answers', async () => {
  const page = await visit();
  await enter(page, 'someone/LFM2-mine-GGUF');
  await page.waitForSelector('#repo-files');
  expect(await page.innerText('#repo-files')).toBe('someone/LFM2-mine-GGUF has 4 files. Choose one:');
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('repo-files');
  expect((await page.locator('#address-files h5').allInnerTexts()).sort()).toEqual(['IQ2_XXS', 'Q4_0', 'Q4_0', 'Q8_0']);
  expect(await page.locator('#address-files .best').allInnerTexts()).toEqual(['Recommended for this device']);
  expect(await page.locator('#address-files li:has(.best)').innerText()).toMatch(/Q8_0|v2/);
  expect(await line(page, 'IQ2_XXS').innerText()).toContain('This page cannot run IQ2_XXS files.');
  expect(await line(page, 'IQ2_XXS').locator('button').count()).toBe(0);
  expect(await line(page, 'Q8_0').locator('.size').innerText()).toMatch(/^[\d.]+\s[KM]B$/);
  // nothing but the list was asked for
  expect(hub.log.map(({ kind }) => kind)).toEqual(['api']);
  await loadAxe(page);
  expect(await objections(page)).toEqual([]);
  for (const width of [320, 390]) {
    await page.setViewportSize({ width, height: 800 });
    expect(
      await page.evaluate(
        () => document.querySelector('#models')!.scrollWidth - document.querySelector('#models')!.clientWidth,
      ),
    ).toBe(0);
  }
  await page.setViewportSize({ width: 1100, height: 800 });

  await line(page, 'Q8_0')
    .getByRole('button', { name: /^Measure speed/ })
    .click();
  await line(page, 'Q8_0').locator('.result:has-text("Fits on this device:")').waitFor({ timeout: PATIENCE });
  const from = hub.log.length;
  await line(page, 'more/mine-v2')
    .getByRole('button', { name: /^Download/ })
    .click();
  const card = page.locator('#models-kept .model', { hasText: 'mine-v2-Q4_0.gguf' });
  await card.getByRole('button', { name: /^Use/ }).click({ timeout: PATIENCE });
  await page.waitForFunction(
    () => document.querySelector('#model-name')?.textContent === 'mine-v2-Q4_0.gguf',
    undefined,
    { timeout: PATIENCE },
  );
  expect(requested(hub, from)).toBeGreaterThanOrEqual(large.length);
  await ask(page, 'Hello!');
  // the download has one line, and it is gone
  expect(await page.locator('#downloads li').count()).toBe(0);
});

test('an address of the hub names a repository, too; another entry takes the list away', async () => {
  const page = await visit();
  await enter(page, `${hub.origin}/someone/LFM2-mine-GGUF/tree/main`);
  await page.waitForSelector('#repo-files');
  await enter(page, 'someone/missing');
  await page.waitForSelector('#models-problem:has-text("missing cannot be downloaded")');
  expect(await page.locator('#address-files').innerText()).toBe('');
  expect(await page.innerText('#address-estimate')).toBe('');
});

test('one file needs no choice', async () => {
  const page = await visit();
  await enter(page, 'someone/alone');
  await page
    .locator('#models-kept .model', { hasText: 'alone-Q8_0.gguf' })
    .getByRole('button', { name: /^Use/ })
    .waitFor({ timeout: PATIENCE });
  expect(await page.locator('#address-files').innerText()).toBe('');
});

test('a model of another kind is named before anything is downloaded', async () => {
  await chat.context.route(`${hub.origin}/api/models/someone/LFM2-mine-GGUF/**`, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), gguf: { architecture: 'qwen3', total: 1 } } });
  });
  const page = await visit();
  await enter(page, 'someone/LFM2-mine-GGUF');
  await page.waitForSelector('#address-files [role=alert]');
  expect(await page.innerText('#address-files')).toBe(
    'someone/LFM2-mine-GGUF is a model of the kind “qwen3”. This page runs LFM2, LFM2.5 and LFM3 models.',
  );
});

test('after a first visit the side bar says what is stored', async () => {
  const page = await visit();
  await page.waitForFunction(
    () => /^[1-9][\d.]*\sMB stored/.test(document.querySelector('#storage-line')?.textContent ?? ''),
    undefined,
    { timeout: PATIENCE },
  );
});
