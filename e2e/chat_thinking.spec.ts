// @module-tag chromium
/**
 * Thinking in the built chat page: folded, apart from the reply, stored with it, and gone on with where it was cut off.
 */
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ask, loadAxe, NO_TOOLS, objections, ready, replies, soon, testChat } from './chat_page';
import { createHub, type Hub } from './hub';
import { scriptedGguf } from './tools/scripted_model';

const chat = testChat();
let hub: Hub;
beforeAll(async () => {
  // words that are tokens of their own wherever they stand: so the reply goes on behind its last word
  const model = scriptedGguf(
    ['<think>', 'Let me', ' see.', '</think>', '\n\n', '**Good**', ' day'].map((added) => ({ added })),
  );
  hub = await createHub({ repos: { 'a/b': { 'Thinks-F32.gguf': model } } });
});
afterAll(() => hub?.close());

async function visit(maxTokens: number): Promise<Page> {
  await chat.context.addInitScript(
    `localStorage['rivulet-chat.settings'] ??= '${JSON.stringify({ backend: 'wasm', threads: 1, temperature: 0, repetitionPenalty: 1, maxTokens, ...NO_TOOLS })}'`,
  );
  return chat.visit(`?model=a/b&hub=${encodeURIComponent(hub.origin)}`);
}
const thinking = (page: Page): Promise<string[]> =>
  page
    .locator('#messages .thinking:visible')
    .evaluateAll((boxes) =>
      boxes.map((box) => `${(box as HTMLDetailsElement).open ? 'open' : 'folded'} ${box.textContent}`),
    );

test('it stands folded above the reply, also after a reload', async () => {
  const page = await visit(24);
  await ask(page, 'Hello!');
  for (const reload of [false, true]) {
    if (reload) {
      await page.reload();
      await ready(page);
    }
    await soon(() => thinking(page)).toEqual(['folded ThoughtLet me see.']);
    await soon(() => replies(page)).toEqual(['Good day']);
    await soon(() => page.locator('#messages .body strong').allInnerTexts()).toEqual(['Good']);
  }
  await page.click('#messages .thinking summary');
  await soon(() => page.locator('#messages .thinking div:visible').allInnerTexts()).toEqual(['Let me see.']);
  await loadAxe(page);
  expect(await objections(page, '#messages')).toEqual([]);
});

test('cut off, it is no reply, and goes on', async () => {
  const page = await visit(3);
  await ask(page, 'Hello!');
  await soon(() => thinking(page)).toEqual(['folded ThoughtLet me see.']);
  await soon(() => page.locator('#messages .assistant .body:visible').count()).toBe(0);
  await page.click('#messages .continue');
  await soon(() => thinking(page)).toEqual(['folded ThoughtLet me see.']);
  await soon(() => replies(page)).toEqual(['Good']);
});
