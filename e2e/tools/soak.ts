/**
 * Many turns over several conversations of the built chat page in Chromium: does its memory grow? `npm run soak --
 * --help` explains the options.
 * Memory is measured in an empty chat, after a garbage collection, so that what grows is what was not given up. Exit
 * code 1 when it grows too much.
 */
import type { CDPSession, Page } from 'playwright';
import { launchChromium } from '../harness';
import { serveSite } from '../site';
import { startTool, whole } from './options';

const LIMIT = 0.05;
const REQUESTS = [
  'Good morning',
  'Set a timer for 10 minutes',
  'What is 17 * 23?',
  'Thanks!',
  'Convert 12 miles to kilometres',
  'How are you?',
  'What time is it in Tokyo?',
  'Who are you?',
];

interface Sample {
  /** of the page and its workers, by the browser's own count */
  total: number;
  /** of the page's script */
  heap: number;
  nodes: number;
  listeners: number;
}

async function measure(page: Page, session: CDPSession): Promise<Sample> {
  await page.click('#new-chat');
  await page.waitForFunction(() => document.querySelectorAll('#messages li').length === 0);
  for (let i = 0; i < 3; i++) await session.send('HeapProfiler.collectGarbage');
  const total = await page.evaluate(async () => {
    const { measureUserAgentSpecificMemory } = performance as Performance & {
      measureUserAgentSpecificMemory?(): Promise<{ bytes: number }>;
    };
    return (await measureUserAgentSpecificMemory?.call(performance))?.bytes ?? 0;
  });
  const { metrics } = await session.send('Performance.getMetrics');
  const value = (name: string): number => metrics.find((metric) => metric.name === name)?.value ?? 0;
  return { total, heap: value('JSHeapUsedSize'), nodes: value('Nodes'), listeners: value('JSEventListeners') };
}

async function ask(page: Page, request: string): Promise<void> {
  const before = await page.locator('#messages > .assistant:not([aria-busy]) .copy').count();
  await page.fill('#prompt', request);
  await page.press('#prompt', 'Enter');
  await page.waitForFunction(
    (n) => document.querySelectorAll('#messages > .assistant:not([aria-busy]) .copy').length > n,
    before,
  );
}

const { turns, conversations, warm } = startTool(
  'npm run soak --',
  'Chats on the built page for many turns, and measures its memory.',
  {
    turns: whole('all turns', 300, 10),
    conversations: whole('over which they are spread', 10, 1),
    warm: whole('turns before the first measurement', 100, 1),
  },
);
const site = await serveSite();
const browser = await launchChromium({ args: ['--enable-blink-features=ForceEagerMeasureMemory'] });
try {
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(`page: ${error.stack ?? error}`));
  await page.addInitScript(`localStorage['rivulet-chat.settings'] ??= '{"backend":"wasm","seed":1,"maxTokens":48}'`);
  await page.goto(site.url);
  await page.waitForSelector('#about:visible');
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  for (let i = 0; i < conversations; i++) {
    await page.click('#new-chat');
    await ask(page, `Conversation ${i}`);
  }
  const samples: Sample[] = [];
  const row = (turn: number, { total, heap, nodes, listeners }: Sample): void =>
    console.log(
      `after ${String(turn).padStart(4)} turns: ${(total / 1e6).toFixed(1)} MB in all, ${(heap / 1e6).toFixed(2)} MB of script, ${nodes} nodes, ${listeners} listeners`,
    );
  for (let turn = conversations; turn < turns; turn++) {
    if (turn % 3 === 0) {
      const title = `Conversation ${(turn * 7) % conversations}`;
      await page.locator('.conversation-open', { has: page.getByText(title, { exact: true }) }).click();
      await page.waitForSelector(`#conversation-title:text-is("${title}")`);
    }
    await ask(page, REQUESTS[turn % REQUESTS.length]);
    if (turn + 1 < warm || ((turn + 1 - warm) % 50 && turn + 1 < turns)) continue;
    const sample = await measure(page, session);
    samples.push(sample);
    row(turn + 1, sample);
    await page.locator('.conversation-open').first().click();
  }
  const [first, last] = [samples[0], samples.at(-1)!];
  const grown = { total: last.total / first.total - 1, heap: last.heap / first.heap - 1 };
  const percent = (part: number): string => `${(part * 100).toFixed(1)} %`;
  console.log(
    `grown by ${percent(grown.total)} in all, ${percent(grown.heap)} of script (allowed: ${percent(LIMIT)} in all)`,
  );
  if (!(grown.total <= LIMIT)) process.exitCode = 1;
} finally {
  await browser.close();
  await site.close();
}
