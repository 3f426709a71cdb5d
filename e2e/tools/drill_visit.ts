/**
 * The first and the second visit of the built chat page in a fresh Chromium: time to the first words of the first
 * answer, and bytes sent by a host without compression. Exit code 1 if a visit is too slow or too large.
 *
 *   npm run build && npm run drill:visit [-- --runs 5] [--plain] [--base /sub/path/]
 */
import type { Browser, BrowserContext } from 'playwright';
import { launchChromium } from '../harness';
import { serveSite, type Site } from '../site';
import { flag, startTool, text, whole } from './options';

/** The bounds on an idle machine. */
const FIRST_MS = 3000;
const SECOND_MS = 1000;
export const FIRST_BYTES = 8_500_000;

export interface Visit {
  /** from the request of the page to the first words of the first answer, reloads by the page among it */
  answerMs: number;
  bytes: number;
  isolated: boolean;
}

/** Asks as soon as the page takes a question, and waits for the first words. */
async function measure(context: BrowserContext, site: Site): Promise<Visit> {
  const page = await context.newPage();
  const before = site.sent();
  const start = performance.now();
  await page.goto(site.url, { waitUntil: 'commit' });
  await page.waitForFunction(() => document.querySelector('#about:not([hidden])'), undefined, { polling: 'raf' });
  await page.fill('#prompt', 'Hello!');
  await page.press('#prompt', 'Enter');
  await page.waitForFunction(
    () => document.querySelector('#messages .assistant .body')?.textContent?.trim(),
    undefined,
    { polling: 'raf' },
  );
  const answerMs = performance.now() - start;
  // the files that are stored after it count, too
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  const visit = { answerMs, bytes: site.sent() - before, isolated: await page.evaluate(() => crossOriginIsolated) };
  await page.close();
  return visit;
}

export async function visits(browser: Browser, site: Site): Promise<{ first: Visit; second: Visit }> {
  const context = await browser.newContext();
  try {
    return { first: await measure(context, site), second: await measure(context, site) };
  } finally {
    await context.close();
  }
}

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1];

if (process.argv[1]?.endsWith('drill_visit.ts')) {
  const values = startTool(
    'npm run drill:visit --',
    'Measures the first and the second visit of the built chat page.',
    {
      runs: whole('how often', 5, 1),
      plain: flag('the host sends no COOP and COEP headers'),
      base: text('PATH', 'the path that the site lies under', '/'),
      json: flag('prints one JSON object'),
    },
  );
  const site = await serveSite({ isolated: !values.plain, base: values.base });
  const browser = await launchChromium();
  const all: { first: Visit; second: Visit }[] = [];
  for (let run = 0; run < values.runs; run++) all.push(await visits(browser, site));
  await browser.close();
  await site.close();
  const of = (name: 'first' | 'second'): { answerMs: number; most: number; bytes: number; isolated: boolean } => {
    const times = all.map((run) => run[name].answerMs);
    return {
      answerMs: Math.round(median(times)),
      most: Math.round(Math.max(...times)),
      bytes: Math.max(...all.map((run) => run[name].bytes)),
      isolated: all.every((run) => run[name].isolated),
    };
  };
  const result = { first: of('first'), second: of('second') };
  if (values.json) console.log(JSON.stringify(result));
  else
    for (const [name, { answerMs, most, bytes, isolated }] of Object.entries(result))
      console.log(
        `${name} visit: first words after ${answerMs} ms (at most ${most} ms), ${(bytes / 1e6).toFixed(2)} MB, ${isolated ? 'isolated' : 'not isolated'}`,
      );
  if (result.first.answerMs > FIRST_MS || result.second.answerMs > SECOND_MS || result.first.bytes > FIRST_BYTES) {
    console.error(
      `Wanted: ${FIRST_MS} ms and ${FIRST_BYTES / 1e6} MB for the first visit, ${SECOND_MS} ms for the second.`,
    );
    process.exitCode = 1;
  }
}
