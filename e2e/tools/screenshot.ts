/**
 * Pictures of the built pages: the one of the README, or all screens. `npm run screenshot -- --help` explains the
 * options.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseResult } from '../../demo/bench/result';
import { launchChromium } from '../harness';
import { serveSite } from '../site';
import { benchScreens } from './bench_screens';
import { flag, optionalFile, startTool, text, whole } from './options';
import {
  ask,
  ELEMENT_SCREENS,
  INSIDE_SCREENS,
  SCREENS,
  SIZES,
  slowElementScreens,
  slowModel,
  type Screen,
} from './screens';

const values = startTool(
  'npm run screenshot --',
  'Takes a picture of the built chat page with a short conversation, or pictures of all screens of the chat, the element, the inside view and the benchmark page.',
  {
    out: text('PATH', 'the picture, a PNG file', 'docs/chat.png'),
    width: whole('in pixels', 1200, 320),
    height: whole('in pixels', 840, 320),
    dark: flag('in dark colours'),
    all: text('DIR', 'instead: every screen, at four sizes, in light and dark colours, into this folder'),
    result: optionalFile('with --all: a result of the benchmark page for its pictures; without it they are measured'),
    only: text('WORDS', 'with --all: only the pictures whose name has one of these words, with commas between them'),
  },
);
const site = await serveSite();
const browser = await launchChromium();
// the same seed, the same answers
const settings = `localStorage['rivulet-chat.settings'] ??= '{"backend":"wasm","seed":1}'`;
if (values.all === undefined) await one(values.out);
else await all(values.all, values.only?.split(',') ?? ['']);
await browser.close();
await site.close();

async function one(path: string): Promise<void> {
  const page = await browser.newPage({
    viewport: { width: values.width, height: values.height },
    colorScheme: values.dark ? 'dark' : 'light',
  });
  await page.addInitScript(settings);
  await page.goto(site.url);
  await page.waitForSelector('#about:visible');
  for (const question of ['Convert 12 miles to kilometres', 'Set a timer for 10 minutes']) await ask(page, question);
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.screenshot({ path });
}

async function all(folder: string, words: string[]): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const slow = await slowModel();
  const screens: Record<string, Screen> = {
    ...SCREENS,
    ...ELEMENT_SCREENS,
    ...INSIDE_SCREENS,
    ...slowElementScreens(slow.query),
    ...(words.some((word) => word.startsWith('bench')) || words.includes('')
      ? await benchScreens(values.result === undefined ? undefined : parseResult(readFileSync(values.result, 'utf8')))
      : {}),
    download: { query: slow.query, reach: async (page) => void (await page.waitForSelector('.question[open]')) },
    loading: {
      query: slow.query,
      async reach(page) {
        await page.locator('.question[open]').getByRole('button', { name: 'Download' }).click();
        await page.waitForFunction(
          () => (document.querySelector<HTMLProgressElement>('#downloads progress')?.value ?? 0) > 5 << 20,
        );
      },
    },
    'repository-files': {
      query: slow.query.replace(/&model=[^&]*/, ''),
      async reach(page) {
        await page.click('#choose');
        await page.fill('#address', 'someone/LFM2-mine-GGUF');
        await page.press('#address', 'Enter');
        await page.locator('#address-files li').first().scrollIntoViewIfNeeded();
      },
    },
  };
  for (const [size, [width, height]] of Object.entries(SIZES))
    for (const colorScheme of ['light', 'dark'] as const)
      for (const [
        name,
        { path = '', query = '', fragment = '', turns, only, full = false, reach, webgpu },
      ] of Object.entries(screens)) {
        const file = `${name}-${size}-${colorScheme}.png`;
        if (
          !words.some((word) => file.includes(word)) ||
          (only && (only === 'narrow') !== width < 960) ||
          (full && !['phone', 'wide'].includes(size))
        )
          continue;
        // as in e2e/inside.spec.ts: without these flags a software adapter computes, and shows no canvas
        const own = webgpu
          ? await launchChromium({
              webgpu,
              args: ['--use-angle=swiftshader', '--enable-features=Vulkan', '--use-vulkan=swiftshader'],
            })
          : undefined;
        // the slow model comes from another host than the page of the element allows
        const context = await (own ?? browser).newContext({
          viewport: { width, height },
          colorScheme,
          hasTouch: width < 960,
          isMobile: width < 960,
          bypassCSP: path === 'element.html',
        });
        try {
          const page = await context.newPage();
          await page.addInitScript(settings);
          await page.addInitScript('globalThis.__name = (f) => f'); // tsx names functions through it
          if (turns)
            await page.addInitScript((given) => (localStorage['rivulet-chat.turns'] ??= given), JSON.stringify(turns));
          await page.goto(`${site.url}${path}?backend=wasm${query}${fragment}`);
          if (!path && !query.includes('model=')) await page.waitForSelector('#about:visible');
          await reach(page);
          await page.waitForTimeout(400); // until what moves has stopped
          await page.screenshot({ path: join(folder, file), fullPage: full });
        } catch (error) {
          console.error(`${file}: ${String(error).split('\n', 1)[0]}`);
          process.exitCode = 1;
        } finally {
          await context.close();
          await own?.close();
        }
      }
  await slow.close();
}
