// @module-tag chromium
/**
 * The models of the chat page, in Chromium with a local hub: download beside the running model, pause, use, delete,
 * files, failures, the support report.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Locator, Page } from 'playwright';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BRIEF, finished, holdLock, loadAxe, objections, PATIENCE, replies, soon, testChat } from './chat_page';
import { createHub, requested, type Hub } from './hub';
import { tinyGguf } from './tools/tiny';

const DEMO = fileURLToPath(new URL('../public/models/rivulet-tiny.gguf', import.meta.url));
/** 33 MB: three chunks and a part */
const large = tinyGguf({ vocab: 24_000 });
const small = tinyGguf({ seed: 2, dtype: 'Q8_0' });
/** a model of which the library says that it cannot be used */
const broken = new Uint8Array([...new TextEncoder().encode('GGUF'), ...new Uint8Array(2000)]);

let hub: Hub;
beforeEach(async () => {
  hub = await createHub({
    repos: {
      'LiquidAI/LFM2.5-350M-GGUF': { 'LFM2.5-350M-Q4_0.gguf': large },
      'LiquidAI/LFM2.5-230M-GGUF': { 'LFM2.5-230M-Q4_0.gguf': small },
      'a/broken': { 'broken-Q4_0.gguf': broken },
    },
  });
});
afterEach(() => hub.close().catch(() => undefined));
/** measured speeds for which the 350M model is recommended, whatever this machine does */
const SPEEDS = `localStorage['rivulet-chat.speeds'] ??= '{"wasm 1":5e9,"wasm 2":5e9,"wasm 4":5e9}'`;
// after the hub: the page is closed before it
const chat = testChat({ viewport: { width: 1100, height: 800 }, scripts: [BRIEF, SPEEDS] });

const query = (more = ''): string => `?backend=wasm&hub=${encodeURIComponent(hub.origin)}${more}`;
const visit = (more?: string): Promise<Page> => chat.visit(query(more));
const card = (page: Page, name: string): Locator =>
  page.locator('#models .model', { has: page.getByRole('heading', { name, exact: true }) });
const press = (within: Locator, name: string): Promise<void> =>
  within.getByRole('button', { name: new RegExp(`^${name}`) }).click();
const answer = (page: Page, yes: boolean): Promise<void> => page.click(`.question button[value=${yes ? 'yes' : 'no'}]`);
const named = (page: Page, name: string): Promise<unknown> =>
  page.waitForFunction(
    (wanted) =>
      document.querySelector('#model-name')?.textContent === wanted &&
      document.querySelector<HTMLElement>('#loading')?.hidden,
    name,
    { timeout: PATIENCE },
  );
const plain = (text: string): string => text.replaceAll('\u00a0', ' ');

async function openModels(page: Page): Promise<void> {
  if (!(await page.locator('#models[open]').count())) await page.click('#choose');
  await page.waitForSelector('#models .model');
}

/** Asks something, and waits for the reply. */
async function ask(page: Page): Promise<void> {
  const count = (await replies(page)).length;
  await page.fill('#prompt', 'Hello!');
  await page.press('#prompt', 'Enter');
  await finished(page, count + 1);
  expect((await replies(page)).length).toBe(count + 1);
}

/** Downloads an offered model to the end. */
async function download(page: Page, name: string): Promise<void> {
  await openModels(page);
  await press(card(page, name), 'Download');
  await answer(page, true);
  await card(page, name).getByRole('button', { name: /^Use/ }).waitFor({ timeout: PATIENCE });
}

