// @module-tag chromium
/**
 * The clients that pages use for OpenAI's interfaces, as they are published, in a page with the demo model: through the
 * `fetch` in the page, and through a service worker.
 */
import { copyFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium } from './harness';
import { BUILT_SITE, serveSite, type Site } from './site';

const root = resolve(import.meta.dirname, '..');
const dist = resolve(BUILT_SITE, '..');
const folder = mkdtempSync(join(tmpdir(), 'rivulet-openai-'));
let browser: Browser;
let context: BrowserContext;
let site: Site;
let page: Page;

const WORKER = `
  import { routeFetchEvent } from './rivulet-openai.mjs';
  addEventListener('install', () => skipWaiting());
  addEventListener('activate', (event) => event.waitUntil(clients.claim()));
  addEventListener('fetch', (event) => routeFetchEvent(event));`;

beforeAll(async () => {
  cpSync(join(root, 'public/models'), join(folder, 'models'), { recursive: true });
  for (const file of ['rivulet.mjs', 'rivulet-openai.mjs', 'rivulet-grammar.mjs'])
    copyFileSync(join(dist, file), join(folder, file));
  const { errors, warnings } = await build({
    entryPoints: [join(root, 'e2e/pages/openai_clients.ts')],
    bundle: true,
    format: 'esm',
    outfile: join(folder, 'main.js'),
    conditions: ['browser'],
    logLevel: 'silent',
    plugins: [
      {
        name: 'built-library',
        setup({ onResolve }) {
          onResolve({ filter: /\/src\/index$/ }, () => ({ path: './rivulet.mjs', external: true }));
          onResolve({ filter: /\/src\/openai\/index$/ }, () => ({ path: './rivulet-openai.mjs', external: true }));
        },
      },
    ],
  });
  expect([...errors, ...warnings].map(({ text }) => text)).toEqual([]);
  writeFileSync(join(folder, 'sw.js'), WORKER);
  const head = '<meta charset="utf-8"><title>Clients</title><link rel="icon" href="data:,">';
  writeFileSync(
    join(folder, 'index.html'),
    `<!doctype html><html lang="en"><head>${head}</head><body><script type="module" src="main.js"></script></body></html>`,
  );
  site = await serveSite({ root: folder });
  browser = await launchChromium();
  context = await browser.newContext();
  page = await open();
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function open(): Promise<Page> {
  const opened = await context.newPage();
  opened.on('pageerror', (error) => console.error(`page: ${error.stack ?? error}`));
  await opened.goto(site.url);
  await opened.waitForFunction('globalThis.clients');
  return opened;
}

/** What a function of e2e/pages/openai_clients.ts returns. */
// oxlint-disable-next-line typescript/no-explicit-any
const run = (path: string, where = page): Promise<any> => where.evaluate(`clients.${path}()`);

function expectBalls(values: { colour: string; count: number }[], wanted: number): void {
  expect(values).toHaveLength(wanted);
  for (const value of values) {
    expect(Object.keys(value).sort()).toEqual(['colour', 'count']);
    expect(['red', 'blue']).toContain(value.colour);
    expect([1, 2, 3, 4, 5, 6, 7, 8, 9]).toContain(value.count);
  }
}

const CALL = { name: 'set_timer', args: { minutes: 10 } };
const started = expect.stringContaining('10 minutes');
let greeting = '';

describe('openai', () => {
  test('answers, streams, lists models, completes', async () => {
    const got = await run('openai.chat');
    greeting = got.text;
    expect(greeting).toMatch(/\w{3}.*[.!?]/);
    expect(got.pieces.length).toBeGreaterThan(2);
    expect(got.pieces.join('')).toBe(greeting);
    expect(got.streamed).toBe(greeting);
    expect(got.usage.total_tokens).toBe(got.usage.prompt_tokens + got.usage.completion_tokens);
    expect(got.streamedUsage.prompt_tokens_details.cached_tokens).toBeGreaterThan(0);
    expect(got.models).toEqual(['tiny']);
    expect(got.completion).not.toBe('');
  });

  test('runs tools, and gets calls from a stream without their markers', async () => {
    expect(await run('openai.tools')).toEqual({ text: started, given: [{ minutes: 10 }] });
    const { contents, calls } = await run('openai.streamedTools');
    expect(calls).toMatchObject([{ type: 'function', function: { name: 'set_timer', arguments: '{"minutes":10}' } }]);
    expect(contents.join('')).not.toContain('<|');
  });

  test('ends the generation when the loop is left or the call is aborted', async () => {
    expect(await run('openai.abort')).toEqual({
      chunks: 4,
      afterBreak: 'ready',
      message: 'Request was aborted.',
      afterAbort: 'ready',
    });
  });

  test('reads errors by their class, path and code', async () => {
    const errors = await run('openai.errors');
    expect(errors.unknown).toMatchObject({ status: 404, param: 'model', code: 'model_not_found' });
    expect(errors.long).toMatchObject({ status: 400, code: 'context_length_exceeded' });
    expect(errors.longStream).toMatchObject({ status: 400, code: 'context_length_exceeded' });
    expect(errors.image).toMatchObject({ status: 400, param: 'messages[0].content[0].type' });
  });

  test('uses responses, which go on from one that the page kept', async () => {
    const got = await run('openai.responses');
    expect(got).toMatchObject({
      first: 'response.created',
      last: 'response.completed',
      arguments: '{"minutes":10}',
      text: started,
    });
    expect(got.read).toBeLessThan(40); // the result and its frame, not the conversation
  });
});

describe('ai with @ai-sdk/openai-compatible', () => {
  test('answers and streams', async () => {
    const got = await run('ai.chat');
    expect([got.text, got.finish]).toEqual([greeting, 'stop']);
    expect(got.pieces.length).toBeGreaterThan(2);
    expect(got.pieces.join('')).toBe(greeting);
    expect(got.usage.inputTokens).toBeGreaterThan(0);
  });

  test('runs tools, whole and streamed', async () => {
    const minutes = { minutes: 10 };
    expect(await run('ai.tools')).toEqual({ text: started, streamed: started, given: [minutes, minutes] });
  });

  test('aborts, reads errors', async () => {
    const { types, state } = await run('ai.abort');
    expect(types).toContain('abort');
    expect(state).toBe('ready');
    expect(await run('ai.errors')).toMatchObject({ status: 400, message: expect.stringContaining('temperature') });
  });

  test('gets JSON that fits a schema, whole and streamed', async () => {
    expectBalls(await run('ai.json'), 2);
  });
});

describe('@langchain/openai', () => {
  test('answers and streams', async () => {
    const got = await run('langchain.chat');
    expect(got.text).toBe(greeting);
    expect(got.pieces.join('')).toBe(greeting);
    expect(got.usage.output_tokens).toBeGreaterThan(2);
  });

  test('calls tools and reads their results', async () => {
    expect(await run('langchain.tools')).toEqual({ calls: [CALL], text: started });
  });

  test('aborts, reads errors', async () => {
    expect(await run('langchain.abort')).toMatchObject({ message: expect.stringMatching(/abort/i), state: 'ready' });
    expect(await run('langchain.errors')).toMatchObject({ status: 400, param: 'temperature' });
  });

  test('gets JSON that fits a schema', async () => {
    expectBalls(await run('langchain.json'), 1);
  });
});

describe('the interface itself', () => {
  test('runs tools, and reads only what is new', async () => {
    const got = await run('own.runTools');
    expect(got).toMatchObject({
      given: [{ minutes: 10 }],
      rounds: 2,
      roles: ['user', 'assistant', 'tool', 'assistant'],
      text: started,
    });
    expect(got.read).toBeLessThan(40);
  });

  test('gives the tokens of a text with their log probabilities', async () => {
    const { text, tokens } = await run('own.logprobs');
    expect(
      tokens
        .map(({ token }: { token: string }) => token)
        .join('')
        .trim(),
    ).toBe(text);
    for (const { token, logprob, bytes, top_logprobs } of tokens) {
      expect(top_logprobs[0]).toMatchObject({ token, logprob }); // the likeliest was taken
      expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(token);
      expect(top_logprobs.length).toBe(2);
    }
  });
});

describe('a service worker', () => {
  test('answers /v1 from the page with the model, for this page and others, and ends with the stream', async () => {
    await run('worker.register');
    expect((await run('worker.status')).status).toBe(503);
    await run('worker.serve');
    const other = await open();
    for (const where of [page, other]) {
      const got = await run('worker.ask', where);
      expect(got.pieces.length).toBeGreaterThan(2);
      expect([got.pieces.join(''), got.text]).toEqual([greeting, greeting]);
      expect(got.wrong).toMatchObject({ status: 404, code: 'model_not_found' });
      expect(await run('worker.raw', where)).toMatchObject({
        type: expect.stringMatching(/^text\/event-stream/),
        status: 200,
        other: 404,
      });
      expect(await run('worker.idle')).toBe('ready');
    }
    expect((await run('worker.status', other)).body.data).toMatchObject([{ id: 'tiny' }]);
    await page.close();
    expect(await run('worker.status', other)).toMatchObject({ status: 503, body: { error: { code: 'no_model' } } });
  });
});
