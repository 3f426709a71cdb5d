/** What the tests of the chat page do with it. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { BrowserContext, Locator, Page } from 'playwright';
import { expect } from 'vitest';

export const PATIENCE = 120_000;
/** short replies, until a test saves other settings */
export const BRIEF = `localStorage['rivulet-chat.settings'] ??= '{"backend":"auto","maxTokens":24}'`;

/** A page that has finished loading the model. */
export async function visitPage(address: string, context: BrowserContext): Promise<Page> {
  const page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && console.error(`page: ${message.text()}`));
  page.on('pageerror', (error) => console.error(`page: ${error.stack ?? error}`));
  await page.goto(address);
  await ready(page);
  return page;
}

export async function ready(page: Page): Promise<void> {
  await page.waitForSelector('#about:visible, #error:visible', { timeout: PATIENCE });
  expect(await page.locator('#error:visible').allInnerTexts()).toEqual([]);
}

/** The messages of the conversation, not the line between them. */
export const message = (page: Page, place: number): Locator => page.locator('#messages > li:not(.not-read)').nth(place);
export const requests = (page: Page): Promise<string[]> => page.locator('#messages .user .body').allInnerTexts();
export const replies = (page: Page): Promise<string[]> => page.locator('#messages .assistant .body').allInnerTexts();
export const finished = (page: Page, count: number): Promise<unknown> =>
  page.waitForFunction((n) => document.querySelectorAll('#messages .assistant:not([aria-busy]) .foot .copy').length === n, count, { timeout: PATIENCE });

/** Sends a message, and waits for the whole reply. */
export async function ask(page: Page, message: string): Promise<void> {
  const before = await page.locator('#messages .assistant:not(.failed)').count();
  await page.fill('#prompt', message);
  await page.press('#prompt', 'Enter');
  await finished(page, before + 1);
}

export async function newChat(page: Page): Promise<void> {
  await page.click('#new-chat');
  await page.waitForFunction(() => document.querySelectorAll('#messages li').length === 0);
}

export async function saveSettings(page: Page, fields: Record<string, number>): Promise<void> {
  await page.click('#open-settings');
  for (const [name, value] of Object.entries(fields)) await page.fill(`#settings [name=${name}]`, String(value));
  await page.click('#settings [value=save]');
}

export const loadAxe = (page: Page): Promise<unknown> => page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));

/** What the accessibility checker objects to, on the whole page or inside one element. */
export const objections = (page: Page, inside?: string): Promise<string[]> =>
  page.evaluate(async (selector) => {
    const { axe } = window as unknown as { axe: { run(context: string | Document): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } };
    const { violations } = await axe.run(selector ?? document);
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  }, inside);