test('each model stands once, the present one and the recommended one are marked, and a large download is asked for with its licence', async () => {
  const page = await visit();
  await openModels(page);
  const names = await page.locator('#models .model h4').allInnerTexts();
  expect(names[0]).toBe('Rivulet tiny');
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBe(11);
  await soon(() => page.locator('#models .model .in-use:visible').count()).toBe(1);
  await soon(() => card(page, 'Rivulet tiny').locator('.in-use').isVisible()).toBe(true);
  await soon(() => page.locator('#models .model:has(.best:not([hidden])) h4').allInnerTexts()).toEqual(['LFM2.5-350M']);
  await soon(() => card(page, 'LFM2.5-350M').locator('.fit').innerText()).toMatch(
    /^(Just fits|Fits) on this device\. About 23\stokens a second\.$/,
  );
  await soon(() =>
    page
      .locator('#models-hub button.primary:visible')
      .evaluateAll((buttons) => buttons.map(({ ariaLabel }) => ariaLabel)),
  ).toEqual(['Download: LFM2.5-350M']);
  await press(card(page, 'LFM2.5-350M'), 'Download');
  const question = plain(await page.innerText('.question'));
  for (const part of [
    'Download LFM2.5-350M?',
    'about 219 MB',
    'LFM Open License v1.0',
    'below 10 million US dollars',
    'free for this page',
  ])
    expect(question).toContain(part);
  await soon(() => page.getAttribute('.question a', 'href')).toBe('https://huggingface.co/LiquidAI/LFM2.5-350M-GGUF');
  await loadAxe(page);
  expect(await objections(page)).toEqual([]);
  await answer(page, false);
  await page.setViewportSize({ width: 320, height: 640 });
  expect(await objections(page)).toEqual([]);
  await soon(() => page.evaluate(() => document.querySelector('#models')!.scrollWidth)).toBeLessThanOrEqual(320);
  expect(hub.log).toEqual([]);
});

test('the recommended model stays for the visit when a later measurement is another one', async () => {
  const page = await visit();
  const offered = (): Promise<string> => page.innerText('#first-run-offer .primary');
  const marked = (): Promise<string[]> => page.locator('#models .model:has(.best:not([hidden])) h4').allInnerTexts();
  await soon(() => offered()).toBe('Download LFM2.5-350M');
  await page.evaluate(() => (localStorage['rivulet-chat.speeds'] = '{"wasm 1":3e9,"wasm 2":3e9,"wasm 4":3e9}'));
  await openModels(page);
  // the speed follows what was measured
  await soon(() => card(page, 'LFM2.5-350M').locator('.fit').innerText()).toMatch(/ About 14\stokens a second\.$/);
  await soon(() => marked()).toEqual(['LFM2.5-350M']);
  expect(await offered()).toBe('Download LFM2.5-350M');
  await page.reload();
  await soon(() => offered()).toBe('Download LFM2.5-230M');
});

test('a model is downloaded while the present one answers, then used, and is there after a reload without the hub', async () => {
  hub.options.pace = 30;
  const page = await visit();
  await page.click('#first-run-offer .primary');
  await answer(page, true);
  await page.waitForSelector('#downloads .figures:has-text("MB/s")');
  await ask(page);
  await soon(() => page.innerText('#downloads .what')).toBe('Downloading LFM2.5-350M');
  await soon(() => page.innerText('#model-name')).toBe('Rivulet tiny');
  hub.options.pace = 0;
  await page.click('#downloads button:has-text("Use it"):visible', { timeout: PATIENCE });
  await named(page, 'LFM2.5-350M');
  await soon(() => page.locator('#downloads li').count()).toBe(0);
  await ask(page);
  await hub.close();
  await page.reload();
  await named(page, 'LFM2.5-350M');
  await ask(page);
  // an empty conversation offers no larger model to one who has it
  await page.click('#new-chat');
  await soon(() => page.innerText('#first-run-intro')).toMatch(/^LFM2\.5-350M answers here/);
  expect(await page.isVisible('#first-run-offer')).toBe(false);
  await openModels(page);
  await soon(() => card(page, 'LFM2.5-350M').locator('.in-use').isVisible()).toBe(true);
  await soon(() => page.locator('#models-kept h4').allInnerTexts()).toEqual(['Rivulet tiny', 'LFM2.5-350M']);
});

