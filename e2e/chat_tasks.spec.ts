// @module-tag chromium
/** While a reply comes, nothing in the chat page as built moves, and it takes little time of the page. */
import { expect, test } from 'vitest';
import { MISUNDERSTOOD } from '../demo/chat/reply_loop';
import { PATIENCE, testChat } from './chat_page';
import { tasksDuring } from './tasks';

const chat = testChat({ viewport: { width: 390, height: 844 } });

/** The longest that a task may keep the page from answering a person. */
const LONGEST_TASK_MS = 50;

test('while a long reply comes, nothing moves and no task of the page takes long', async () => {
  // as hot as it gets, and the end, which the prompt has seen, made unlikely: the demo model writes on
  await chat.context.addInitScript(
    `localStorage['rivulet-chat.settings'] = JSON.stringify({ backend: 'wasm', temperature: 2, topK: 0, topP: 1, minP: 0, repetitionPenalty: 2, maxTokens: 200, off: [] })`,
  );
  const page = await chat.visit();
  await page.evaluate(async () => {
    // the model is ready one frame before its progress bar is gone from the screen
    for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
    type Shift = PerformanceEntry & {
      value: number;
      sources: { node: Node | null; previousRect: DOMRect; currentRect: DOMRect }[];
    };
    const seen = window as unknown as { shift: number; moved: string[] };
    new PerformanceObserver((list) => {
      for (const { value, sources } of list.getEntries() as Shift[]) {
        seen.shift += value;
        seen.moved.push(
          ...sources.map(
            ({ node, previousRect: from, currentRect: to }) =>
              `${node?.textContent?.trim().slice(0, 60)}: ${from.top} → ${to.top}`,
          ),
        );
      }
    }).observe({ type: 'layout-shift' });
  });
  // a reply may end early, or make way for a line that it was not understood: the first long text is the last. What is
  // said of the tasks holds for all
  for (let [tokens, attempt, text] = [0, 1, MISUNDERSTOOD]; tokens < 150 || text === MISUNDERSTOOD; attempt++) {
    expect(attempt).toBeLessThan(12);
    await page.evaluate(() => Object.assign(window, { shift: 0, moved: [] }));
    const tasks = await tasksDuring(chat.browser, page, async () => {
      await page.fill('#prompt', 'Tell me more.');
      await page.press('#prompt', 'Enter');
      await page.waitForFunction(
        (n) => document.querySelectorAll('#messages .assistant:not([aria-busy])').length >= n,
        attempt,
        { timeout: PATIENCE },
      );
    });
    tokens = Number(/(\d+) tokens/.exec(await page.locator('#messages .assistant .foot').last().innerText())?.[1] ?? 0);
    text = await page.locator('#messages .assistant .body').last().innerText();
    // frames and messages from the worker, at least one for each few tokens
    expect(tasks.length).toBeGreaterThan(tokens / 5);
    const [{ cpuMs, ms, parts }] = tasks;
    console.log(`${tokens} tokens, ${tasks.length} tasks: at most ${cpuMs.toFixed(1)} ms of processor time`);
    // the time on the clock has the work of other processes in it
    expect(cpuMs, JSON.stringify({ ms, parts })).toBeLessThan(LONGEST_TASK_MS);
  }
  expect(await page.evaluate('shift'), String(await page.evaluate('moved.join()'))).toBeLessThan(0.02);
});
