// @module-tag chromium
/** Colours and text size in the settings of the built chat page. */
import type { Page } from 'playwright';
import { expect, test } from 'vitest';
import { ask, loadAxe, objections, ready, saveSettings, soon, testChat } from './chat_page';

const chat = testChat({ viewport: { width: 390, height: 844 } });

const ground = (page: Page): Promise<string> =>
  page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
const select = (page: Page, name: string) => page.getByRole('combobox', { name });

async function openSettings(page: Page): Promise<void> {
  await page.click('#open-settings');
  await page.waitForSelector('#settings-appearance select');
}

test('colours and text size are changed at once, kept over a reload, and follow the tools', async () => {
  const page = await chat.visit();
  await openSettings(page);
  const light = await ground(page);
  await select(page, 'Colours').selectOption('Dark');
  await page.waitForFunction(() => document.documentElement.classList.contains('theme-dark'));
  expect(await ground(page)).not.toBe(light);
  await select(page, 'Text size').selectOption('125\u00a0%');
  expect(await page.evaluate(() => getComputedStyle(document.documentElement).fontSize)).toBe('20px');
  await page.getByRole('slider', { name: 'Volume' }).fill('30');
  await loadAxe(page);
  expect(await objections(page, '#settings')).toEqual([]);
  // nothing to save: the dialog closes without a question
  await page.keyboard.press('Escape');
  expect(await page.locator('.question').count()).toBe(0);
  await page.reload();
  await ready(page);
  expect(await page.evaluate(() => document.documentElement.className)).toContain('theme-dark');

  await ask(page, 'Zoom to 130 percent');
  await openSettings(page);
  expect(await select(page, 'Text size').inputValue()).toBe('130');
  expect(await select(page, 'Colours').inputValue()).toBe('dark');
  expect(await page.getByRole('slider', { name: 'Volume' }).inputValue()).toBe('30');
  await select(page, 'Colours').selectOption('System');
  await page.waitForFunction(() => !/theme/.test(document.documentElement.className));
});

test('the speed of replies can be hidden, at once and for good; how a reply ended stays', async () => {
  const page = await chat.visit();
  await saveSettings(page, { maxTokens: 3 });
  await ask(page, 'Who are you?');
  const told = page.locator('#messages .figures');
  const end = 'stopped at the length limit';
  await soon(() => told.innerText()).toMatch(
    /^3 tokens · [\d.,]+\stok\/s · .* to first token · stopped at the length limit$/,
  );
  await openSettings(page);
  await page.getByLabel('Show the speed of replies').uncheck();
  await soon(() => told.innerText()).toBe(end);
  // nothing to save
  await page.keyboard.press('Escape');
  expect(await page.locator('.question').count()).toBe(0);
  await page.reload();
  await ready(page);
  await soon(() => told.innerText()).toBe(end);
  await openSettings(page);
  await soon(() => page.getByLabel('Show the speed of replies').isChecked()).toBe(false);
  await page.getByLabel('Show the speed of replies').check();
  await soon(() => told.innerText()).toMatch(/^3 tokens/);
});
