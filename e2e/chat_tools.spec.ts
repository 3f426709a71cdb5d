// @module-tag chromium
/** The tools of the chat page as built, called by the demo model in Chromium. */
import type { Page } from 'playwright';
import { describe, expect, test } from 'vitest';
import { finished, PATIENCE, ready, replies, soon, testChat } from './chat_page';
import { lastStored } from './stored_conversations';

/** The call that each example of the first run must make. */
const EXAMPLE_CALLS: Record<string, string> = {
  'Set a timer for 10 minutes': 'set_timer(minutes=10)',
  'What time is it in Tokyo?': 'get_time(city="Tokyo")',
  'Convert 12 miles to kilometres': 'convert_units(value=12, source="miles", target="kilometres")',
  'What is 17 * 23?': 'calculate(expression="17 * 23")',
  'Add milk to my to-do list': 'add_todo(task="milk")',
  'Switch to dark mode': 'set_theme(theme="dark")',
  'Switch to light mode': 'set_theme(theme="light")',
};

const chat = testChat();
let page: Page;
const visit = async (): Promise<void> => void (page = await chat.visit());

/** Sends a message, and waits for the reply or for a question. */
async function ask(request: string): Promise<void> {
  const before = await page.locator('#messages .assistant').count();
  await page.fill('#prompt', request);
  await page.press('#prompt', 'Enter');
  await answered(before + 1);
}
const answered = (count: number): Promise<unknown> =>
  page.waitForFunction(
    (n) =>
      document.querySelector('.call.asking') ??
      document.querySelectorAll('#messages .assistant:not([aria-busy])').length === n,
    count,
    { timeout: PATIENCE },
  );

/** What the tools have stored: 'timers', 'notes', 'todos'. */
const stored = (key: string): Promise<{ title?: string; text?: string; end?: number }[]> =>
  page.evaluate(
    (name) =>
      new Promise((resolve, reject) => {
        const opening = indexedDB.open('rivulet-chat-tools');
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const database = opening.result;
          if (!database.objectStoreNames.contains('values')) return resolve([]);
          const reading = database.transaction('values').objectStore('values').get(name);
          reading.onsuccess = () => resolve(reading.result ?? []);
        };
      }),
    key,
  );

