// @module-tag chromium
/** A conversation that is saved goes on after the page is opened again, without its text being read. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { launchChromium, openPage, serve } from './harness';
import type { SavedPage } from './pages/saved';
import { GOLDEN_DIRECTORY } from './tools/golden';

declare const saved: SavedPage;

it.each([
  ['wasm', { backend: 'wasm' }],
  ['webgpu', { backend: 'webgpu', allowSoftware: true }],
] as const)('on %s', async (name, options) => {
  const server = await serve({ mounts: { '/model': join(GOLDEN_DIRECTORY, 'dense/gguf') }, isolated: true });
  const browser = await launchChromium({ webgpu: name === 'webgpu' });
  try {
    const page = await openPage(browser, server.origin, '/e2e/pages/saved.html');
    const visit = async (): Promise<void> => {
      await page.waitForFunction(() => 'saved' in window);
      const backend = await page.evaluate((asked) => saved.load('/model/tiny-Q8_0.gguf', asked), {
        ...options,
        contextLength: 512,
      });
      expect(backend).toBe(name);
    };
    const say = (prompt: number[]) => page.evaluate((ids) => saved.say(ids), prompt);
    const prompt = Array.from({ length: 100 }, (_, i) => 8 + ((i * 37) % 256));
    await visit();
    const { logprobs } = await say(prompt);
    await page.evaluate(() => saved.save());
    const next = [...prompt, ...logprobs!.map(({ id }) => id), 33, 34];
    const { text, reusedTokens } = await say(next);
    expect(reusedTokens).toBeGreaterThanOrEqual(107);
    await page.reload();
    await visit();
    expect(await say(next)).toMatchObject({ text, reusedTokens });
  } finally {
    await browser.close();
    await server.close();
  }
});