test('a paused download says how far it is, also after a reload, and goes on from there', async () => {
  // the third chunk does not end, the others are stored
  hub.options.fault = ({ kind, range }) => (kind === 'file' && range?.first === 16 << 20 ? 'stall' : undefined);
  const page = await visit();
  const used = (): Promise<number> => page.evaluate(async () => (await navigator.storage.estimate()).usage!);
  const before = await used();
  await openModels(page);
  await press(card(page, 'LFM2.5-350M'), 'Download');
  await answer(page, true);
  await page.waitForFunction(
    () => (document.querySelector<HTMLProgressElement>('#downloads progress')?.value ?? 0) > 18 << 20,
    undefined,
    { timeout: PATIENCE },
  );
  await soon(used).toBeGreaterThan(before + (12 << 20)); // what has arrived is stored, too
  await press(card(page, 'LFM2.5-350M'), 'Pause');
  await page.waitForSelector('#downloads .what:has-text("Paused")', { state: 'attached' });
  const told = async (): Promise<string> => plain(await page.locator('#downloads .figures').innerText());
  await page.keyboard.press('Escape');
  await page.reload();
  await named(page, 'Rivulet tiny');
  await page.waitForSelector('#downloads .figures');
  await soon(() => told()).toMatch(/^Paused at [1-9][\d.]* MB of [23]\d MB\. It goes on from there\.$/);
  const from = hub.log.length;
  hub.options.fault = undefined;
  await page.click('#downloads button:has-text("Resume")');
  await page.click('#downloads button:has-text("Use it"):visible', { timeout: PATIENCE });
  await named(page, 'LFM2.5-350M');
  expect(requested(hub, from)).toBeLessThan(large.length - (6 << 20));
});

test('before a copy of a large model that another tab has in memory the page asks, with a way out', async () => {
  const other = await chat.context.newPage();
  await other.goto(`${chat.site.url}help.html`);
  await holdLock(other, `rivulet:loaded:${chat.site.url}models/rivulet-tiny.gguf:400000000`);
  const page = await chat.context.newPage();
  await page.goto(`${chat.site.url}${query()}`);
  await page.waitForSelector('.question');
  expect(plain(await page.innerText('.question'))).toMatch(
    /another tab of this page\. A copy in this tab takes 400 MB/,
  );
  await answer(page, false);
  await page.getByText('Cancelled').first().waitFor();
  await page.getByRole('button', { name: /^Try again/ }).click();
  await page.waitForSelector('.question');
  await answer(page, true);
  await named(page, 'Rivulet tiny');
  await ask(page);
});

test('two tabs that download the same model share one download', async () => {
  hub.options.pace = 5;
  const pages = [await visit(), await visit()];
  for (const page of pages) {
    await openModels(page);
    await press(card(page, 'LFM2.5-350M'), 'Download');
    await answer(page, true);
  }
  for (const page of pages)
    await card(page, 'LFM2.5-350M').getByRole('button', { name: /^Use/ }).waitFor({ timeout: PATIENCE });
  expect(requested(hub)).toBeLessThan(1.5 * large.length);
});

test('what cannot be downloaded or used is said, and the former model goes on', async () => {
  const page = await visit();
  await openModels(page);
  await page.fill('#address', 'a/missing');
  await page.click('#models-address button:has-text("Download")');
  await page.waitForSelector('#models-problem:has-text("missing cannot be downloaded")');
  await soon(() => page.innerText('#models-problem')).toMatch(
    /^missing cannot be downloaded\. The model cannot be reached/,
  );
  await page.fill('#address', 'http://127.0.0.1:9/m.gguf');
  const begun = Date.now();
  await page.click('#models-address button:has-text("Download")');
  await page.waitForSelector('#models-problem:has-text("m.gguf cannot be downloaded")');
  expect(Date.now() - begun).toBeLessThan(10_000);
  await page.fill('#address', 'a/broken');
  await page.click('#models-address button:has-text("Download")');
  await press(card(page, 'broken-Q4_0.gguf'), 'Use');
  await page.waitForSelector('#error:visible', { timeout: PATIENCE });
  await soon(() => page.innerText('#error-title')).toBe('This model cannot be used: broken-Q4_0.gguf');
  await soon(() => page.innerText('#error-text > p')).toContain('Rivulet tiny goes on answering.');
  await soon(() => page.innerText('#model-name')).toBe('Rivulet tiny');
  await ask(page);
});

