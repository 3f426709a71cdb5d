// @module-tag chromium
/** The inside view: the page on plain static hosts, its values against those of the module, drawn with WebGPU and on a 2D canvas. */
import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium } from './harness';
import { serveSite, type Site } from './site';

const axe = readFileSync(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

let site: Site;
beforeAll(async () => {
  site = await serveSite({ base: '/some/where/', isolated: false });
});
afterAll(() => site?.close());

/** How many colours an element shows; a blank one shows two or three with its frame. */
const colours = async (page: Page, selector: string): Promise<number> => {
  const png = (await page.locator(selector).screenshot()).toString('base64');
  return page.evaluate(async (picture) => {
    const image = await createImageBitmap(new Blob([Uint8Array.from(atob(picture), (c) => c.charCodeAt(0))]));
    const context = new OffscreenCanvas(image.width, image.height).getContext('2d')!;
    context.drawImage(image, 0, 0);
    return new Set(new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer)).size;
  }, png);
};

describe.each([{ webgpu: true }, { webgpu: false }])('%o', ({ webgpu }) => {
  let browser: Browser;
  beforeAll(async () => {
    // without these flags a software adapter computes, and shows no canvas
    browser = await launchChromium({ webgpu, args: webgpu ? ['--use-angle=swiftshader', '--enable-features=Vulkan', '--use-vulkan=swiftshader'] : [] });
  });
  afterAll(() => browser?.close());

  test('draws the gates and the heads of a sentence, as values too, and asks no other host', async () => {
    const page = await browser.newPage({ viewport: { width: 900, height: 1400 } });
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    const asked: string[] = [];
    page.on('request', (request) => void (/^(?:blob|data):/.test(request.url()) || asked.push(request.url())));
    await page.goto(`${site.url}inside.html`);
    await page.fill('#text', 'Set a timer for 10 minutes');
    await page.click('#look');
    await page.waitForSelector('#result:not([hidden])', { timeout: 120_000 });
    expect(await page.innerText('#status')).toMatch(/^\d+ tokens, 6 layers$/);
    expect(await page.locator('#layer option').allInnerTexts()).toEqual(['0: short convolution', '1: attention', '2: short convolution', '3: attention', '4: short convolution', '5: attention']);
    expect(await page.locator('#form option').allInnerTexts()).toEqual(webgpu ? ['surface', 'flat map'] : ['flat map']);
    const form = webgpu ? 'surface' : 'map';
    await expect.poll(() => colours(page, `#${form}`)).toBeGreaterThan(50);
    if (webgpu) {
      const picture = (): Promise<string> => page.locator('#surface').screenshot().then((image) => image.toString('base64')); // prettier-ignore
      const before = await picture();
      await page.focus('#surface');
      await page.keyboard.press('ArrowRight');
      await expect.poll(picture).not.toBe(before);
      const turned = await picture();
      await page.click('#turn button[aria-label="Zoom in"]');
      await expect.poll(picture).not.toBe(turned);
      await page.selectOption('#form', 'map');
      expect(await page.isVisible('#turn')).toBe(false);
      await expect.poll(() => colours(page, '#map')).toBeGreaterThan(50);
    }
    await page.selectOption('#layer', { label: '1: attention' });
    await page.selectOption('#part', { index: 2 });
    expect(await page.innerText('#caption')).toContain('Attention of head 2 in layer 1');
    // every value can be read: the row of a token sums to 1
    await page.locator('#values summary').last().click();
    const row = (await page.locator('#values pre').innerText()).split('\n').map((line) => Number(line.slice(line.lastIndexOf(':') + 1)));
    expect(row.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 1);
    await page.hover('#map', { position: { x: 5, y: 5 } });
    expect(await page.innerText('#reading')).toMatch(/^Token 0 \(.*\), token 0 \(.*\): 1$/);
    await page.evaluate(axe);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.evaluate(() => Promise.all(document.getAnimations().map(({ finished }) => finished)));
      const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } }).axe.run());
      expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)).toEqual([]);
    }
    expect(problems).toEqual([]);
    expect(asked.filter((url) => !url.startsWith(site.url))).toEqual([]);
    await page.close();
  });
});

test('a cancelled look and a text that is too long are said, and the page goes on', async () => {
  const browser = await launchChromium();
  const page = await browser.newPage();
  try {
    site.refuse = /\.gguf$/;
    await page.goto(`${site.url}inside.html`);
    await page.click('#look');
    await page.click('#cancel');
    await page.waitForFunction(() => !document.querySelector<HTMLButtonElement>('#look')!.disabled);
    expect(await page.isVisible('#problem')).toBe(false);
    site.refuse = undefined;
    await page.fill('#text', 'word '.repeat(200));
    await page.click('#look');
    await page.waitForSelector('#problem:not([hidden])');
    expect(await page.innerText('#problem')).toMatch(/^The text cannot be inspected: got \d+ tokens, wanted 1 to 64 tokens\./);
    await page.fill('#text', 'Hello');
    await page.click('#look');
    await page.waitForSelector('#result:not([hidden])', { timeout: 120_000 });
    expect(await page.isVisible('#problem')).toBe(false);
  } finally {
    site.refuse = undefined;
    await browser.close();
  }
});
