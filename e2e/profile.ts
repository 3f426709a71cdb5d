/**
 * A Chromium with a profile on disk, in its own process group: it can be killed as a power cut would, and started again
 * on what it left.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright';
import { chromiumArgs, findChromium } from './harness';
import type { StoreWindow } from './pages/store';

export interface Profile {
  /** A new tab on the page, in a browser that is started if none runs */
  tab(origin: string): Promise<StorePage>;
  /** SIGKILL to every process of the browser */
  kill(): Promise<void>;
  /** ends the browser and deletes the profile */
  remove(): Promise<void>;
}

export interface StorePage {
  page: Page;
  /** Calls a function of e2e/pages/store_calls.ts */
  call<K extends keyof StoreWindow['store']>(
    name: K,
    ...parameters: Parameters<StoreWindow['store'][K]>
  ): ReturnType<StoreWindow['store'][K]>;
}

export function createProfile(args: string[] = []): Profile {
  const directory = mkdtempSync(join(tmpdir(), 'rivulet-profile-'));
  let running: { process: ChildProcess; browser: Browser; gone: Promise<void> } | undefined;

  const start = async (): Promise<Browser> => {
    const options = [
      ...chromiumArgs({ args }),
      '--headless=new',
      '--remote-debugging-port=0',
      `--user-data-dir=${directory}`,
      'about:blank',
    ];
    const child = spawn(findChromium(), options, { detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const address = await new Promise<string>((resolve, reject) => {
      let text = '';
      child.stderr!.on('data', (data: Buffer) => {
        text += data.toString();
        const [, found] = /DevTools listening on (ws:\S+)/.exec(text) ?? [];
        if (found) resolve(found);
      });
      child.once('exit', (code) => reject(new Error(`Chromium ended with ${code}: ${text.slice(-500)}`)));
    });
    const browser = await chromium.connectOverCDP(address);
    running = { process: child, browser, gone };
    return browser;
  };

  const kill = async (): Promise<void> => {
    if (!running) return;
    const { process: child, browser, gone } = running;
    running = undefined;
    process.kill(-child.pid!, 'SIGKILL');
    await gone;
    await browser.close().catch(() => {});
  };

  return {
    async tab(origin) {
      const browser = running?.browser ?? (await start());
      const page = await browser.contexts()[0].newPage();
      page.on('pageerror', (error) => console.error(`page: ${error.stack ?? error}`));
      await page.goto(`${origin}/e2e/pages/store.html`);
      await page.waitForFunction(() => 'store' in window);
      return {
        page,
        call: (name, ...parameters) =>
          page.evaluate(
            ([name, parameters]) =>
              (window as never as { store: Record<string, (...p: unknown[]) => unknown> }).store[name](...parameters),
            [name, parameters] as const,
          ) as never,
      };
    },
    kill,
    async remove() {
      await kill();
      rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}
