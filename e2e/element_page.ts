/**
 * What the tests of <rivulet-chat> need: a plain static host with the built scripts and the demo model, and a page for
 * each test.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContext, Locator, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { RivuletChat } from '../src/element/rivulet_chat';
import { launchChromium } from './harness';
import { BUILT_SITE, serveSite, type Site } from './site';

export const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
export const POLICY = /default-src 'none'; .*/.exec(read('docs/element.md'))![0];
export const MODEL = './models/rivulet-tiny.gguf';
export const TIMER = {
  name: 'set_timer',
  description: 'Start a countdown timer',
  parameters: { type: 'object' as const, properties: { minutes: { type: 'integer' } }, required: ['minutes'] },
};

export const htmlPage = (body: string, head = ''): string =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Test</title><link rel="icon" href="data:,">${head}</head><body><main>${body}</main></body></html>`;

export interface OpenOptions {
  policy?: string;
  head?: string;
}

export interface ElementTests {
  /** the folder that the host serves: the scripts, the models, and pages of the tests */
  readonly folder: string;
  readonly site: Site;
  readonly browser: Browser;
  /** the profile of the test that runs, and its page */
  readonly context: BrowserContext;
  readonly page: Page;
  /** errors of the page and in its console */
  readonly problems: string[];
  /** addresses asked for */
  readonly asked: string[];
  /** Opens a page of this body beside the scripts, under the policy of docs/element.md. */
  open(body: string, options?: OpenOptions): Promise<void>;
  chat(selector?: string): Locator;
  /** Sends a message and waits for the words of the answer. */
  send(text: string, selector?: string): Promise<string>;
}

/** For the tests of a file: one host and one browser, and a new profile for each test. */
export function testElement(): ElementTests {
  const folder = mkdtempSync(join(tmpdir(), 'rivulet-element-'));
  let browser: Browser;
  let site: Site;
  let context: BrowserContext;
  let page: Page;
  let problems: string[];
  let asked: string[];
  beforeAll(async () => {
    for (const name of ['index.html', 'element.html', 'rivulet.js', 'rivulet-element.js', 'models'])
      cpSync(join(BUILT_SITE, name), join(folder, name), { recursive: true });
    for (const name of ['rivulet.mjs', 'rivulet-element.mjs']) cpSync(join(BUILT_SITE, '..', name), join(folder, name));
    browser = await launchChromium();
    site = await serveSite({ base: '/some/where/', isolated: false, root: folder });
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    context = await browser.newContext();
    page = await context.newPage();
    problems = [];
    asked = [];
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    context.on('request', (request) => void (/^(?:blob|data):/.test(request.url()) || asked.push(request.url())));
  });
  afterEach(() => context.close());

  const chat = (selector = 'rivulet-chat'): Locator => page.locator(selector);
  return {
    folder,
    get site() {
      return site;
    },
    get browser() {
      return browser;
    },
    get context() {
      return context;
    },
    get page() {
      return page;
    },
    get problems() {
      return problems;
    },
    get asked() {
      return asked;
    },
    async open(body, { policy = POLICY, head = '<script src="rivulet-element.js"></script>' } = {}) {
      writeFileSync(
        join(folder, 'test.html'),
        htmlPage(body, `<meta http-equiv="Content-Security-Policy" content="${policy}; img-src data:">${head}`),
      );
      await page.goto(`${site.url}test.html`);
      await page.waitForFunction(() => customElements.get('rivulet-chat'));
    },
    chat,
    send: (text, selector) => chat(selector).evaluate((element, words) => (element as RivuletChat).send(words), text),
  };
}
