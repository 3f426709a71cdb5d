/**
 * What a visitor types in the first minute, asked of the built chat page with its demo model in Chromium. `npm run
 * drill:first-minute -- --help` explains the options. The requests are in e2e/first_minute.jsonl. Exit code 1 when a
 * bound is missed.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright';
import type { KeptCall, Turn } from '../../demo/chat/history';
import { launchChromium } from '../harness';
import { serveSite } from '../site';
import { lastStored } from '../stored_conversations';
import { file, flag, startTool, text } from './options';

type Kind = 'tool' | 'greeting' | 'beyond';

interface Request {
  kind: Kind;
  request: string;
  /** sent before it, in the same conversation */
  after?: string;
  /** of kind 'tool': the only right call, by its arguments or by the result in its value */
  call?: { name: string; arguments?: Record<string, unknown>; value?: number };
}

/** share of the requests of a kind that must be right */
const BOUNDS: Record<Kind, { least: number; what: string }> = {
  tool: { least: 0.9, what: 'acted rightly' },
  greeting: { least: 1, what: 'fit' },
  beyond: { least: 1, what: 'without an action, and with the offer of a larger model' },
};

/** Asks in a new conversation, and allows what the page asks to be allowed. */
async function ask(page: Page, { request, after }: Request): Promise<Turn> {
  await page.keyboard.press('Escape'); // a dialog that the last request has opened
  await page.click('#new-chat');
  let count = 0;
  for (const message of after === undefined ? [request] : [after, request]) {
    await page.fill('#prompt', message);
    await page.press('#prompt', 'Enter');
    count++;
    const done = page.waitForFunction(
      (n) => document.querySelectorAll('#messages .assistant:not([aria-busy])').length === n,
      count,
    );
    for (;;) {
      const asked = await Promise.race([done.then(() => false), page.waitForSelector('.call.asking').then(() => true)]);
      if (!asked) break;
      await page
        .locator('.call.asking')
        .getByRole('button', { name: /^Allow/ })
        .evaluate((button: HTMLElement) => button.click());
    }
  }
  return lastStored(page);
}

const folded = (value: unknown): string => JSON.stringify(value).toLowerCase();

function isRight(
  { name, arguments: given, value, state, summary }: KeptCall,
  wanted: NonNullable<Request['call']>,
): boolean {
  // a browser without a voice of its own cannot read aloud
  if (state !== 'done' && !(name === 'read_aloud' && state === 'failed' && /No voice/.test(summary))) return false;
  if (name !== wanted.name) return false;
  if (wanted.value !== undefined) return Math.abs(Number(value.result) - wanted.value) <= 1e-5 * Math.abs(wanted.value);
  return folded(given) === folded(wanted.arguments);
}

function judge({ kind, call }: Request, { content, steps = [], offer }: Turn): boolean {
  const calls = steps.flatMap((step) => step.calls);
  if (kind === 'tool') return call !== undefined && calls.length === 1 && isRight(calls[0], call);
  if (kind === 'greeting') return calls.length === 0 && content !== '' && offer === undefined;
  return calls.every(({ state }) => state !== 'done') && offer !== undefined;
}

const happened = ({ content, steps = [] }: Turn): string =>
  [
    ...steps.flatMap(({ calls }) =>
      calls.map(
        ({ name, arguments: given, state, summary }) => `${name}(${JSON.stringify(given)}) ${state}: ${summary}`,
      ),
    ),
    content,
  ]
    .filter(Boolean)
    .join(' | ');

const { wrong, after, cases, settings } = startTool(
  'npm run drill:first-minute --',
  'Asks the built chat page what a visitor types in the first minute.',
  {
    cases: file('a JSON Lines file of requests', fileURLToPath(new URL('../first_minute.jsonl', import.meta.url))),
    wrong: flag('print only what went wrong'),
    settings: text('JSON', 'of the page, besides the CPU and a seed'),
    after: text('MESSAGE', 'sent before each request, in the same conversation'),
  },
);
const requests = readFileSync(cases, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Request);
const site = await serveSite();
const browser = await launchChromium();
const missed: string[] = [];
try {
  const page = await browser.newPage();
  const chosen = { backend: 'wasm', seed: 1, ...(settings === undefined ? {} : (JSON.parse(settings) as object)) };
  await page.addInitScript((text) => void (localStorage['rivulet-chat.settings'] ??= text), JSON.stringify(chosen));
  await page.goto(site.url);
  await page.waitForSelector('#about:visible');
  for (const kind of ['tool', 'greeting', 'beyond'] as const) {
    const { least, what } = BOUNDS[kind];
    const asked = requests.filter((request) => request.kind === kind);
    let good = 0;
    for (const request of asked) {
      const turn = await ask(page, { after, ...request });
      const right = judge(request, turn);
      if (right) good++;
      if (!right || !wrong)
        console.log(`${right ? 'right' : 'WRONG'}  ${kind.padEnd(8)}  ${request.request}\n       → ${happened(turn)}`);
    }
    const wanted = Math.ceil(least * asked.length);
    console.log(`${kind}: ${good} of ${asked.length} ${what} (wanted: ${wanted})\n`);
    if (good < wanted) missed.push(kind);
  }
} finally {
  await browser.close();
  await site.close();
}
if (missed.length) {
  console.log(`The bound is missed for: ${missed.join(', ')}.`);
  process.exitCode = 1;
}
