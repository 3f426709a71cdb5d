/**
 * The images of the web app manifest: icons from public/icon.svg, and screenshots of the built page. Run it after a
 * change of the icon or of the looks.
 *
 *   npm run build && npm run app-images
 */
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright';
import { ask } from '../chat_page';
import { launchChromium } from '../harness';
import { serveSite } from '../site';
import { startTool, text } from './options';

const GROUND = '#0b5c63';
/** `share` of the picture that the icon takes: a mask may cut away all but a circle of 80 % */
const ICONS = [
  { file: 'icons/icon-192.png', pixels: 192, share: 1 },
  { file: 'icons/icon-512.png', pixels: 512, share: 1 },
  { file: 'icons/icon-maskable-512.png', pixels: 512, share: 0.75, ground: GROUND },
  { file: 'icons/apple-touch-icon.png', pixels: 180, share: 0.9, ground: GROUND },
];
const SCREENSHOTS = [
  { file: 'screenshots/narrow.png', width: 390, height: 844 },
  { file: 'screenshots/wide.png', width: 1280, height: 800 },
];

async function drawIcons(browser: Browser, folder: string): Promise<void> {
  const svg = readFileSync(join(folder, 'icon.svg'), 'utf8');
  for (const { file, pixels, share, ground = 'transparent' } of ICONS) {
    const page = await browser.newPage({ viewport: { width: pixels, height: pixels } });
    await page.setContent(
      `<style>body{margin:0;height:100vh;display:grid;place-items:center;background:${ground}}svg{width:${share * 100}vw}</style>${svg}`,
    );
    await page.screenshot({ path: join(folder, file), omitBackground: true });
    await page.close();
  }
}

async function takeScreenshots(browser: Browser, folder: string): Promise<void> {
  const site = await serveSite();
  try {
    for (const { file, width, height } of SCREENSHOTS) {
      const context = await browser.newContext({ viewport: { width, height }, colorScheme: 'light' });
      // the same seed, the same answers
      await context.addInitScript(`localStorage['rivulet-chat.settings'] ??= '{"backend":"wasm","seed":1}'`);
      const page = await context.newPage();
      await page.goto(site.url);
      await page.waitForSelector('#about:visible');
      for (const question of ['Convert 12 miles to kilometres', 'Set a timer for 10 minutes'])
        await ask(page, question);
      await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
      await page.screenshot({ path: join(folder, file) });
      await context.close();
    }
  } finally {
    await site.close();
  }
}

const values = startTool('npm run app-images --', 'Makes the icons and screenshots of the web app manifest.', {
  out: text('PATH', 'the folder with icon.svg', 'public'),
});
const folder = resolve(fileURLToPath(new URL('../..', import.meta.url)), values.out);
for (const name of ['icons', 'screenshots']) mkdirSync(join(folder, name), { recursive: true });
const browser = await launchChromium();
try {
  await drawIcons(browser, folder);
  await takeScreenshots(browser, folder);
} finally {
  await browser.close();
}
for (const { file } of [...ICONS, ...SCREENSHOTS])
  console.log(`${file}: ${(statSync(join(folder, file)).size / 1000).toFixed(1)} KB`);
