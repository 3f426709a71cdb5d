/**
 * Every screen and state of the built pages (bench_screens.ts has those of the benchmark), for people to look at: how
 * each is reached.
 */
import type { Page } from 'playwright';
import type { RivuletChat } from '../../src/element/rivulet_chat';
import { createHub } from '../hub';
import { tinyGguf } from './tiny';

export interface Screen {
  /** another page than the chat */
  path?: string;
  /** needs a browser whose software adapter also draws */
  webgpu?: true;
  /** what the page's address asks for */
  query?: string;
  fragment?: string;
  /** the page down to its end, not only what the window shows; at two sizes */
  full?: boolean;
  /** turns that the conversation begins with */
  turns?: object[];
  /** sizes that show it; all without */
  only?: 'narrow' | 'wide';
  reach(page: Page): Promise<void>;
}

export const SIZES = { phone: [390, 844], small: [320, 640], side: [844, 390], wide: [1440, 900] } as const;
const isNarrow = (page: Page): boolean => (page.viewportSize()?.width ?? 0) < 960;

/** Asks, and waits for the whole answer, or for a question. */
export async function ask(page: Page, question: string): Promise<void> {
  const answers = await page.locator('#messages .assistant').count();
  await page.fill('#prompt', question);
  await page.press('#prompt', 'Enter');
  await page.waitForFunction(
    (n) =>
      document.querySelector('.call.asking') ??
      document.querySelectorAll('#messages .assistant:not([aria-busy])').length > n,
    answers,
  );
}

async function drawer(page: Page): Promise<void> {
  if (!isNarrow(page)) return;
  await page.click('#sidebar-toggle');
  await page.waitForSelector('#sidebar:popover-open');
}

async function manyConversations(page: Page): Promise<void> {
  for (const request of [
    'Convert 12 miles to kilometres',
    'Good morning!',
    'Set a timer for 10 minutes and tell me when it is over, please',
  ]) {
    await ask(page, request);
    await drawer(page);
    await page.click('#new-chat');
    await page.waitForSelector('#first-run:visible');
  }
  await drawer(page);
}

const TYPESET = `Here is a **short** answer with *emphasis*, \`inline code\`, a [link](https://example.org) and ~~a slip~~.

## Steps

1. Measure the flour, the sugar and the butter.
2. Mix them:
   - slowly at first
   - then faster, until the dough is smooth and does not stick to the bowl any more
3. Bake for 25 minutes.

- [x] buy butter
- [ ] find the tin

> A quotation that is long enough to run over more than one line, so that one sees how it is set.

### A table

| City | Population | Founded | Known for |
|---|--:|:-:|---|
| Lisbon | 545,923 | 1147 | trams, tiles, custard tarts |
| Zürich | 443,037 | 15 BC | a lake |

### Code

\`\`\`python
def area(radius: float) -> float:
    """The area of a circle."""
    return 3.14159 * radius ** 2  # approximately, which is good enough for a garden bed or a pizza

print(f"{area(2):.1f}")
\`\`\`

The area is $A = \\pi r^2$, so for $r = 2$:

$$
A = \\pi \\cdot 2^2 \\approx 12.57
$$

It costs $5 and $10.

مرحبا، هذا نص بالعربية.

---

That is all.`;

const LONG_TITLE =
  'Could you tell me, in as few words as possible, why the sky is blue during the day and red in the evening?';

