// @module-tag chromium
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launchChromium, openPage, serve, type Served } from './harness';

let server: Served;
beforeAll(async () => void (server = await serve()));
afterAll(() => server.close());

it.each([
  ['as it comes', []],
  ['baseline compiler', ['--js-flags=--liftoff --no-wasm-tier-up']],
  ['optimising compiler', ['--js-flags=--no-liftoff']],
])('linear in Chromium, simd and relaxed: %s', async (_, args) => {
  const browser = await launchChromium({ args });
  try {
    const page = await openPage(browser, server.origin);
    // as text: an import() here would be rewritten for Node
    const wrong = await page.evaluate(`import('/e2e/pages/wasm_linear.ts').then(({ checkAll }) => checkAll())`);
    expect(wrong).toEqual([]);
  } finally {
    await browser.close();
  }
});
