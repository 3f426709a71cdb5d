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
    await page.evaluate(() => saved.forget());
    await page.reload();
    await visit();
    expect(await say(next)).toMatchObject({ text, reusedTokens: 0 });
  } finally {
    await browser.close();
    await server.close();
  }
});

it('is refused by name where it was not asked for', async () => {
  const server = await serve({ mounts: { '/model': join(GOLDEN_DIRECTORY, 'dense/gguf') }, isolated: true });
  const browser = await launchChromium({});
  try {
    const page = await openPage(browser, server.origin, '/e2e/pages/saved.html');
    await page.waitForFunction(() => 'saved' in window);
    const load = { backend: 'wasm', contextLength: 512, saveConversations: false } as const;
    await page.evaluate((options) => saved.load('/model/tiny-Q8_0.gguf', options), load);
    const failed = page.evaluate(() => saved.save().then(String, String));
    expect(await failed).toMatch(/RequestError: .* cannot be saved. Load it with saveConversations: true/);
  } finally {
    await browser.close();
    await server.close();
  }
});