export const SCREENS: Record<string, Screen> = {
  'first-run': { reach: async () => undefined },
  cards: {
    async reach(page) {
      for (const question of ['Convert 12 miles to kilometres', 'Set a timer for 10 minutes'])
        await ask(page, question);
    },
  },
  consent: { reach: (page) => ask(page, 'Add milk to my to-do list') },
  beyond: { reach: (page) => ask(page, 'Why is the sky blue?') },
  reply: {
    turns: [
      { role: 'user', content: LONG_TITLE },
      { role: 'assistant', content: TYPESET, note: '214 tokens · 61 tok/s · 0.1 s to first token' },
    ],
    async reach(page) {
      await page.waitForSelector('math[display=block]');
      await page.waitForSelector('.hljs-keyword');
      await page.evaluate(() => scrollTo(0, 0));
    },
  },
  'reply-middle': {
    turns: [
      { role: 'user', content: LONG_TITLE },
      { role: 'assistant', content: TYPESET, note: '214 tokens · 61 tok/s · 0.1 s to first token' },
    ],
    async reach(page) {
      await page.waitForSelector('math[display=block]');
      await page.locator('.body .table').scrollIntoViewIfNeeded();
      await page.evaluate(() => document.querySelector('.body .table')?.scrollIntoView({ block: 'start' }));
    },
  },
  'reply-end': {
    turns: [
      { role: 'user', content: LONG_TITLE },
      { role: 'assistant', content: TYPESET, note: '214 tokens · 61 tok/s · 0.1 s to first token' },
    ],
    async reach(page) {
      await page.waitForSelector('math[display=block]');
      await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    },
  },
  draft: {
    reach: (page) =>
      page.fill(
        '#prompt',
        'A message of several lines.\n\nIt makes the field grow, up to a limit:\n- one\n- two\n- three',
      ),
  },
  error: {
    query: '&model=./nothing.gguf',
    reach: async (page) => void (await page.waitForSelector('#error:visible')),
  },
  'address-notes': { query: '&context=abc', reach: async () => undefined },
  about: { reach: (page) => page.click('#about summary') },
  sidebar: { reach: manyConversations },
  'sidebar-menu': {
    async reach(page) {
      await manyConversations(page);
      await page.locator('.conversation').nth(1).hover();
      await page
        .getByRole('button', { name: /^Options for/ })
        .nth(1)
        .click();
      await page.waitForSelector('#conversation-menu');
    },
  },
  'sidebar-search': {
    async reach(page) {
      await manyConversations(page);
      await page.fill('#conversation-search', 'runs');
      await page.waitForSelector('.conversation-hit mark');
    },
  },
  'search-none': {
    async reach(page) {
      await manyConversations(page);
      await page.fill('#conversation-search', 'aardvark');
      await page.waitForSelector('#conversation-none:not(:empty)');
    },
  },
  edit: {
    async reach(page) {
      await ask(page, 'Convert 12 miles to kilometres');
      await page.locator('.user').hover();
      await page.getByRole('button', { name: 'Edit' }).click();
    },
  },
  versions: {
    async reach(page) {
      await ask(page, 'Convert 12 miles to kilometres');
      await page.getByRole('button', { name: 'Regenerate' }).click();
      await page.waitForSelector('.versions');
      await page.locator('.user').hover();
    },
  },
  toast: {
    async reach(page) {
      await ask(page, 'Convert 12 miles to kilometres');
      await ask(page, 'Hello!');
      await page.locator('.assistant').last().getByRole('button', { name: 'Delete' }).click();
      await page.waitForSelector('#toast button');
    },
  },
  models: {
    async reach(page) {
      await page.click('#choose');
      await page.waitForSelector('#models[open]');
    },
  },
  'models-end': {
    async reach(page) {
      await page.click('#choose');
      await page.waitForSelector('#models[open]');
      await page.evaluate(() => document.getElementById('models')?.scrollTo(0, 99_999));
    },
  },
  settings: {
    async reach(page) {
      await page.click('#open-settings');
      await page.waitForSelector('#settings[open]');
    },
  },
  'settings-end': {
    async reach(page) {
      await page.click('#open-settings');
      await page.evaluate(() => document.getElementById('settings')?.scrollTo(0, 99_999));
    },
  },
  presets: {
    async reach(page) {
      await page.click('#open-settings');
      await page.waitForSelector('#preset');
      await page.selectOption('#preset', 'Editor');
      await page.locator('#presets').scrollIntoViewIfNeeded();
    },
  },
  'delete-everything': {
    async reach(page) {
      await page.click('#open-settings');
      await page.getByRole('button', { name: /^Delete everything/ }).click();
      await page.waitForTimeout(500);
    },
  },
  help: { reach: async (page) => void (await page.goto(new URL('help.html', page.url()).href)) },
  'question-link': { query: '&q=What+is+17+*+23%3F', reach: async () => undefined },
  notes: {
    async reach(page) {
      await ask(page, 'Add milk to my to-do list');
      await page.getByRole('button', { name: /^Allow/ }).click();
      await page.waitForSelector('#send:visible');
      await ask(page, 'Set a timer for 10 minutes');
      await drawer(page);
      await page.click('#sidebar [data-opens=open-notes]');
      await page.waitForSelector('#notes .entry');
    },
  },
  drop: { only: 'wide', reach: (page) => page.evaluate(() => document.body.classList.add('dropping')) },
};