describe('a request that a tool fits', () => {
  test('a timer: a card that counts down, survives a reload, and is cancelled', async () => {
    await visit();
    await ask('Set a timer for 10 minutes');
    const card = page.locator('.call.done');
    await soon(() => card.locator('.call-head').innerText()).toMatch(/Timer\s+(10:00|9:\d\d)\s+Running/);
    // the call itself is folded
    await soon(() => card.locator('.call-arguments').isVisible()).toBe(false);
    await card.locator('summary').click();
    await soon(() => card.locator('.call-arguments').isVisible()).toBe(true);
    await soon(() => card.locator('.call-arguments').textContent()).toBe('set_timer(minutes=10)');
    await soon(() => page.innerText('#messages .assistant')).not.toMatch(/tool_call/);
    const [timer] = await stored('timers');
    expect(timer.title).toBe('Timer for 10 minutes');
    expect(Math.abs(timer.end! - Date.now() - 600_000)).toBeLessThan(30_000);

    await page.reload();
    await ready(page);
    await soon(() => stored('timers')).toEqual([timer]);
    await page.click('#sidebar [data-opens=open-notes]');
    await soon(() => page.locator('#notes .entry > div').innerText()).toMatch(
      /^Timer for 10 minutes\nEnds (today|on \w+day) at \d\d:\d\d$/,
    );
    await page.keyboard.press('Escape');
    const left = await card.locator('.call-left').innerText();
    await page.waitForFunction((text) => document.querySelector('.call-left')?.textContent !== text, left);
    await card.locator('summary').click();
    await card.getByRole('button', { name: /^Cancel/ }).click();
    await page.waitForSelector('.call-state:has-text("Cancelled")');
    expect(await card.locator('.call-arguments').isVisible()).toBe(true);
    await soon(() => stored('timers')).toEqual([]);
    await soon(() => card.getByRole('button').count()).toBe(0);
    await page.reload();
    await ready(page);
    await soon(() => card.locator('.call-state').innerText()).toBe('Cancelled');
  });

  test('a sum: the right value on the card, and the model’s words under it', async () => {
    await visit();
    await ask('What is 17 * 23?');
    await soon(() => page.innerText('.call.done .call-summary')).toBe('17 * 23 = 391');
    expect((await replies(page))[0]).toContain('391');
    const { steps } = await lastStored(page);
    expect(steps).toMatchObject([
      {
        text: expect.stringContaining('<|tool_call_start|>'),
        calls: [{ name: 'calculate', state: 'done', value: { result: 391 } }],
      },
    ]);
  });

  test('colours: changed, kept over a reload, and taken back', async () => {
    await visit();
    const [light, dark] = ['rgb(252, 251, 249)', 'rgb(18, 20, 22)'];
    const ground = (): Promise<string> =>
      page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    await soon(() => ground()).toBe(light);
    await ask('Switch to dark mode');
    await soon(() => ground()).toBe(dark);
    await page.reload();
    await ready(page);
    await soon(() => ground()).toBe(dark);
    await page.locator('.call').getByRole('button', { name: /^Undo/ }).click();
    await soon(() => ground()).toBe(light);
    await soon(() => page.innerText('.call-state')).toBe('Taken back');
    await page.emulateMedia({ colorScheme: 'dark' });
    await soon(() => ground()).toBe(dark);
    await ask('make the page light again');
    await soon(() => ground()).toBe(light);
  });

  test('the examples of the first run act rightly, and the first run ends with the first message', async () => {
    await visit();
    const shown = (): Promise<string[]> => page.locator('#first-run li button:visible').allInnerTexts();
    const examples = Object.keys(EXAMPLE_CALLS);
    // of the two about colours, the one that changes something
    await soon(shown).toEqual(examples.slice(0, -1));
    for (const example of examples) {
      await page.click('#new-chat');
      await page.waitForSelector('#first-run:visible');
      if (example.includes('light')) await soon(shown).toEqual([...examples.slice(0, -2), example]);
      await page.locator('#first-run li button', { hasText: example }).click();
      await answered(1);
      await soon(() => page.isVisible('#first-run')).toBe(false);
      const allow = page.getByRole('button', { name: /^Allow/ });
      if (await allow.count()) await allow.click();
      await finished(page, 1);
      await soon(() => page.locator('.call .call-arguments').allTextContents()).toEqual([EXAMPLE_CALLS[example]]);
      await soon(() => page.locator('.call.done').count()).toBe(1);
      if (example.startsWith('Convert'))
        await soon(async () => (await replies(page))[0]).toMatch(/19\.3121 kilometres/);
    }
    await page.click('#new-chat');
    await soon(shown).toEqual(examples.slice(0, -1));
    await page.emulateMedia({ colorScheme: 'dark' });
    await soon(shown).toEqual(examples.slice(0, -1));
    await page.click('#first-run-offer [aria-haspopup]');
    await page.waitForSelector('#models[open]');
  });
});

