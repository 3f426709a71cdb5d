/** Answers that are held to a form beside free ones, in the built library in headless Chromium. */
import { existsSync } from 'node:fs';
import { launchChromium, openPage, serve } from '../harness';
import type { DecodingReport, ShapesPage } from '../pages/shapes';

declare const shapes: ShapesPage;

/** @param shape of the made-up model */
export async function compareDecoding(shape: string, threads: number): Promise<DecodingReport> {
  if (!existsSync('dist/rivulet.js')) throw new Error('dist/ has no built library. Run `npm run build` first.');
  const server = await serve({ mounts: { '/built': 'dist' } });
  const browser = await launchChromium();
  try {
    const page = await openPage(browser, server.origin, '/e2e/pages/shapes.html');
    await page.waitForFunction(() => 'shapes' in window);
    const options = { backend: 'wasm' as const, threads };
    const request = { shape, quantization: 'Q4_0', options, tokens: 32 };
    return await page.evaluate((asked) => shapes.compare(asked), request);
  } finally {
    await browser.close();
    await server.close();
  }
}
