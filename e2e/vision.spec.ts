// @module-tag chromium
/** A model sees: a picture, an answer, a second question; pictures in all forms; and what is refused. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { launchChromium, openPage, serve } from './harness';
import type * as Rivulet from '../src/index';
import type { VisionPage } from './pages/vision';
import { createSideFileSite, HOSTING_POLICY } from './side_file_site';
import { BUILT_SITE, serveSite } from './site';
import { GOLDEN_DIRECTORY } from './tools/golden';

declare const vision: VisionPage;

const directory = join(GOLDEN_DIRECTORY, 'vision');
const square = readFileSync(join(directory, 'images/square.png'));
const { cases, files } = JSON.parse(readFileSync(join(directory, 'expected.json'), 'utf8')) as {
  cases: Record<string, { input_ids: number[] }>;
  files: Record<string, { cases: Record<string, { greedy: number[] }> }>;
};
const [{ cases: known }] = Object.values(files);
const MODEL = ['/model/gguf/tiny-Q8_0.gguf', '/model/gguf/mmproj-F16.gguf'];
const PICTURE = '/model/images/square.png';

/** WebP, lossless, 7 × 5, with EXIF orientation 6; pixel i has 7·i, 13·i and 29·i. */
const TURNED =
  'UklGRmYAAABXRUJQVlA4WAoAAAAIAAAABgAABAAAVlA4TCUAAAAvBgABALmM6H/sIqL/YVDIRhJEsITrb/KeweUHMe9Yjgl4IPkJAEVYSUYaAAAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAA=';

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}

/** A PNG of red, green, blue and alpha. */
function png(width: number, height: number, rgba: Uint8Array): Buffer {
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 6, 0, 0, 0]);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  const rows = Buffer.concat(
    Array.from({ length: height }, (_, y) => [
      Buffer.from([0]),
      Buffer.from(rgba.subarray(4 * width * y, 4 * width * (y + 1))),
    ]).flat(),
  );
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]);
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', new Uint8Array()),
  ]);
}