test('without the memory for two the former model goes first, and comes back when the next one fails', async () => {
  await chat.context.addInitScript(() =>
    Object.defineProperty(Navigator.prototype, 'deviceMemory', { get: () => 1 / 128 }),
  );
  const page = await visit();
  await page.evaluate(() => {
    const told: string[] = ((window as unknown as { told: string[] }).told = []);
    new MutationObserver(() => told.push(document.querySelector('#loading-note')?.textContent ?? '')).observe(
      document.querySelector('#loading-note')!,
      { childList: true },
    );
  });
  await page.setInputFiles('#file', { name: 'bad.gguf', mimeType: '', buffer: Buffer.from(broken) });
  await page.waitForSelector('#error:visible', { timeout: PATIENCE });
  await soon(() => page.innerText('#error-text > p')).toContain('Rivulet tiny answers instead.');
  await named(page, 'Rivulet tiny');
  expect((await page.evaluate('told')) as string[]).toContain(
    'This device has not the memory for two models, so Rivulet tiny was unloaded first. It comes back if bad.gguf cannot be loaded.',
  );
  await ask(page);
});

test('where nothing can be stored, a model is used from memory; cancelled, the former one goes on', async () => {
  await chat.context.addInitScript(() => Object.defineProperty(globalThis, 'indexedDB', { get: () => undefined }));
  hub.options.pace = 30;
  const page = await visit();
  await openModels(page);
  await page.waitForSelector('#models-storage:has-text("stores no models")');
  await press(card(page, 'LFM2.5-350M'), 'Use without storing');
  await answer(page, true);
  await page.keyboard.press('Escape');
  await page.waitForSelector('#loading:visible');
  await soon(() => page.innerText('#loading-note')).toBe('Rivulet tiny goes on answering until LFM2.5-350M is ready.');
  await ask(page);
  await page.click('#loading-cancel');
  await page.waitForSelector('#error:visible');
  await soon(() => page.innerText('#error-text > p')).toBe(
    'LFM2.5-350M was not loaded. Rivulet tiny goes on answering.',
  );
  await soon(() => page.getAttribute('#error', 'role')).toBe('status');
  await ask(page);
});

test('a deleted model can be taken back, is there when the page was closed meanwhile, and is gone after that', async () => {
  const page = await visit();
  await download(page, 'LFM2.5-230M');
  const more = async (button: string): Promise<void> => {
    await openModels(page);
    if (!(await card(page, 'LFM2.5-230M').locator('details[open]').count()))
      await card(page, 'LFM2.5-230M').locator('summary').click();
    await press(card(page, 'LFM2.5-230M'), button);
  };
  // the dialog opens before the store was read
  const kept = (names: string[]): Promise<unknown> =>
    page.waitForFunction(
      (wanted) =>
        JSON.stringify([...document.querySelectorAll('#models-kept h4')].map((title) => title.textContent!.trim())) ===
        wanted,
      JSON.stringify(names),
    );
  await more('Verify');
  await card(page, 'LFM2.5-230M').locator('.result:has-text("No damage found.")').waitFor();
  await press(card(page, 'LFM2.5-230M'), 'Pin');
  await card(page, 'LFM2.5-230M').locator('[aria-pressed=true]').waitFor();
  await more('Delete');
  await kept(['Rivulet tiny']);
  await page.click('#toast button:has-text("Undo")');
  await kept(['Rivulet tiny', 'LFM2.5-230M']);

  // in use: asked, and the demo model takes over
  await press(card(page, 'LFM2.5-230M'), 'Use');
  await named(page, 'LFM2.5-230M');
  await more('Delete');
  await soon(() => page.innerText('.question')).toContain('LFM2.5-230M is in use. After that, Rivulet tiny answers.');
  await answer(page, true);
  await named(page, 'Rivulet tiny');
  await page.waitForSelector('#toast button:has-text("Undo")');
  await page.reload();
  await named(page, 'Rivulet tiny');
  await openModels(page);
  await kept(['Rivulet tiny', 'LFM2.5-230M']);
  await page.clock.install();
  await page.evaluate(() => {
    const changes = Object.assign(window, { changes: 0 });
    new BroadcastChannel('rivulet-chat.models').addEventListener('message', () => changes.changes++);
  });
  const changes = (): Promise<unknown> => page.evaluate('changes');
  await more('Delete');
  await soon(changes).toBe(1);
  await page.clock.runFor(12_000);
  await page.clock.resume();
  await soon(changes).toBe(2); // told after the deletion
  await page.reload();
  await named(page, 'Rivulet tiny');
  await openModels(page);
  await kept(['Rivulet tiny']);
});

