/** The probe page in a Chromium or a Firefox, for the tools and tests. */
import type { Browser, Page } from 'playwright';
import { launchFirefox } from './firefox';
import { launchChromium, openPage, serve, type LaunchOptions, type Served, type ServeOptions } from './harness';
import type { ProbeWindow } from './pages/probe';

export interface Probe {
  origin: string;
  /** Runs in the page; `probe` is the worker's interface. */
  run<A, R>(call: (probe: ProbeWindow['probe'], argument: A) => R | Promise<R>, argument: A): Promise<R>;
  close(): Promise<void>;
}

export interface ProbePage extends Probe {
  browser: Browser;
  page: Page;
}

const PAGE = '/e2e/pages/probe.html';

export async function openProbe(launch: LaunchOptions, serveOptions: ServeOptions = {}): Promise<ProbePage> {
  const server = await serve(serveOptions);
  const browser = await launchChromium(launch);
  const page = await openPage(browser, server.origin, PAGE);
  await page.waitForFunction(() => 'probe' in window);
  return { browser, page, ...probeOf(server, page, browser) };
}

/** WebGPU on whatever adapter this machine gives to a stock Firefox. */
export async function openFirefoxProbe(serveOptions: ServeOptions = {}): Promise<Probe> {
  const server = await serve(serveOptions);
  const browser = await launchFirefox({ webgpu: true });
  const page = await browser.newPage();
  await page.goto(server.origin + PAGE);
  await page.waitForFunction('"probe" in window');
  return probeOf(server, page, browser);
}

const probeOf = (
  server: Served,
  page: { evaluate(source: string): Promise<unknown> },
  browser: { close(): Promise<void> },
): Probe => ({
  origin: server.origin,
  run(call, argument) {
    // tsx names functions through __name, which a page does not have
    const source = `(async (argument) => { const __name = (f) => f; return (${call.toString()})(window.probe, argument); })(${JSON.stringify(argument)})`;
    return page.evaluate(source) as never;
  },
  async close() {
    await browser.close();
    await server.close();
  },
});