// WebGPU: golden.spec and chat_pictures.spec
it('picture, answer, second question', async () => {
  const server = await serve({ mounts: { '/model': directory }, isolated: true });
  const browser = await launchChromium();
  try {
    const page = await openPage(browser, server.origin, '/e2e/pages/vision.html');
    await page.waitForFunction(() => 'vision' in window);
    const settings = { backend: 'wasm', exact: true, contextLength: 1024 } as const;
    expect(await page.evaluate(([model, given]) => vision.load(model, given), [MODEL, settings] as const)).toBe('wasm');

    const first = await page.evaluate((path) => vision.say('', path), PICTURE);
    expect(first.promptTokens).toBe(cases.square.input_ids.length);
    expect(first.logprobs!.map(({ id }) => id)).toEqual(known.square.greedy.slice(0, 4));
    const second = await page.evaluate(() => vision.say('And what colour is it?'));
    expect(second.promptTokens - second.reusedTokens).toBeLessThan(50);
    expect(second.reusedTokens).toBeGreaterThan(cases.square.input_ids.length - 2);

    for (const form of ['path', 'url', 'data', 'file', 'bitmap', 'canvas', 'offscreen', 'imageData']) {
      const { logprobs } = await page.evaluate(([kind, path]) => vision.form(kind, path), [form, PICTURE] as const);
      expect(logprobs, form).toEqual(first.logprobs);
    }
    // alpha: the colours are those of the file, also where nothing is seen
    const rgba = Uint8Array.from({ length: 4 * 64 * 48 }, (_, i) => (i % 4 === 3 ? (i >> 2) % 256 : (i * 31) % 256));
    const seen = await page.evaluate((bytes) => vision.bytes(bytes), png(64, 48, rgba).toString('base64'));
    const given = await page.evaluate((pixels) => vision.pixels(64, 48, pixels), [...rgba]);
    expect(seen.logprobs).toEqual(given.logprobs);
    // of WebP browsers do not apply the orientation: 6 is a quarter turn to the right
    const turned = await page.evaluate((bytes) => vision.bytes(bytes), TURNED);
    const upright = Array.from({ length: 35 }, (_, i) => 7 * (4 - (i % 5)) + Math.floor(i / 5)).flatMap((at) => [
      (at * 7) % 256,
      (at * 13) % 256,
      (at * 29) % 256,
      255,
    ]);
    const same = await page.evaluate((pixels) => vision.pixels(5, 7, pixels), upright);
    expect(turned.logprobs).toEqual(same.logprobs);
    const estimated = await page.evaluate(() => vision.estimate(64, 48));
    expect(given.promptTokens - first.promptTokens).toBe(estimated.tokens - 66);

    const refused = (bytes: Uint8Array | string): Promise<string> =>
      page.evaluate(
        (picture) => vision.refuse(picture),
        typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('base64'),
      );
    expect(await refused(square.subarray(0, 20_000))).toMatch(/^RequestError: The file of a picture is cut off/);
    const damaged = Buffer.from(square).fill(0xaa, 60, 3000);
    expect(await refused(damaged)).toMatch(/^RequestError: The picture cannot be decoded/);
    expect(await refused(Buffer.from('<svg xmlns="a"/>'))).toMatch(/^RequestError: Pictures in SVG are not read/);
    const large = png(1, 1, new Uint8Array(4));
    large.writeUInt32BE(10_000, 16);
    large.writeUInt32BE(10_000, 20);
    expect(await refused(large)).toMatch(/^RequestError: The picture is too large: got 10000 × 10000 pixels/);
    expect(await refused('/model/none.png')).toMatch(/^SourceError: A picture does not load from its address: .*404/);
    await page.evaluate(([model, given]) => vision.load([model[0]], given), [MODEL, settings] as const);
    expect(await refused(square)).toMatch(/^RequestError: The model does not see pictures\. Load a vision model/);
    const estimate = page.evaluate(() => vision.estimate(64, 48).then(String, String));
    expect(await estimate).toMatch(/The model does not see pictures/);
  } finally {
    await browser.close();
    await server.close();
  }
});

it('the published script gets its two side files and the picture under the policy of docs/hosting.md', async () => {
  const folder = createSideFileSite('vision');
  for (const name of ['rivulet.js', 'rivulet-encoders.js', 'rivulet-vision.js'])
    cpSync(join(BUILT_SITE, '..', name), join(folder, name));
  cpSync(directory, join(folder, 'model'), { recursive: true });
  writeFileSync(
    join(folder, 'page.html'),
    `<!doctype html><html lang="en"><meta http-equiv="Content-Security-Policy" content="${HOSTING_POLICY}; img-src data:">
<title>Test</title><link rel="icon" href="data:,"><script src="rivulet.js"></script></html>`,
  );
  const site = await serveSite({ isolated: false, root: folder });
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    await page.goto(`${site.url}page.html`);
    const ids = await page.evaluate(async () => {
      const { load } = (window as unknown as { rivulet: typeof Rivulet }).rivulet;
      const url = ['./model/gguf/tiny-Q8_0.gguf', './model/gguf/mmproj-F16.gguf'];
      const model = await load({ url }, { backend: 'wasm', exact: true });
      const picture = { type: 'image', image: 'model/images/square.png' };
      const content = [picture, { type: 'text', text: 'What is in this image?' }];
      const options = { temperature: 0, repetitionPenalty: 1, maxTokens: 4, logprobs: 0 };
      const { logprobs } = await model.chat([{ role: 'user', content }], options).result;
      return logprobs!.map(({ id }) => id);
    });
    expect(ids).toEqual(known.square.greedy.slice(0, 4));
    const scripts = site.asked.filter((path) => path.endsWith('.js'));
    expect(scripts).toEqual(['/rivulet.js', '/rivulet-encoders.js', '/rivulet-vision.js']);
  } finally {
    await browser.close();
    await site.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