test('storage that was cleared meanwhile is said, and nothing is downloaded for it', async () => {
  const page = await visit();
  await download(page, 'LFM2.5-230M');
  const from = hub.log.length;
  const session = await chat.context.newCDPSession(page);
  await session.send('Storage.clearDataForOrigin', { origin: chat.site.url.slice(0, -1), storageTypes: 'indexeddb' });
  await press(card(page, 'LFM2.5-230M'), 'Use');
  await page.waitForSelector('#error:visible');
  await soon(() => page.innerText('#error-title')).toBe('LFM2.5-230M is not on this device any more');
  expect(hub.log.length).toBe(from);
  await ask(page);
});

test('dropped files: what is no model is named, a model runs and can be kept', async () => {
  const page = await visit();
  const drop = async (name: string, bytes: Uint8Array | number[]): Promise<void> => {
    const data = await page.evaluateHandle(
      ({ name, base64 }) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], name));
        return transfer;
      },
      { name, base64: Buffer.from(bytes).toString('base64') },
    );
    await page.dispatchEvent('body', 'drop', { dataTransfer: data });
  };
  await openModels(page);
  await page.setInputFiles('#file', {
    name: 'cat.jpg',
    mimeType: 'image/jpeg',
    buffer: Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16]),
  });
  await page.waitForSelector('#models-problem:has-text("cat.jpg is not a model file. Choose a .gguf file.")');
  await page.keyboard.press('Escape');
  await drop('cat.jpg', [0xff, 0xd8, 0xff, 0xe0, 0, 16]);
  await page.waitForSelector('footer:has-text("cat.jpg is not a text file")');
  await drop('pointer.gguf', Buffer.from('version https://git-lfs.github.com/spec/v1'));
  await page.waitForSelector('#error:has-text("pointer.gguf is not a model file")');
  await soon(() => page.innerText('#model-name')).toBe('Rivulet tiny');
  await ask(page);

  await drop('my model.gguf', small);
  await named(page, 'my model.gguf');
  await soon(() => page.isVisible('#error')).toBe(false);
  await page.click('#toast button:has-text("Keep on this device")');
  await page.waitForSelector('#toast:has-text("is stored on this device")');
  await page.reload();
  await named(page, 'my model.gguf');
  await openModels(page);
  await soon(() => page.locator('#models-kept h4').allInnerTexts()).toEqual(['Rivulet tiny', 'my model.gguf']);

  // another file of the same name does not replace it
  await page.keyboard.press('Escape');
  await page.setInputFiles('#file', { name: 'my model.gguf', mimeType: '', buffer: readFileSync(DEMO) });
  await page.click('#toast button:has-text("Keep on this device")', { timeout: PATIENCE });
  await page.waitForSelector('#toast:has-text("is stored on this device")', { timeout: PATIENCE });
  await openModels(page);
  await soon(() => page.locator('#models-kept h4').allInnerTexts()).toEqual([
    'Rivulet tiny',
    'my model (2).gguf',
    'my model.gguf',
  ]);
});

