// @module-tag chromium
/**
 * A GPU device is lost in the middle of a text: the stream of the public API goes on, and the chat page tells of it.
 * `npm run drill:loss` is the long form.
 */
import { expect, it } from 'vitest';
import { launchChromium } from './harness';
import { openLossPage, SOFTWARE, SOURCE } from './loss';
import { serveSite } from './site';

it('a device lost in the middle of a text does not change it', async () => {
  const page = await openLossPage();
  try {
    const { id, backend } = await page.call('open', SOURCE, SOFTWARE);
    expect(backend).toBe('webgpu');
    const sampled = {
      messages: [{ role: 'user' as const, content: 'Who are you?' }],
      sampling: { temperature: 1.2, minP: 0, frequencyPenalty: 0.2, seed: 5, maxTokens: 12 },
    };
    const wanted = await page.call('say', id, sampled);
    const { reads } = wanted.acts;
    // how many submits the prompt takes depends on the time, and the first time on what is not known yet: at the third
    // reading at the latest
    const disturbed = await page.call('say', id, { ...sampled, losses: [reads[2]], latest: 3 });
    expect(disturbed).toMatchObject({
      text: wanted.text,
      streamed: wanted.text,
      tokens: wanted.tokens,
      backend: 'webgpu',
      phases: ['load', 'compile', 'replay', 'ready'],
    });
    expect(disturbed.notes.join(' ')).toMatch(/WebGPU: .*lost/);
  } finally {
    await page.close();
  }
});

it('the chat page says that the device was lost, and the reply goes on', async () => {
  const site = await serveSite();
  const browser = await launchChromium({ webgpu: true });
  try {
    const page = await browser.newPage();
    await page.addInitScript(`localStorage['rivulet-chat.settings'] = '{"backend":"auto","maxTokens":12,"temperature":0}'; window.told = [];
      addEventListener('DOMContentLoaded', () => new MutationObserver(() => told.push(announcer.textContent)).observe(announcer, { childList: true }))`);
    await page.goto(`${site.url}?software=1`);
    await page.waitForSelector('#about:visible', { timeout: 120_000 });
    // the device is destroyed when it is asked for the fifth time
    for (const worker of page.workers())
      await worker.evaluate(() => {
        const { createCommandEncoder } = GPUDevice.prototype;
        let calls = 0;
        GPUDevice.prototype.createCommandEncoder = function (...parameters) {
          if (++calls === 5) this.destroy();
          return createCommandEncoder.apply(this, parameters);
        };
      });
    await page.fill('#prompt', 'Hello!');
    await page.press('#prompt', 'Enter');
    await page.waitForFunction(
      () => document.querySelectorAll('#messages .assistant:not([aria-busy]) .foot .copy').length === 1,
      undefined,
      { timeout: 120_000 },
    );
    expect(await page.innerText('#messages .assistant .foot')).toMatch(/\d+ tokens/);
    const told = (await page.evaluate('told')) as string[];
    expect(told.join(' | ')).toMatch(/Loading .* again\. .*lost.* \| .*The model is ready again\..* \| Rivulet: /);
    expect(await page.textContent('#about-notes')).toMatch(/lost/);
    expect(await page.isVisible('#loading')).toBe(false);
  } finally {
    await browser.close();
    await site.close();
  }
});
