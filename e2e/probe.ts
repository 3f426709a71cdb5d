/** The probe page in a Chromium, for the tools and tests. */
import type { Browser, Page } from 'playwright';
import { launchChromium, openPage, serve, type LaunchOptions, type ServeOptions } from './harness';
import type { ProbeWindow } from './pages/probe';

export interface ProbePage {
  origin: string;
  browser: Browser;
  page: Page;
  /** Runs in the page; `probe` is the worker's interface. */
  run<A, R>(call: (probe: ProbeWindow['probe'], argument: A) => R | Promise<R>, argument: A): Promise<R>;
  close(): Promise<void>;
}

export async function openProbe(launch: LaunchOptions, serveOptions: ServeOptions = {}): Promise<ProbePage> {
  const server = await serve(serveOptions);
  const browser = await launchChromium(launch);
  const page = await openPage(browser, server.origin, '/e2e/pages/probe.html');
  await page.waitForFunction(() => 'probe' in window);
  return {
    origin: server.origin,
    browser,
    page,
    async run(call, argument) {
      // tsx names functions through __name, which a page does not have
      const source = `(async (argument) => { const __name = (f) => f; return (${call.toString()})(window.probe, argument); })(${JSON.stringify(argument)})`;
      return page.evaluate(source) as never;
    },
    async close() {
      await browser.close();
      await server.close();
    },
  };
}