const ELEMENT = 'rivulet-chat';
/** A state of the element in the page of its example. */
const inElement = (reach: (page: Page) => Promise<unknown>): Screen => ({
  path: 'element.html',
  async reach(page) {
    await page.waitForFunction(() => customElements.get('rivulet-chat'));
    await reach(page);
  },
});
const typeset = (page: Page): Promise<void> =>
  page.locator(ELEMENT).evaluate(
    async (element, [question, answer]) => {
      (element as RivuletChat).messages = [
        { role: 'user', content: question },
        { role: 'assistant', content: answer },
      ];
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    },
    [LONG_TITLE, TYPESET],
  );
/** With a tool, and with another model if one is named. */
const sendInElement = (page: Page, text: string, model?: string): Promise<void> =>
  page.locator(ELEMENT).evaluate(
    async (element, [message, source]) => {
      const chat = element as RivuletChat;
      chat.tools = [
        {
          name: 'set_timer',
          description: 'Start a countdown timer',
          parameters: { type: 'object', properties: { minutes: { type: 'integer' } }, required: ['minutes'] },
          run: () => 'ok',
        },
      ];
      if (source) chat.model = source;
      await chat.send(message).catch(() => undefined);
    },
    [text, model] as const,
  );
/** With a button in the corner of a page. */
const corner = (page: Page): Promise<void> =>
  page.locator(ELEMENT).evaluate((element) => {
    const button = Object.assign(document.createElement('button'), {
      textContent: 'Chat',
      popoverTargetElement: element,
    });
    button.style.cssText = 'position: fixed; inset: auto 1rem 1rem auto';
    element.style.cssText = 'inset: auto 1rem 4rem auto; inline-size: min(24rem, 100vw - 2rem)';
    (element as RivuletChat).popover = 'auto';
    element.before(button);
  });
/** A model with a slow host: the element asks before it downloads. */
const slowElement = (page: Page, query: string): Promise<void> =>
  page.locator(ELEMENT).evaluate((element, given) => {
    const parameters = new URLSearchParams(given);
    for (const name of ['model', 'hub']) element.setAttribute(name, parameters.get(name)!);
    void (element as RivuletChat).send('Hello!').catch(() => undefined);
  }, query);