describe('what is not done', () => {
  test('a call whose values do not occur in the request', async () => {
    await visit();
    // the demo model may get these wrong: then nothing runs, and the page says so
    const requests = {
      'Set an alarm for 6:45 am': 'Alarm at 06:45',
      'Nice to meet you': undefined,
      'set a timer for half an hour please': 'Timer for 30 minutes',
    };
    let before = 0;
    for (const [request, title] of Object.entries(requests)) {
      await page.click('#new-chat');
      await ask(request);
      const timers = await stored('timers');
      for (const timer of timers.slice(before)) expect(timer.title).toBe(title);
      before = timers.length;
      if (!(await page.locator('.call.refused').count())) continue;
      expect((await replies(page))[0]).toBe('The demo model did not understand this request, so nothing was done.');
      await soon(() => page.innerText('#messages .offer')).toContain('start a countdown timer');
    }
  });

  test('a question beyond it: the model’s own words, and the offer of a larger model once in a conversation', async () => {
    await visit();
    for (const request of ['Why is the sky blue?', 'What is the capital of Australia?']) await ask(request);
    expect((await replies(page)).every((text) => text.trim() !== '')).toBe(true);
    await soon(() => page.locator('.call').count()).toBe(0);
    const offer = page.locator('#messages .offer');
    await soon(() => offer.count()).toBe(1);
    await offer.getByRole('button', { name: 'Choose another model' }).click();
    await page.waitForSelector('#models[open]');
  });

  test('a lasting change without consent; with it, the task is in the list, and is deleted there', async () => {
    await visit();
    const request = 'Add call the dentist to my to-do list';
    await ask(request);
    await soon(() => page.innerText('.call.asking .call-summary')).toBe('Save “call the dentist” on this device?');
    // the keyboard alone: the card has the focus, Allow comes first
    await page.waitForSelector('.call.asking:focus');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await soon(() => page.evaluate(() => document.activeElement?.textContent)).toBe('Not now');
    await page.keyboard.press('Enter');
    await finished(page, 1);
    await soon(() => page.innerText('.call.declined .call-state')).toBe('Not allowed');
    await soon(() => stored('todos')).toEqual([]);

    await page.click('#new-chat');
    await ask(request);
    await page.keyboard.press('Escape'); // stops the reply, which is no consent
    await page.waitForSelector('#send:visible');
    await soon(() => stored('todos')).toEqual([]);

    await page.click('#new-chat');
    await ask(request);
    await page.getByRole('button', { name: /^Allow/ }).click();
    await finished(page, 1);
    await soon(() => stored('todos')).toMatchObject([{ text: 'call the dentist' }]);
    await page.click('#open-settings');
    await page.click('#open-notes');
    await page.getByRole('button', { name: 'Delete: call the dentist' }).click();
    await page.waitForSelector('#notes-status:has-text("Deleted")');
    await soon(() => stored('todos')).toEqual([]);
    await soon(() => page.textContent('.call-state')).toBe('Taken back');
  });

  test('a tool that is switched off', async () => {
    await visit();
    await page.click('#open-settings');
    await page.getByLabel('Timer', { exact: true }).uncheck();
    await soon(() => page.getByLabel('All tools').evaluate((box: HTMLInputElement) => box.indeterminate)).toBe(true);
    await page.getByLabel('All tools').check();
    await page.getByLabel('All tools').uncheck();
    await page.click('#settings [value=save]');
    expect((await page.evaluate(() => JSON.parse(localStorage['rivulet-chat.settings']))).off).toHaveLength(13);
    await ask('Set a timer for 10 minutes');
    await soon(() => page.locator('.call.done').count()).toBe(0);
    await soon(() => stored('timers')).toEqual([]);

    await page.click('#new-chat');
    await page.click('#open-settings');
    await page.getByLabel('All tools').check();
    await page.click('#settings [value=save]');
    await ask('Set a timer for 10 minutes');
    await soon(() => page.locator('.call.done').count()).toBe(1);
  });
});

test('hostile arguments and summaries are shown as text, and damaged calls in storage are left out', async () => {
  const evil = '<img src=x onerror="window.hit=1"><b>bold</b>';
  const call = {
    name: evil,
    title: evil,
    arguments: { [evil]: evil },
    state: 'done',
    summary: evil,
    value: { before: evil },
    brief: evil,
    repairs: [evil],
    ms: 1,
  };
  const steps = [
    { text: `${evil}<|tool_call_start|>[x(]<|tool_call_end|>`, calls: [call, { ...call, state: 'hacked' }, null, 7] },
    'x',
    { text: 1, calls: [] },
  ];
  await chat.context.addInitScript(
    (turns) => (localStorage['rivulet-chat.turns'] = turns),
    JSON.stringify([
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: 'Done.', steps, offer: evil },
      { role: 'assistant', content: 'x', steps: 'x' },
    ]),
  );
  await visit();
  const card = page.locator('.call');
  await soon(() => card.count()).toBe(1);
  await soon(() => page.locator('.calls').locator('img, b, script').count()).toBe(0);
  await soon(() => card.locator('.call-summary').innerText()).toBe(evil);
  await soon(() => card.locator('strong').innerText()).toBe(evil);
  await soon(() => card.locator('.call-arguments').textContent()).toContain('onerror');
  await soon(() => page.innerText('.said')).toBe(evil);
  await soon(() => page.locator('#messages .offer').count()).toBe(0);
  await soon(() => page.evaluate(() => 'hit' in window)).toBe(false);
  await soon(() => replies(page)).toEqual(['Done.', 'x']);
});
