// @module-tag chromium
/**
 * Nothing leaves the device: a whole visit of the chat page and of the element, in a Chromium whose every connection
 * goes through a proxy that writes it down.
 */
import { createServer, request as forward } from 'node:http';
import type { Socket } from 'node:net';
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { RivuletChat } from '../src/element/rivulet_chat';
import { ask, finished, newChat, ready, replies, saveSettings, visitPage } from './chat_page';
import { launchChromium } from './harness';
import { serveSite, type Site } from './site';

/**
 * Chromium itself asks these, for form filling, accounts and its own updates. No request of a page is among them, which
 * `asked` shows.
 */
const BROWSERS_OWN = /(?:^|\.)(?:google|googleapis|gvt1)\.com(?::\d+)?$/;
/** stands in everything that is typed */
const SECRET = 'Zanzibar';

interface Sent {
  host: string;
  /** the request line, the headers and the body */
  text: string;
  method: string;
}

interface Proxy {
  port: number;
  sent: Sent[];
  close(): Promise<unknown>;
}

/** Forwards what is for `own`, refuses all else, and writes down both: a request by its text, a tunnel by its host. */
async function recordingProxy(own: string): Promise<Proxy> {
  const sent: Sent[] = [];
  const server = createServer(async (request, response) => {
    const { method = '', url = '', headers } = request;
    let body = '';
    for await (const piece of request) body += String(piece);
    const { host } = new URL(url);
    sent.push({ host, method, text: `${method} ${decodeURIComponent(url)}\n${JSON.stringify(headers)}\n${body}` });
    if (host !== own) return void response.writeHead(502).end();
    forward(url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    }).on('error', () => response.destroy()).end(body); // prettier-ignore
  });
  server.on('connect', ({ url = '' }, socket: Socket) => {
    sent.push({ host: url, method: 'CONNECT', text: url });
    socket.destroy();
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const address = server.address();
  if (!address || typeof address === 'string') throw new Error('the proxy did not get a port');
  return {
    port: address.port,
    sent,
    close: () => (server.closeAllConnections(), new Promise((closed) => server.close(closed))),
  };
}

let site: Site;
let own: string;
let proxy: Proxy;
let browser: Browser;
let context: BrowserContext;
/** what pages, workers and service workers ask for, as the browser reports it */
let asked: string[];

beforeAll(async () => {
  site = await serveSite();
  own = new URL(site.url).host;
  proxy = await recordingProxy(own);
  // without the last flag a proxy is not used for this machine's own addresses
  browser = await launchChromium({
    args: [`--proxy-server=http://127.0.0.1:${proxy.port}`, '--proxy-bypass-list=<-loopback>'],
  });
});
afterAll(async () => {
  await browser?.close();
  await proxy?.close();
  await site?.close();
});
beforeEach(async () => {
  proxy.sent.length = 0;
  context = await browser.newContext();
  asked = [];
  context.on('request', (request) => void (/^(?:blob|data):/.test(request.url()) || asked.push(request.url())));
  context.on('page', (page) => page.on('websocket', (socket) => asked.push(socket.url())));
});
afterEach(() => context.close());

/** Only files of the page's own host were asked for, and no request holds what was typed. */
function expectPrivate(file: string): void {
  expect(
    proxy.sent.some(({ text }) => text.includes(file)),
    `${file} was asked for through the proxy`,
  ).toBe(true);
  expect(asked.filter((url) => new URL(url).host !== own)).toEqual([]);
  expect(proxy.sent.filter(({ host }) => host !== own && !BROWSERS_OWN.test(host)).map(({ text }) => text)).toEqual([]);
  expect(
    proxy.sent.filter(({ host, method }) => host === own && !['GET', 'HEAD'].includes(method)).map(({ text }) => text),
  ).toEqual([]);
  expect(
    proxy.sent.filter(({ text }) => text.toLowerCase().includes(SECRET.toLowerCase())).map(({ text }) => text),
  ).toEqual([]);
}

test('the proxy sees what a page, a worker, an image and a socket send to others', async () => {
  const page = await context.newPage();
  await page.goto(`${site.url}absent.html`); // a page without the policy that forbids most of this
  await page.evaluate(async () => {
    const work = `fetch('http://worker.example/').catch(() => 0).finally(() => postMessage(0))`;
    const worker = new Worker(URL.createObjectURL(new Blob([work])));
    const done = new Promise((resolve) => (worker.onmessage = resolve));
    await fetch('http://page.example/', { method: 'POST', body: 'text' }).catch(() => undefined);
    await new Promise((resolve) => Object.assign(new Image(), { onerror: resolve, src: 'http://image.example/' }));
    await new Promise((resolve) => Object.assign(new WebSocket('ws://socket.example/'), { onerror: resolve }));
    navigator.sendBeacon('http://beacon.example/', 'text');
    await done;
  });
  const hosts = (): string[] => proxy.sent.map(({ host }) => host);
  await expect.poll(() => hosts().includes('beacon.example'), { timeout: 10_000 }).toBe(true);
  expect(hosts()).toEqual(
    expect.arrayContaining([own, 'page.example', 'worker.example', 'image.example', 'socket.example:80']),
  );
  const reported = asked.map((url) => new URL(url).host);
  expect(reported).toEqual(
    expect.arrayContaining([own, 'page.example', 'worker.example', 'image.example', 'socket.example']),
  );
});

test('a visit of the chat page: answers, tools, a note, settings, models, search, export, and a second visit', async () => {
  let page: Page = await visitPage(site.url, context);
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await ask(page, `Hello! I live in ${SECRET}.`);
  await ask(page, 'Set a timer for 10 minutes');
  await newChat(page);
  await page.fill('#prompt', `Add call ${SECRET} to my to-do list`);
  await page.press('#prompt', 'Enter');
  const allow = page.getByRole('button', { name: /^Allow/ });
  await allow.click({ timeout: 20_000 }).catch(() => undefined); // the model may answer without a call
  await finished(page, 1);
  await ask(page, `What is the capital of ${SECRET}?`);
  expect((await replies(page)).length).toBe(2);
  await saveSettings(page, { maxTokens: 16 });
  await page.click('#choose');
  await page.waitForSelector('#models .model');
  await page.keyboard.press('Escape');
  await page.fill('#conversation-search', SECRET);
  await page.waitForFunction(() => document.querySelectorAll('#conversation-list li').length > 0);
  await page.fill('#conversation-search', '');
  await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export all' }).click()]);
  await page.fill('#prompt', `A draft about ${SECRET}`);
  await page.close();
  page = await visitPage(site.url, context);
  await ready(page);
  await ask(page, `Good morning, ${SECRET}!`);
  expectPrivate('models/rivulet-tiny.gguf');
});

test('a visit of the element', async () => {
  const page = await context.newPage();
  await page.goto(`${site.url}element.html`);
  await page.waitForFunction(() => customElements.get('rivulet-chat'));
  const said = await page.evaluate(async (secret) => {
    const chat = document.querySelector('rivulet-chat') as RivuletChat;
    chat.tools = [
      {
        name: 'set_timer',
        description: 'Start a countdown timer',
        parameters: { type: 'object', properties: { minutes: { type: 'integer' } }, required: ['minutes'] },
        run: () => 'ok',
      },
    ];
    return [await chat.send(`Hello! I live in ${secret}.`), await chat.send('Set a timer for 10 minutes')];
  }, SECRET);
  expect(said.every((words) => words.trim() !== '')).toBe(true);
  expectPrivate('models/rivulet-tiny.gguf');
});