export const ELEMENT_SCREENS: Record<string, Screen> = {
  'element-empty': inElement(async () => undefined),
  'element-conversation': inElement(async (page) => {
    await typeset(page);
    await page.locator(ELEMENT).evaluate((element) => element.shadowRoot!.querySelector('.messages')!.scrollTo(0, 0));
  }),
  'element-conversation-middle': inElement(async (page) => {
    await typeset(page);
    await page.locator(ELEMENT).evaluate((element) => element.shadowRoot!.querySelector('.task-box')!.scrollIntoView());
  }),
  'element-conversation-end': inElement(typeset),
  'element-tool': inElement((page) => sendInElement(page, 'Set a timer for 10 minutes')),
  'element-error': inElement((page) => sendInElement(page, 'Hello!', './nothing.gguf')),
  'element-closed': inElement(corner),
  'element-open': inElement(async (page) => {
    await corner(page);
    await page.getByRole('button', { name: 'Chat' }).click();
    await page.locator(ELEMENT).getByRole('textbox').waitFor();
  }),
  'element-narrow': inElement(async (page) => {
    await page.locator(ELEMENT).evaluate((element) => void (element.style.inlineSize = '200px'));
    await sendInElement(page, 'Set a timer for 10 minutes');
  }),
  'element-right-to-left': inElement(async (page) => {
    await page.evaluate(() => void (document.documentElement.dir = 'rtl'));
    await sendInElement(page, 'Set a timer for 10 minutes');
  }),
  'element-large-text': inElement(async (page) => {
    await page.evaluate(() => void (document.documentElement.style.fontSize = '32px'));
    await sendInElement(page, 'Hello!', './nothing.gguf');
  }),
  'element-forced-colours': inElement(async (page) => {
    await page.emulateMedia({ forcedColors: 'active' });
    await sendInElement(page, 'Set a timer for 10 minutes');
    await sendInElement(page, 'Hello!', './nothing.gguf');
  }),
};
/** With the query of `slowModel`. */
export const slowElementScreens = (query: string): Record<string, Screen> => ({
  'element-question': inElement(async (page) => {
    await slowElement(page, query);
    await page.locator(ELEMENT).getByRole('button', { name: 'Download' }).waitFor();
  }),
  'element-loading': inElement(async (page) => {
    await slowElement(page, query);
    await page.locator(ELEMENT).getByRole('button', { name: 'Download' }).click();
    await page.waitForFunction(
      () => (document.querySelector('rivulet-chat')!.shadowRoot!.querySelector('progress')?.value ?? 0) > 0.2,
    );
  }),
});

const inside = (reach: (page: Page) => Promise<unknown>): Screen => ({
  path: 'inside.html',
  async reach(page) {
    await page.waitForSelector('#form option', { state: 'attached' });
    await reach(page);
  },
});
async function lookInside(page: Page): Promise<void> {
  await page.click('#look');
  await page.waitForSelector('#result:not([hidden])', { timeout: 120_000 });
  await page.locator('.choices').evaluate((element) => element.scrollIntoView());
}
export const INSIDE_SCREENS: Record<string, Screen> = {
  'inside-start': inside(async () => undefined),
  'inside-surface': { ...inside(lookInside), webgpu: true },
  'inside-surface-head': {
    ...inside(async (page) => {
      await lookInside(page);
      await page.selectOption('#layer', { index: 1 });
    }),
    webgpu: true,
  },
  'inside-map': inside(lookInside),
  'inside-map-head': inside(async (page) => {
    await lookInside(page);
    await page.selectOption('#layer', { index: 1 });
    await page.hover('#map');
  }),
  'inside-values': inside(async (page) => {
    await lookInside(page);
    await page.locator('#values summary').nth(2).click();
    await page.locator('#values').evaluate((element) => element.scrollIntoView());
  }),
  'inside-error': inside(async (page) => {
    await page.fill('#text', 'A sentence that is too long, again and again. '.repeat(10));
    await page.click('#look');
    await page.waitForSelector('#problem:not([hidden])');
  }),
};

/** A repository of two files, and a model that comes slowly: the progress stands still to be looked at. */
export async function slowModel(): Promise<{ query: string; close(): Promise<void> }> {
  const files = { 'LFM2-mine-Q8_0.gguf': tinyGguf({ dtype: 'Q8_0' }), 'LFM2-mine-Q4_0.gguf': tinyGguf({}) };
  const hub = await createHub({
    repos: {
      'a/b': { 'A-model-with-a-long-name-Q4_0.gguf': tinyGguf({ vocab: 24_000 }) },
      'someone/LFM2-mine-GGUF': files,
    },
    pace: 40,
  });
  return { query: `&model=a/b&hub=${encodeURIComponent(hub.origin)}`, close: () => hub.close() };
}
