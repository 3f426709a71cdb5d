// @module-tag chromium
/**
 * The inside view: the page on plain static hosts, its values against those of the module, drawn with WebGPU and on a
 * 2D canvas.
 */
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { loadAxe, objections, soon } from './chat_page';
import { launchChromium } from './harness';
import { PLAIN } from './hostile';
import { watch } from './hostile_page';
import { serveSite, type Site } from './site';
import { tinyGguf } from './tools/tiny';

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
    browser = await launchChromium({
      webgpu,
      args: webgpu ? ['--use-angle=swiftshader', '--enable-features=Vulkan', '--use-vulkan=swiftshader'] : [],
    });
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
    expect(await page.locator('#layer option').allInnerTexts()).toEqual([
      '0: short convolution',
      '1: attention',
      '2: short convolution',
      '3: attention',
      '4: short convolution',
      '5: attention',
    ]);
    expect(await page.locator('#form option').allInnerTexts()).toEqual(webgpu ? ['surface', 'flat map'] : ['flat map']);
    // the scale of colours and its words
    const scale = (): Promise<string[]> =>
      Promise.all(['#scale-least', '#scale-most', '#scale-words'].map((id) => page.innerText(id)));
    const [least, most, words] = await scale();
    expect(Number(most)).toBeGreaterThan(0);
    expect(Number(least)).toBe(-Number(most));
    expect(words).toMatch(/^Blue is below 0, orange is above 0\..* Values here go from -[\d.]+ to [\d.]+\.$/);
    expect(words.includes('Height')).toBe(webgpu);
    expect(await colours(page, '#scale-colours')).toBeGreaterThan(50);
    const form = webgpu ? 'surface' : 'map';
    await expect.poll(() => colours(page, `#${form}`)).toBeGreaterThan(50);
    if (webgpu) {
      const picture = (): Promise<string> =>
        page
          .locator('#surface')
          .screenshot()
          .then((image) => image.toString('base64'));
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
    expect(await scale()).toEqual([
      '0',
      '1',
      expect.stringMatching(
        /^The stronger the colour, the more a token looks at the other\. Values here go from 0 to 1\.$/,
      ),
    ]);
    // every value can be read: the row of a token sums to 1
    await page.locator('#values summary').last().click();
    const row = (await page.locator('#values pre').innerText())
      .split('\n')
      .map((line) => Number(line.slice(line.lastIndexOf(':') + 1)));
    expect(row.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 1);
    await page.hover('#map', { position: { x: 5, y: 5 } });
    expect(await page.innerText('#reading')).toMatch(/^Token 0 \(.*\), token 0 \(.*\): 1$/);
    await loadAxe(page);
    for (const colorScheme of ['light', 'dark'] as const) {
      if (colorScheme === 'dark') await page.setViewportSize({ width: 390, height: 844 });
      await page.emulateMedia({ colorScheme });
      await page.evaluate(() => Promise.all(document.getAnimations().map(({ finished }) => finished)));
      expect(await objections(page)).toEqual([]);
    }
    // on a phone the names of layers have the whole width
    expect((await page.locator('#layer').boundingBox())!.width).toBeGreaterThan(300);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    expect(problems).toEqual([]);
    expect(asked.filter((url) => !url.startsWith(site.url))).toEqual([]);
    await page.close();
  });
});

