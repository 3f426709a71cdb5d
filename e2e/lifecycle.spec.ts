// @module-tag chromium
// @module-tag webkit
/**
 * Pages that are hidden, frozen or ended by the browser, in a Chromium with a window: headless pages are always visible
 * and never slowed down. The window needs Xvfb, which comes with the parts for WebKit. Puppeteer opens pages as tabs of
 * one window; Playwright tells each that it is in front.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import puppeteer, { type Browser, type BrowserContext, type CDPSession, type Page } from 'puppeteer-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startDisplay } from './display';
import { chromiumArgs, findChromium, serve, type Served } from './harness';
import { createHub, modelBytes, sha256Of, type Hub } from './hub';
import type { StoreWindow } from './pages/store';
import { serveSite, type Site } from './site';
import { createSlowHub, SLOW_SETTINGS, slowAddress } from './slow_model';
import { findWebKit } from './system';

const MB = 1 << 20;
const REPO = 'Org/Model-GGUF';
const OTHER = 'Org/Other-GGUF';
const THROTTLING_OFF = [
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
];

let screen: ChildProcess;
let browser: Browser;
beforeAll(async () => {
  const { display, process: server } = await startDisplay(findWebKit()!.display);
  screen = server;
  browser = await puppeteer.launch({
    executablePath: findChromium(),
    headless: false,
    ignoreDefaultArgs: THROTTLING_OFF,
    args: chromiumArgs({ args: ['--disable-gpu'] }),
    env: { ...process.env, DISPLAY: display },
    protocolTimeout: 300_000,
  });
});
afterAll(async () => {
  await browser?.close();
  screen?.kill();
  if (screen && screen.exitCode === null && screen.signalCode === null) await once(screen, 'exit');
});

const pause = (ms: number): Promise<void> => new Promise((go) => setTimeout(go, ms));

async function tab(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  page.setDefaultTimeout(120_000);
  page.on('pageerror', (error) => console.error(`page: ${String(error)}`));
  await page.goto(url);
  return page;
}

/** Puts another tab in front. */
async function hide(page: Page): Promise<void> {
  await (await page.browserContext().newPage()).bringToFront();
  await page.waitForFunction(() => document.hidden, { polling: 100 });
}

async function freeze(page: Page): Promise<CDPSession> {
  await hide(page);
  const session = await page.createCDPSession();
  await session.send('Page.setWebLifecycleState', { state: 'frozen' });
  return session;
}

const resume = (session: CDPSession): Promise<void> => session.send('Page.setWebLifecycleState', { state: 'active' });

describe('a frozen tab that holds the locks of a model', () => {
  const bytes = modelBytes(24 * MB, 11);
  const hash = sha256Of(bytes);
  let served: Served;
  beforeAll(async () => void (served = await serve()));
  afterAll(() => served?.close());

  type Store = StoreWindow['store'];
  const call = <K extends keyof Store>(
    page: Page,
    name: K,
    ...parameters: Parameters<Store[K]>
  ): Promise<Awaited<ReturnType<Store[K]>>> =>
    page.evaluate(
      (name, parameters) =>
        (window as never as { store: Record<string, (...p: unknown[]) => unknown> }).store[name](...parameters),
      name as string,
      parameters as unknown[],
    ) as never;
  /** The id of the model, as soon as a part of it is stored. */
  const idOf = async (page: Page): Promise<string> => {
    for (;;) {
      const { models } = (await call(page, 'list')) as { models: { id: string }[] };
      if (models.length) return models[0].id;
      await pause(50);
    }
  };

  interface Visit {
    options: object;
    tab(): Promise<Page>;
    /** A tab that is frozen when it has downloaded a part. */
    frozen(): Promise<{ session: CDPSession; load: Promise<unknown> }>;
  }

  /** With a hub and a profile of its own: the tests wait most of the time, so they run at the same time. */
  const visit = (run: (visit: Visit) => Promise<void>) => async (): Promise<void> => {
    const hub = await createHub({
      repos: { [REPO]: { 'Model-Q4_0.gguf': bytes }, [OTHER]: { 'Other-Q4_0.gguf': modelBytes(2 * MB, 12) } },
    });
    const context = await browser.createBrowserContext();
    const options = { hub: hub.origin, policy: { backoff: 20, chunkBytes: MB } };
    const storeTab = async (): Promise<Page> => {
      const page = await tab(context, `${served.origin}/e2e/pages/store.html`);
      await page.waitForFunction(() => 'store' in window);
      return page;
    };
    const frozen = async (): Promise<{ session: CDPSession; load: Promise<unknown> }> => {
      hub.options.pace = 50;
      const page = await storeTab();
      const load = call(page, 'inWorker', REPO, options);
      while (hub.sent() < 4 * MB) await pause(20);
      const session = await freeze(page);
      hub.options.pace = 0;
      return { session, load };
    };
    try {
      await run({ options, tab: storeTab, frozen });
    } finally {
      await context.close();
      await hub.close();
    }
  };

  // alone: the transfer itself is timed, too
  test(
    'delays the same download in another tab by at most 10 s, and ends its own when it resumes',
    visit(async ({ options, tab, frozen }) => {
      const first = await frozen();
      const second = await tab();
      const start = performance.now();
      expect(await call(second, 'inWorker', REPO, options)).toMatchObject({ hashes: [hash], notes: [] });
      const waited = (performance.now() - start) / 1000;
      expect(waited).toBeGreaterThan(6); // the first tab did stand still
      expect(waited).toBeLessThan(12); // with the transfer itself
      await resume(first.session);
      expect(await first.load).toMatchObject({ hashes: [hash] });
      expect(await call(second, 'list')).toMatchObject({ models: [{ complete: true }] });
      expect(await call(second, 'verify', await idOf(second))).toMatchObject({ ok: true });
    }),
  );

  // Chromium aborts a transaction that nobody ends after a minute
  test(
    'delays no download of another model, also when it was reading',
    visit(async ({ options, tab }) => {
      const [first, second] = [await tab(), await tab()];
      expect(await call(first, 'inWorker', REPO, options)).toMatchObject({ hashes: [hash] });
      const id = await idOf(first);
      await first.evaluate((model) => {
        const { store } = window as unknown as StoreWindow;
        const read = (): Promise<void> => store.verify(model).then(read);
        for (let i = 0; i < 3; i++) void read();
      }, id);
      for (let round = 0; round < 6; round++) {
        const session = await freeze(first);
        await second.bringToFront();
        const start = performance.now();
        expect(await call(second, 'inWorker', OTHER, options)).toMatchObject({ notes: [] });
        expect(performance.now() - start).toBeLessThan(10_000);
        const other = ((await call(second, 'list')) as { models: { id: string }[] }).models.find(
          (model) => model.id !== id,
        )!;
        expect(await call(second, 'remove', other.id)).toHaveProperty('at');
        await resume(session);
        await first.bringToFront();
        await pause(300);
      }
    }),
  );

  test.concurrent(
    'delays a deletion by at most 10 s',
    visit(async ({ tab, frozen }) => {
      const first = await frozen();
      const second = await tab();
      const id = await idOf(second);
      const start = performance.now();
      expect(await call(second, 'remove', id)).toHaveProperty('at');
      const waited = (performance.now() - start) / 1000;
      expect(waited).toBeGreaterThan(6);
      expect(waited).toBeLessThan(10);
      await resume(first.session);
      expect(await first.load).toMatchObject({ hashes: [hash] });
    }),
  );

  test.concurrent(
    'a lock whose holder is alive is never broken',
    visit(async ({ options, tab }) => {
      const [first, second] = [await tab(), await tab()];
      const open = call(first, 'keepOpen', REPO, options, 12_000);
      const removed = call(second, 'remove', await idOf(second));
      const { closed } = (await open) as { closed: number };
      expect(((await removed) as { at: number }).at).toBeGreaterThanOrEqual(closed);
    }),
  );
});

