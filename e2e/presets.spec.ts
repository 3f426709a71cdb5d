// @module-tag chromium
/** The presets of the system prompt, in the built chat page. */
import type { Locator, Page } from 'playwright';
import { expect, test } from 'vitest';
import { loadAxe, objections, ready, testChat } from './chat_page';

const chat = testChat({ viewport: { width: 1100, height: 800 } });

const visit = (): Promise<Page> => chat.visit();
const button = (page: Page, name: string): Locator =>
  page.locator('#presets').getByRole('button', { name, exact: true });
const options = (page: Page): Promise<string[]> => page.locator('#preset option').allInnerTexts();
const kept = (page: Page, name: string): Promise<unknown> =>
  page.evaluate((key) => JSON.parse(localStorage[`rivulet-chat.${key}`] ?? 'null'), name);
const BUILT_IN = ['Concise', 'Friendly', 'Explain simply', 'Editor', 'Translator'];

async function openSettings(page: Page): Promise<void> {
  await page.click('#open-settings');
  await page.waitForSelector('#preset');
}

async function save(page: Page, name: string): Promise<void> {
  await button(page, 'Save as a preset').click();
  await page.fill('#preset-name', name);
  await page.press('#preset-name', 'Enter');
}

test('a preset is chosen by name, and becomes the system prompt when the settings are saved', async () => {
  const page = await visit();
  await openSettings(page);
  expect(await options(page)).toEqual(['None', ...BUILT_IN]);
  await page.selectOption('#preset', 'Editor');
  expect(await page.inputValue('#system')).toMatch(/^Correct the spelling/);
  await page.fill('#system', 'My own words.');
  expect(await page.inputValue('#preset')).toBe('');
  await page.selectOption('#preset', 'Concise');
  // what was written is not lost
  await page.selectOption('#preset', { label: 'The text above' });
  expect(await page.inputValue('#system')).toBe('My own words.');
  await page.selectOption('#preset', 'Translator');
  await page.click('#settings [value=save]');
  expect(await kept(page, 'settings')).toMatchObject({ system: expect.stringMatching(/^Translate each text/) });
  await page.reload();
  await ready(page);
  await openSettings(page);
  expect(await page.inputValue('#preset')).toBe('Translator');
  await page.click('#settings-reset');
  expect([await page.inputValue('#preset'), await page.inputValue('#system')]).toEqual(['', '']);
});

test('own presets are saved, renamed, deleted and taken back, over a reload and in another tab', async () => {
  const page = await visit();
  await openSettings(page);
  await page.fill('#system', 'You are a chef. Give recipes.');
  await save(page, 'concise');
  expect(await page.innerText('#presets .problem')).toBe('“concise” is a preset of the page. Choose another name.');
  await page.fill('#preset-name', '  Chef  ');
  await button(page, 'Save the preset').click();
  expect(await options(page)).toEqual(['None', ...BUILT_IN, 'Chef']);
  expect(await page.inputValue('#preset')).toBe('Chef');
  // the dialog is still open, and Escape in the field of the name closes the field alone
  await button(page, 'Rename').click();
  await page.press('#preset-name', 'Escape');
  expect([await page.isVisible('#settings'), await page.isVisible('#preset-name')]).toEqual([true, false]);
  await button(page, 'Rename').click();
  await page.fill('#preset-name', 'Head chef');
  await page.press('#preset-name', 'Enter');
  expect(await kept(page, 'presets')).toEqual([{ name: 'Head chef', text: 'You are a chef. Give recipes.' }]);

  const other = await visit();
  await openSettings(other);
  await other.fill('#system', 'Write poems.');
  await save(other, 'Poet');
  await other.close();
  await page.click('#settings [value=save]');
  await page.reload();
  await ready(page);
  await openSettings(page);
  expect(await options(page)).toEqual(['None', ...BUILT_IN, 'Head chef', 'Poet']);
  expect(await page.inputValue('#preset')).toBe('Head chef');
  await loadAxe(page);
  expect(await objections(page)).toEqual([]);

  await button(page, 'Delete').click();
  expect(await options(page)).toEqual(['The text above', ...BUILT_IN, 'Poet']);
  await page.click('#toast button:has-text("Undo")');
  expect(await page.inputValue('#preset')).toBe('Head chef');
  await button(page, 'Delete').click();
  await page.reload();
  await ready(page);
  await openSettings(page);
  expect(await options(page)).toEqual(['The text above', ...BUILT_IN, 'Poet']);
});

test('hostile storage gives the presets of the page, and storage that is blocked is told', async () => {
  await chat.context.addInitScript(() => {
    localStorage['rivulet-chat.presets'] ??= JSON.stringify([
      { name: '<img src=x onerror=alert(1)>', text: 'x' },
      { name: 'Concise', text: 'Lie.' },
      7,
      { name: ['a'], text: 'b' },
    ]);
  });
  const page = await visit();
  await openSettings(page);
  expect(await options(page)).toEqual(['None', ...BUILT_IN, '<img src=x onerror=alert(1)>']);
  expect(await page.locator('#presets img').count()).toBe(0);
  await page.evaluate(() => {
    Storage.prototype.setItem = () => {
      throw new DOMException('full', 'QuotaExceededError');
    };
  });
  await page.fill('#system', 'Something new.');
  await save(page, 'New');
  expect(await page.innerText('#presets .problem')).toBe(
    'This cannot be saved. The browser’s storage is full or blocked.',
  );
});

test('by keyboard, on a phone', async () => {
  const page = await visit();
  await page.setViewportSize({ width: 390, height: 844 });
  await openSettings(page);
  await page.focus('#system');
  await page.keyboard.press('Tab');
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('preset');
  await page.keyboard.type('Fri');
  expect(await page.inputValue('#system')).toMatch(/^Be warm/);
  const { right, inner } = await page.evaluate(() => ({
    right: Math.max(...[...document.querySelectorAll('#presets *')].map((each) => each.getBoundingClientRect().right)),
    inner: document.querySelector('#settings')!.clientWidth,
  }));
  expect(right).toBeLessThanOrEqual(inner);
});