describe('whatever is asked', () => {
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  /** requests to others, dialogs, windows, downloads, errors */
  let happened: string[];
  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser?.close());
  beforeEach(async () => {
    context = await browser.newContext();
    happened = await watch(context, new URL(site.url).origin);
    page = await context.newPage();
  });
  afterEach(async () => {
    site.refuse = undefined;
    await context.close();
  });
  const status = (): Promise<string> => page.innerText('#status');

  test('it works by the keyboard alone', async () => {
    await page.goto(`${site.url}inside.html`);
    await page.focus('#text');
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type('Hello');
    const tab = (): Promise<string> =>
      page.keyboard
        .press('Tab')
        .then(() =>
          page.evaluate(
            () =>
              document.activeElement?.id ||
              document.activeElement?.ariaLabel ||
              document.activeElement?.localName ||
              '',
          ),
        );
    expect([await tab(), await tab()]).toEqual(['model', 'look']);
    await page.keyboard.press('Enter');
    await soon(status).toMatch(/^\d+ tokens, 6 layers$/);
    await soon(() => page.evaluate(() => document.activeElement?.id)).toBe('look');
    expect([await tab(), await tab(), await tab()]).toEqual(['layer', 'part', 'form']);
    await page.focus('#layer');
    await page.keyboard.press('ArrowDown');
    await soon(() => page.innerText('#caption')).toContain('Attention of head 0 in layer 1');
    await page.focus('#form');
    expect([await tab(), await tab()]).toEqual(['values', 'All values of token 0']);
    await page.keyboard.press('Enter');
    expect(await page.locator('#values pre').innerText()).toMatch(/: 1$/m);
  });

  test('a cancelled look and a text that is too long or empty are said, and the page goes on', async () => {
    await page.goto(`${site.url}inside.html`);
    site.refuse = /\.gguf$/;
    await page.click('#look');
    await page.click('#cancel');
    await page.waitForFunction(() => !document.querySelector<HTMLButtonElement>('#look')!.disabled);
    expect(await page.isVisible('#problem')).toBe(false);
    site.refuse = undefined;
    await page.fill('#text', 'word '.repeat(200));
    await page.click('#look');
    await page.waitForSelector('#problem:not([hidden])');
    expect(await page.innerText('#problem')).toMatch(
      /^The text cannot be inspected: got \d+ tokens, wanted 1 to 64 tokens\./,
    );
    await page.fill('#text', '');
    await page.click('#look');
    await soon(() => page.innerText('#problem')).toMatch(
      /^The text cannot be inspected: got 0 tokens, wanted 1 to 64 tokens\./,
    );
    await page.fill('#text', 'Hello');
    await page.click('#look');
    await soon(status).toMatch(/^\d+ tokens, 6 layers$/);
    expect(await page.isVisible('#problem')).toBe(false);
  });

  test('hostile texts stay texts', async () => {
    await page.goto(`${site.url}inside.html`);
    const tags = /^(?:table|thead|tbody|tr|th|td|code|details|summary|pre)$/;
    for (const { name, text } of PLAIN) {
      // in bytes, what is not a letter has several tokens
      await page.fill('#text', text.slice(0, /^[ -~]*$/.test(text) ? 60 : 15));
      await page.click('#look');
      await soon(status).toMatch(/^\d+ tokens, 6 layers$/);
      await page.locator('#values summary').last().click();
      const inside = await page.evaluate(() =>
        [...document.querySelectorAll('#values *')].map(({ localName }) => localName),
      );
      expect(
        inside.filter((tag) => !tags.test(tag)),
        name,
      ).toEqual([]);
      expect(await page.evaluate(() => 'hit' in window), name).toBe(false);
    }
    expect(happened).toEqual([]);
  });

  test('a stored model without attention, and one that is deleted meanwhile', async () => {
    await page.goto(`${site.url}script-tag.html`);
    await page.evaluate(
      (bytes) =>
        (globalThis as unknown as { rivulet: { importModel(file: File): Promise<unknown> } }).rivulet.importModel(
          new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], 'gates.gguf'),
        ),
      Buffer.from(tinyGguf({ layers: ['conv', 'conv'] })).toString('base64'),
    );
    await page.goto(`${site.url}inside.html`);
    await soon(() => page.locator('#model option', { hasText: 'gates.gguf' }).count()).toBe(1);
    await page.selectOption('#model', { index: 1 });
    await page.fill('#text', 'Hello');
    await page.click('#look');
    await soon(status).toMatch(/^\d+ tokens, 2 layers$/);
    expect(await page.locator('#layer option').allInnerTexts()).toEqual([
      '0: short convolution',
      '1: short convolution',
    ]);
    const other = await context.newPage();
    await other.goto(`${site.url}script-tag.html`);
    await other.evaluate(async () => {
      const { listModels, deleteModel } = (
        globalThis as unknown as { rivulet: Pick<typeof import('../src/index'), 'listModels' | 'deleteModel'> }
      ).rivulet;
      for (const { id } of await listModels()) if (id.includes('gates')) await deleteModel(id);
    });
    await page.click('#look');
    await soon(() => page.innerText('#problem')).toMatch(
      /gates\.gguf is no longer stored in this browser\. Choose another model\.$/,
    );
    await page.click('#look');
    await soon(status).toMatch(/^\d+ tokens, 6 layers$/);
  });
});
