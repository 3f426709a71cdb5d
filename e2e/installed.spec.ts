// @module-tag chromium
/**
 * The chat page as an installed app: the offer to install it, files that are opened with it, text that is shared with
 * it.
 */
import type { Page } from 'playwright';
import { expect, test } from 'vitest';
import { ask, BRIEF, PATIENCE, ready, requests, soon, testChat } from './chat_page';
import { addLaunchQueue, openServed, openTexts, shareText } from './launch_queue';

const chat = testChat({ scripts: [BRIEF] });
const MODEL = 'models/rivulet-tiny.gguf';
const named = (page: Page, name: string): Promise<unknown> =>
  page.waitForFunction(
    (wanted) =>
      document.querySelector('#model-name')?.textContent === wanted &&
      document.querySelector('#about:not([hidden])') &&
      document.querySelector<HTMLElement>('#loading')?.hidden,
    name,
    { timeout: PATIENCE },
  );

/** The browser offers the installation. @returns whether the page keeps the browser's own bar away */
const offer = (page: Page): Promise<boolean> =>
  page.evaluate(() => {
    const event = Object.assign(new Event('beforeinstallprompt', { cancelable: true }), {
      prompt: () => {
        const own = window as unknown as { prompts?: number };
        own.prompts = (own.prompts ?? 0) + 1;
        return Promise.resolve();
      },
    });
    window.dispatchEvent(event);
    return event.defaultPrevented;
  });

test('the button to install is there while the browser offers it, and asks once for each offer', async () => {
  const page = await chat.visit();
  const button = page.getByRole('button', { name: 'Install as an app' });
  expect(await button.count()).toBe(0);
  for (const prompts of [1, 2]) {
    expect(await offer(page)).toBe(true);
    await button.click();
    expect(await page.evaluate('prompts')).toBe(prompts);
    await soon(() => button.count()).toBe(0);
  }
  await offer(page);
  await button.waitFor();
  await page.evaluate(() => window.dispatchEvent(new Event('appinstalled')));
  await soon(() => button.count()).toBe(0);
});

test('a model file that the app is opened with answers, and not the model of the last visit', async () => {
  await addLaunchQueue(chat.context);
  const page = await chat.context.newPage();
  await page.goto(`${chat.site.url}?backend=wasm`);
  await page.waitForFunction(() => 'launch' in window);
  await openServed(page, MODEL, 'opened.gguf');
  await named(page, 'opened.gguf');
  await ask(page, 'Hello!');
  expect(await page.locator('#messages .assistant h2').allInnerTexts()).toEqual(['opened.gguf']);
  // into the open page
  await openServed(page, MODEL, 'another.gguf');
  await named(page, 'another.gguf');
  await ask(page, 'Who are you?');
  expect(await page.locator('#messages .assistant h2').allInnerTexts()).toEqual(['opened.gguf', 'another.gguf']);
});

test('a model file that is there before the page has chosen its model answers', async () => {
  await addLaunchQueue(chat.context);
  await chat.context.route('**/config.json', async (route) => {
    await new Promise((go) => setTimeout(go, 1500)); // the page chooses after it
    await route.continue();
  });
  await chat.context.addInitScript(
    ([path]) =>
      (window as unknown as { launch(params: object): void }).launch({
        files: [{ getFile: async () => new File([await (await fetch(path)).blob()], 'first.gguf') }],
      }),
    [MODEL],
  );
  const page = await chat.visit();
  await named(page, 'first.gguf');
  await ask(page, 'Hello!');
  expect(await page.locator('#messages .assistant h2').allInnerTexts()).toEqual(['first.gguf']);
});

test('a text file that is opened goes with the message, a file that is neither is refused by its name', async () => {
  await addLaunchQueue(chat.context);
  const page = await chat.visit();
  await openTexts(page, [{ name: 'notes.txt', text: 'milk and stamps' }]);
  await soon(() => page.locator('#attachments li').allInnerTexts()).toEqual(['notes.txt']);
  await openTexts(page, [{ name: 'broken.gguf', text: 'version https://git-lfs.github.com/spec/v1' }]);
  await page.waitForSelector('#error:has-text("broken.gguf is not a model file")');
  expect(await page.innerText('#model-name')).toBe('Rivulet tiny');
});

test('shared text is put before what is being written, and is not sent', async () => {
  await addLaunchQueue(chat.context);
  const page = await chat.visit('?backend=wasm&text=From+another+app');
  await soon(() => page.inputValue('#prompt')).toBe('From another app');
  await page.fill('#prompt', 'my own words');
  await shareText(page, 'Later');
  await soon(() => page.inputValue('#prompt')).toBe('Later\n\nmy own words');
  expect(await requests(page)).toEqual([]);
  // a reload does not bring the text of the address again
  await page.fill('#prompt', '');
  await page.reload();
  await ready(page);
  expect(await page.inputValue('#prompt')).toBe('');
});
