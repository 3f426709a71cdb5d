/** What the tests of the chat page do with it. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { BrowserContext, Page } from 'playwright';
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

export const loadAxe = (page: Page): Promise<unknown> => page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));

/** What the accessibility checker objects to. */
export const objections = (page: Page): Promise<string[]> =>
  page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } };
    const { violations } = await axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  });
