/** What the tests of the chat page do with it. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, BrowserContext, Locator, Page, ViewportSize } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { PAGE_TOOLS } from '../demo/chat/tools/index';
import { launchChromium, type LaunchOptions } from './harness';
import { serveSite, type Site } from './site';

export const PATIENCE = 240_000;
/** for what a page does at once, on a slow machine with other work */
const SOON = 30_000;
/** short replies, until a test saves other settings */
export const BRIEF = `localStorage['rivulet-chat.settings'] ??= '{"backend":"auto","maxTokens":24}'`;
/**
 * for the settings of tests that are not about tools: without their definitions, each prompt is some hundred tokens
 * shorter
 */
export const NO_TOOLS = { off: PAGE_TOOLS.map(({ definition }) => definition.name) };

export interface ChatTests {
  readonly site: Site;
  readonly browser: Browser;
  /** the profile of the test that runs */
  readonly context: BrowserContext;
  /** The page in a new tab, when it has loaded the model. */
  visit(query?: string, viewport?: ViewportSize): Promise<Page>;
}

export interface ChatTestOptions {
  viewport?: ViewportSize;
  /** scripts that run before those of the page */
  scripts?: string[];
  launch?: LaunchOptions;
}

/** For the tests of a file or of a `describe`: one site and one browser, and a new profile for each test. */
export function testChat({
  viewport = { width: 1280, height: 800 },
  scripts = [],
  launch,
}: ChatTestOptions = {}): ChatTests {
  let site: Site;
  let browser: Browser;
  let context: BrowserContext;
  beforeAll(async () => {
    [site, browser] = await Promise.all([serveSite(), launchChromium(launch)]);
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });
  beforeEach(async () => {
    site.asked.length = 0;
    site.refuse = undefined;
    context = await browser.newContext({ viewport });
    context.setDefaultTimeout(PATIENCE);
    for (const script of scripts) await context.addInitScript(script);
  });
  afterEach(() => context.close());
  return {
    get site() {
      return site;
    },
    get browser() {
      return browser;
    },
    get context() {
      return context;
    },
    visit: (query = '?backend=wasm', size) => visitPage(site.url + query, context, size),
  };
}

/** Holds a Web Lock as long as the page is open. */
export const holdLock = (page: Page, name: string): Promise<void> =>
  page.evaluate(
    (lock) =>
      new Promise<void>((held) => {
        void navigator.locks.request(lock, { mode: 'shared' }, () => (held(), new Promise(() => undefined)));
      }),
    name,
  );

/** A page that has finished loading the model. */
export async function visitPage(address: string, context: BrowserContext, viewport?: ViewportSize): Promise<Page> {
  const page = await context.newPage();
  if (viewport) await page.setViewportSize(viewport);
  page.on('console', (message) => message.type() === 'error' && console.error(`page: ${message.text()}`));
  page.on('pageerror', (error) => console.error(`page: ${error.stack ?? error}`));
  await page.goto(address);
  await ready(page);
  return page;
}

export async function ready(page: Page): Promise<void> {
  await page.waitForSelector('#about:visible, #error:visible', { timeout: PATIENCE });
  expect(await page.locator('#error:visible').allInnerTexts()).toEqual([]);
  // a long conversation is drawn little by little
  await page.waitForFunction(() => !document.querySelector('#messages.drawing'), undefined, { timeout: PATIENCE });
}

/** The messages of the conversation, not the line between them. */
export const message = (page: Page, place: number): Locator => page.locator('#messages > li:not(.not-read)').nth(place);
export const requests = (page: Page): Promise<string[]> => page.locator('#messages .user .body').allInnerTexts();
export const replies = (page: Page): Promise<string[]> => page.locator('#messages .assistant .body').allInnerTexts();
export const finished = (page: Page, count: number): Promise<unknown> =>
  page.waitForFunction(
    (n) => document.querySelectorAll('#messages .assistant:not([aria-busy]) .foot .copy').length === n,
    count,
    { timeout: PATIENCE },
  );

/** Sends a message, and waits for the whole reply. */
export async function ask(page: Page, message: string): Promise<void> {
  const before = await page.locator('#messages .assistant:not(.failed)').count();
  await page.fill('#prompt', message);
  await page.press('#prompt', 'Enter');
  await finished(page, before + 1);
}

/**
 * Sends a message, and stops the reply to it as soon as there is something to stop.
 * @returns whether the reply was stopped: it may have ended by itself, and one that has no word yet is taken out
 */
export async function askAndStop(page: Page, message: string): Promise<boolean> {
  const [copies, stopped] = [
    page.locator('#messages .assistant .copy'),
    page.locator('#messages .figures', { hasText: /stopped$/ }),
  ];
  const [before, stoppedBefore] = [await copies.count(), await stopped.count()];
  await page.fill('#prompt', message);
  await page.press('#prompt', 'Enter');
  await page.waitForFunction(
    (n) =>
      document.querySelector('#messages .assistant[aria-busy] .body')?.textContent ||
      document.querySelectorAll('#messages .assistant .copy').length > n,
    before,
    { timeout: PATIENCE },
  );
  // it may just have ended
  if (await page.isVisible('#stop')) await page.click('#stop', { timeout: 5000 }).catch(() => undefined);
  await page.waitForSelector('#stop', { state: 'hidden', timeout: PATIENCE });
  return (await stopped.count()) > stoppedBefore;
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

/** Expects something of the page, which may take a moment: reads until it is as expected. */
export const soon = <T>(read: () => T | Promise<T>): ReturnType<typeof expect.poll<T>> =>
  expect.poll(read, { timeout: SOON });

/** the accessibility checker, as a script */
export const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
export const loadAxe = (page: Page): Promise<unknown> => page.evaluate(AXE);

/**
 * What the accessibility checker objects to, on the whole page or inside one element. It reads colours, so changes of
 * colour have ended first.
 */
export const objections = (page: Page, inside?: string): Promise<string[]> =>
  page.evaluate(async (selector) => {
    const { axe } = window as unknown as {
      axe: { run(context: string | Document): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
    };
    const changing = document.getAnimations().filter(({ effect }) => effect?.getComputedTiming().endTime !== Infinity);
    await Promise.allSettled(changing.map(({ finished }) => finished));
    const { violations } = await axe.run(selector ?? document);
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  }, inside);
