// @module-tag chromium
/**
 * The chat page as built when memory is short: under pressure it goes on, and what the browser has ended comes back as
 * far as it came.
 */
import type { CDPSession, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PATIENCE, ready, requests, soon, testChat } from './chat_page';
import type { Hub } from './hub';
import { createSlowHub, SLOW_SETTINGS, slowAddress } from './slow_model';
import { storedConversations } from './stored_conversations';

let hub: Hub;
beforeAll(async () => void (hub = await createSlowHub()));
afterAll(() => hub?.close());
const chat = testChat({ scripts: [`localStorage['rivulet-chat.settings'] ??= ${JSON.stringify(SLOW_SETTINGS)}`] });

const visit = (): Promise<Page> => chat.visit(new URL(slowAddress(chat.site, hub)).search);
const answer = (page: Page): Promise<string> =>
  page
    .locator('#messages .assistant .body')
    .last()
    .evaluate(({ textContent }) => textContent ?? '');
const answering = (page: Page): Promise<boolean> => page.isVisible('#stop');

/** Asks, and returns when a part of the answer is shown and stored. */
async function startAnswer(page: Page): Promise<void> {
  await page.fill('#prompt', 'Go on.');
  await page.press('#prompt', 'Enter');
  await soon(async () => (await storedAnswer(page)).length).toBeGreaterThan(20);
  expect(await answering(page)).toBe(true);
}
/** The last answer, as far as it is stored. */
const storedAnswer = async (page: Page): Promise<string> =>
  (await storedConversations(page).catch(() => []))
    .flatMap(({ messages }) => Object.values(messages))
    .filter(({ role }) => role === 'assistant')
    .reduce((last, { created, content }) => (created > last.created ? { created, content } : last), {
      created: 0,
      content: '',
    }).content;

test('under memory pressure the answer goes on to its end, and the next one comes', async () => {
  const page = await visit();
  await startAnswer(page);
  const session = await chat.context.newCDPSession(page);
  for (const level of ['moderate', 'critical', 'critical'] as const) {
    await session.send('Memory.simulatePressureNotification', { level });
    await session.send('HeapProfiler.collectGarbage');
    const before = (await answer(page)).length;
    await soon(async () => !(await answering(page)) || (await answer(page)).length > before).toBe(true);
  }
  await page.waitForSelector('#stop', { state: 'hidden', timeout: PATIENCE });
  expect(await page.locator('#messages .foot').last().innerText()).toMatch(/tokens/);
  await startAnswer(page);
  expect(await page.locator('#error:visible, .reply-error').count()).toBe(0);
});

describe('what the browser ends', () => {
  const ways: { what: string; end(page: Page, session: CDPSession): Promise<Page> }[] = [
    {
      what: 'the process of the tab',
      async end(page, session) {
        const crashed = page.waitForEvent('crash');
        void session.send('Page.crash').catch(() => undefined);
        await crashed;
        await page.close();
        return chat.context.newPage();
      },
    },
    {
      what: 'the script memory of the tab',
      async end(page, session) {
        await session.send('Memory.forciblyPurgeJavaScriptMemory');
        return page;
      },
    },
  ];
  test.each(ways)(
    '$what: the answer so far, what waits and what is being written are there at the next visit',
    async ({ end }) => {
      const page = await visit();
      await startAnswer(page);
      await page.fill('#prompt', 'A second question');
      await page.press('#prompt', 'Enter');
      await page.waitForSelector('#waiting li');
      await page.locator('#prompt').pressSequentially('half a thought');
      await page.waitForFunction(() =>
        Object.entries(localStorage).some(
          ([key, value]) => key.startsWith('rivulet-chat.draft.') && String(value).includes('half a thought'),
        ),
      );
      expect(await answering(page)).toBe(true);
      const stored = await storedAnswer(page);
      const again = await end(page, await chat.context.newCDPSession(page));
      await again.goto(slowAddress(chat.site, hub));
      await ready(again);
      await soon(() => requests(again)).toEqual(['Go on.']);
      const kept = await storedAnswer(again);
      expect(kept.slice(0, stored.length)).toBe(stored);
      // white space at its ends is not shown
      await soon(async () => (await answer(again)).length).toBeGreaterThan(0.9 * stored.length);
      expect(await again.locator('#messages .figures').last().innerText()).toBe('interrupted');
      await soon(() => again.inputValue('#prompt')).toBe('A second question\n\nhalf a thought');
      await again.getByRole('button', { name: 'Continue' }).click();
      await soon(async () => (await storedAnswer(again)).length).toBeGreaterThan(kept.length);
      expect((await storedAnswer(again)).slice(0, kept.length)).toBe(kept);
    },
  );

  test('the worker of the model: it is said at the answer, and one press brings model and answer back', async () => {
    const page = await visit();
    await startAnswer(page);
    await page.workers()[0].evaluate(
      () =>
        void setTimeout(() => {
          throw new Error('out of memory');
        }),
    );
    await page.waitForSelector('.reply-error');
    expect(await page.textContent('.reply-error')).toContain('out of memory');
    const shown = await answer(page);
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.waitForSelector('.reply-error', { state: 'detached' });
    await soon(async () => (await answering(page)) && (await answer(page)).length).toBeGreaterThan(5);
    await soon(() => requests(page)).toEqual(['Go on.']);
    expect(shown.length).toBeGreaterThan(5);
  });
});