test('the address asks for a large model: the demo model answers, and the download is asked for', async () => {
  const page = await visit('&model=LiquidAI/LFM2.5-350M-GGUF:Q4_0');
  await page.waitForSelector('.question');
  await answer(page, false);
  await named(page, 'Rivulet tiny');
  expect(requested(hub)).toBe(0);
  await page.goto(chat.site.url + query('&model=LiquidAI/LFM2.5-230M-GGUF:Q4_0'));
  await named(page, 'LFM2.5-230M');
});

test('the figures of a reply, where it runs and why, and a support report without the conversation', async () => {
  const page = await visit();
  await page.evaluate(() => {
    const shown: [number, string][] = ((window as unknown as { shown: [number, string][] }).shown = []);
    const figures = document.querySelector('#live-figures')!;
    new MutationObserver(() => shown.push([performance.now(), figures.textContent ?? ''])).observe(figures, {
      childList: true,
    });
  });
  await ask(page);
  const shown = (await page.evaluate('shown')) as [number, string][];
  expect(shown.some(([, text]) => /^[\d.,]+\stok\/s · [\d.]+\sm?s to first token$/.test(text))).toBe(true);
  const figures = shown.filter(([, text]) => text.includes('tok/s'));
  for (let i = 1; i < figures.length; i++) expect(figures[i][0] - figures[i - 1][0]).toBeGreaterThan(200);
  await soon(() =>
    page.locator('#live-figures').evaluate((slot) => slot.closest('[aria-live], [role=status], [role=alert]') === null),
  ).toBe(true);

  await page.setInputFiles('#file', { name: 'cat.gguf', mimeType: '', buffer: Buffer.from(broken) });
  await page.waitForSelector('#error:visible', { timeout: PATIENCE });
  await page.click('#about summary');
  await soon(() => page.innerText('#about-why')).toMatch(
    /^Runs on the CPU with \d+ threads?, because the page’s address asks for it\.$/,
  );
  await page.click('#open-support');
  await page.waitForSelector('#support pre:has-text("errors")');
  const text = await page.innerText('#support pre');
  const report = JSON.parse(text);
  expect(report).toMatchObject({
    version: expect.stringMatching(/^\d+\.\d+\.\d+/),
    browser: { userAgent: expect.stringContaining('Chrome') },
    model: { id: expect.stringContaining('rivulet-tiny.gguf'), backend: { name: 'wasm' } },
    settings: { backend: 'auto' },
  });
  expect(report.replies.at(-1)).toMatchObject({ finish: expect.any(String), tokens: expect.any(Number) });
  expect(report.errors.at(-1)).toMatchObject({ name: 'CheckpointError', what: expect.any(String) });
  for (const said of ['Hello!', (await replies(page))[0].trim()]) expect(text).not.toContain(said);
  await loadAxe(page);
  expect(await objections(page)).toEqual([]);
  const [saved] = await Promise.all([
    page.waitForEvent('download'),
    page.click('#support button:has-text("Save as a file")'),
  ]);
  expect(saved.suggestedFilename()).toBe('rivulet-support.json');
  expect(readFileSync(await saved.path(), 'utf8')).toBe(text);
});

test('settings that are left with changes are asked about', async () => {
  const page = await visit();
  await page.click('#open-settings');
  await soon(() => page.isVisible('#system-hint')).toBe(true);
  await soon(() => page.getAttribute('#settings [name=contextLength]', 'placeholder')).toMatch(/^\d+$/);
  await page.keyboard.press('Escape');
  await soon(() => page.locator('.question').count()).toBe(0);
  const kept = (): Promise<unknown> => page.evaluate(() => JSON.parse(localStorage['rivulet-chat.settings']).system);
  for (const yes of [false, true]) {
    await page.click('#open-settings');
    await page.fill('#system', 'Be brief.');
    await page.keyboard.press('Escape');
    await answer(page, yes);
    if (yes) await page.waitForFunction(() => JSON.parse(localStorage['rivulet-chat.settings']).system === 'Be brief.');
    else expect((await kept()) ?? '').toBe('');
  }
});