describe('an answer', () => {
  let site: Site;
  let hub: Hub;
  let context: BrowserContext;
  beforeAll(async () => {
    site = await serveSite();
    hub = await createSlowHub();
  });
  afterAll(async () => {
    await site?.close();
    await hub?.close();
  });
  beforeEach(async () => void (context = await browser.createBrowserContext()));
  afterEach(() => context.close());

  const length = (page: Page): Promise<number> =>
    page.evaluate(() => document.querySelector('#messages .assistant:last-child .body')?.textContent?.length ?? 0);
  const foot = (page: Page): Promise<string | null> =>
    page.$eval('#messages .assistant:last-child .foot', ({ textContent }) => textContent);
  const ended = (page: Page): Promise<unknown> =>
    page.waitForFunction(() => document.querySelector<HTMLElement>('#stop')?.hidden, { polling: 100 });
  const failed = (page: Page): Promise<boolean> =>
    page.evaluate(() => document.querySelector<HTMLElement>('#error')?.hidden === false);
  const ready = (page: Page): Promise<unknown> =>
    page.waitForFunction(() => document.querySelector('#about:not([hidden])'), { polling: 100 });

  async function startAnswer(): Promise<Page> {
    const page = await context.newPage();
    page.setDefaultTimeout(120_000);
    await page.evaluateOnNewDocument((settings) => (localStorage['rivulet-chat.settings'] ??= settings), SLOW_SETTINGS);
    await page.goto(slowAddress(site, hub));
    await ready(page);
    await page.type('#prompt', 'Go on.');
    await page.keyboard.press('Enter');
    await page.waitForFunction(
      () => (document.querySelector('#messages .assistant:last-child .body')?.textContent?.length ?? 0) > 5,
      { polling: 50 },
    );
    return page;
  }

  test('stands still in a frozen page and goes on when it resumes', async () => {
    const page = await startAnswer();
    const session = await freeze(page);
    await pause(2000);
    await resume(session);
    const before = await length(page);
    await page.waitForFunction(
      (n) =>
        (document.querySelector('#messages .assistant:last-child .body')?.textContent?.length ?? 0) > n ||
        document.querySelector<HTMLElement>('#stop')?.hidden,
      { polling: 100 },
      before,
    );
    expect(await failed(page)).toBe(false);
  });

  test('goes on in a hidden tab', async () => {
    const page = await startAnswer();
    await hide(page);
    expect(await page.evaluate(() => document.querySelector<HTMLElement>('#stop')?.hidden)).toBe(false);
    await ended(page);
    expect(await page.evaluate(() => document.hidden)).toBe(true);
    expect(await foot(page)).toMatch(/tokens/);
    expect(await failed(page)).toBe(false);
  });

  test('of a page that the browser ends while it is frozen is there at the next visit, as far as it came', async () => {
    const page = await startAnswer();
    const session = await freeze(page);
    const crashed = new Promise((resolve) => page.once('error', resolve));
    void session.send('Page.crash').catch(() => undefined);
    await crashed;
    const again = await tab(context, slowAddress(site, hub));
    await ready(again);
    expect(await length(again)).toBeGreaterThan(0);
    expect(await foot(again)).toContain('interrupted');
  });
});
