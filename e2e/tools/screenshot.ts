/** The picture of the README: the built chat page with a short conversation. `npm run screenshot -- --help` explains the options. */
import { pathToFileURL } from 'node:url';
import type { Page } from 'playwright';
import { launchChromium } from '../harness';
import { serveSite } from '../site';
import { flag, startTool, text, whole } from './options';

/** Asks, and waits for the whole answer. */
export async function ask(page: Page, question: string): Promise<void> {
  const answers = await page.locator('#messages .assistant').count();
  await page.fill('#prompt', question);
  await page.press('#prompt', 'Enter');
  await page.waitForFunction((n) => document.querySelectorAll('#messages .assistant:not([aria-busy]) .foot button').length > n, answers);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const values = startTool('npm run screenshot --', 'Takes a picture of the built chat page with a short conversation.', {
    out: text('PATH', 'the picture, a PNG file', 'docs/chat.png'),
    width: whole('in pixels', 1200, 320),
    height: whole('in pixels', 700, 320),
    dark: flag('in dark colours'),
  });
  const site = await serveSite();
  const browser = await launchChromium();
  const page = await browser.newPage({ viewport: { width: values.width, height: values.height }, colorScheme: values.dark ? 'dark' : 'light' });
  // the same seed, the same answers
  await page.addInitScript(`localStorage['rivulet-chat.settings'] ??= '{"backend":"wasm","seed":1}'`);
  await page.goto(site.url);
  await page.waitForSelector('#about:visible');
  for (const question of ['Convert 12 miles to kilometres', 'Set a timer for 10 minutes']) await ask(page, question);
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.screenshot({ path: values.out });
  await browser.close();
  await site.close();
}
