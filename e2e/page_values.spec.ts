// @module-tag chromium
/**
 * Values as pages hold them, listeners as pages write them, and addresses that answer nobody, in Chromium with the
 * built script.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type * as Rivulet from '../src/index';
import { launchChromium, serve, type Served } from './harness';

const tiny = readFileSync('public/models/rivulet-tiny.gguf');
const PAGE =
  '<!doctype html><title>page</title><link rel="icon" href="data:," /><script src="/dist/rivulet.js"></script>';
const POLICY =
  "default-src 'self'; img-src data:; worker-src blob:; script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval' blob:";
const sha = '0123456789abcdef0123456789abcdef01234567';

let browser: Browser;
let site: Served;
/** another origin, which lets no page read its files: only its list of files */
let other: Server;
let otherOrigin: string;

beforeAll(async () => {
  browser = await launchChromium();
  other = createServer((request, response) => {
    const list = request.url!.startsWith('/api/');
    response.writeHead(200, {
      'content-type': list ? 'application/json' : 'application/octet-stream',
      ...(list && { 'access-control-allow-origin': '*' }),
    });
    response.end(list ? JSON.stringify({ sha, siblings: [{ rfilename: 'M-Q4_0.gguf', size: tiny.length }] }) : tiny);
  });
  await new Promise<void>((ready) => other.listen(0, '127.0.0.1', ready));
  otherOrigin = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
  site = await serve({
    isolated: false,
    mounts: { '/model': 'public/models' },
    answer(request, response) {
      if (request.url === '/moved.gguf') return response.writeHead(302, { location: `${otherOrigin}/m.gguf` }).end();
      if (request.url === '/compressed.gguf')
        return response
          .writeHead(200, { 'content-type': 'application/octet-stream', 'content-encoding': 'gzip' })
          .end(gzipSync(tiny));
      if (request.url === '/silent.gguf') return response;
      if (request.url === '/page.html') return response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
      if (request.url === '/policy.html')
        return response.writeHead(200, { 'content-type': 'text/html', 'content-security-policy': POLICY }).end(PAGE);
      return undefined;
    },
  });
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
  other?.closeAllConnections();
  other?.close();
});

type Window = { rivulet: typeof Rivulet; model: Rivulet.Model };

async function open(path = '/page.html'): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  await page.goto(site.origin + path);
  await page.waitForFunction(() => 'rivulet' in window);
  return page;
}

/** What a script of the page gives, or the error as `name: message`. `reactive` makes proxies as frameworks do. */
const run = (page: Page, script: string): Promise<unknown> =>
  page.evaluate(`(async () => {
    const reactive = (value) => new Proxy(value, { get: (target, key) => (typeof target[key] === 'object' && target[key] !== null ? reactive(target[key]) : Reflect.get(target, key)) });
    const hi = [{ role: 'user', content: 'Hello!' }];
    const ask = async (messages, options) => (await model.chat(messages, { maxTokens: 1, temperature: 0, ...options }).result).tokens;
    const take = async (source, options) => {
      const other = await rivulet.load(source, { backend: 'wasm', contextLength: 128, ...options });
      await other.unload();
      return 'taken';
    };
    const file = async () => new File([await (await fetch('/model/rivulet-tiny.gguf')).blob()], 'tiny.gguf');
    try { return await (async () => { ${script} })(); } catch (error) { return error.name + ': ' + error.message; }
  })()`);

describe('values of a page', () => {
  let page: Page;
  beforeAll(async () => {
    page = await open();
    await page.evaluate(async () => {
      const { rivulet } = window as unknown as Window;
      (window as unknown as Window).model = await rivulet.load('/model/rivulet-tiny.gguf', {
        backend: 'wasm',
        contextLength: 512,
      });
    });
  });
  afterAll(() => page?.context().close());

  it.each([
    ['reactive messages', 'return ask(reactive(hi))', 1],
    [
      'reactive tools, and functions in them',
      "return ask(hi, { tools: reactive([{ name: 'f', parameters: {}, execute() {} }]) })",
      1,
    ],
    [
      'a message with a method and an address',
      "return ask([{ ...hi[0], remove() {}, source: new URL('https://a.example/') }])",
      1,
    ],
    ['reactive options', "return (await model.chat(hi, reactive({ maxTokens: 1, stop: ['zzz'] })).result).tokens", 1],
    ['null for options, and for one', 'return ask(hi, { topP: null, signal: null })', 1],
    ['a bias by token id', 'return ask(hi, { bias: { 5: -100 } })', 1],
    ['messages for render()', "return (await model.render(reactive(hi))).includes('Hello!')", true],
    [
      'token ids in a typed array',
      "return (await model.generate(Uint32Array.from(await model.tokenize('Hello')), { maxTokens: 1 }).result).tokens",
      1,
    ],
    ['a URL as source', "return take(new URL('/model/rivulet-tiny.gguf', location.href))", 'taken'],
    ['a URL in { url }', "return take({ url: new URL('/model/rivulet-tiny.gguf', location.href) })", 'taken'],
    [
      'a URL as hub',
      "return take('Org/Repo', { hub: new URL('/none', location.href), policy: { attempts: 1 } })",
      /^SourceError/,
    ],
    [
      'the FileList of an <input>',
      'const chosen = new DataTransfer(); chosen.items.add(await file()); return take({ files: chosen.files })',
      'taken',
    ],
    ['a File in a proxy of an object', 'return take(new Proxy({ file: await file() }, {}))', 'taken'],
    [
      'a file handle',
      "const root = await navigator.storage.getDirectory(); const handle = await root.getFileHandle('tiny.gguf', { create: true }); const writer = await handle.createWritable(); await writer.write(await file()); await writer.close(); return take(handle)",
      'taken',
    ],
    [
      'a signal of another window',
      "const frame = document.body.appendChild(document.createElement('iframe')); return take('/model/rivulet-tiny.gguf', { signal: new frame.contentWindow.AbortController().signal })",
      'taken',
    ],
    [
      'an abort from another window',
      "const frame = document.body.appendChild(document.createElement('iframe')); const other = new frame.contentWindow.AbortController(); const taken = take('/model/rivulet-tiny.gguf', { signal: other.signal, cache: false }); setTimeout(() => other.abort(), 1); return taken",
      /^AbortError/,
    ],
  ])('takes %s', async (_, script, wanted) => {
    const got = await run(page, script);
    if (wanted instanceof RegExp) expect(got).toMatch(wanted);
    else expect(got).toBe(wanted);
  });

  it.each([
    ['a message with a DOM node', 'return ask([{ ...hi[0], element: document.body }])', /HTMLBodyElement/],
    ['a promise of messages', 'return ask(Promise.resolve(hi))', /Promise/],
    ['a role that does not exist', "return ask([{ role: 'humann', content: '' }])", /wanted user/],
    ['an option of another library', 'return ask(hi, { max_tokens: 2 })', /wanted maxTokens/],
    ['an option of another type', "return take('/model/rivulet-tiny.gguf', { threads: '2' })", /threads/],
    ['a signal that is none', 'return ask(hi, { signal: {} })', /signal/],
    ['a proxy of a signal', 'return ask(hi, { signal: reactive(new AbortController().signal) })', /cannot be read/],
    ['a proxy of a File', 'return take({ file: reactive(await file()) })', /cannot be read/],
    ['a promise as source', "return take(Promise.resolve('/model/rivulet-tiny.gguf'))", /Await a promise/],
    ['no source', 'return take()', /Undefined/],
    ['bytes as source', 'return take(new Uint8Array(100e6))', /into a Blob/],
    ['a wrong option of deleteModel', "return rivulet.deleteModel('x', { waits: false })", /wanted wait/],
    ['an id that is none', 'return rivulet.verifyModel(5)', /id is not valid/],
    ['bytes for importModel', 'return rivulet.importModel(new Uint8Array(8))', /Uint8Array/],
    [
      'an option of estimate',
      "return rivulet.estimate('/model/rivulet-tiny.gguf', { n_ctx: 5 })",
      /wanted contextLength/,
    ],
    [
      'an option of modelRoom',
      "return rivulet.modelRoom('/model/rivulet-tiny.gguf', { cache: false })",
      /no known option/,
    ],
    ['a number as text', 'return model.tokenize(5)', /text is not valid/],
  ])('refuses %s', async (_, script, message) => {
    const began = Date.now();
    const got = await run(page, script);
    expect(got).toMatch(/^RequestError: /);
    expect(got).toMatch(message);
    expect(Date.now() - began).toBeLessThan(5000);
  });

  it.each([
    ['throws', "() => { throw new Error('of the page'); }", ['of the page']],
    ['returns an element', '() => document.body', []],
    ['returns an object with methods', '() => ({ hide() {} })', []],
    ['never settles', '() => new Promise(() => {})', []],
  ])('a listener that %s holds no load up', async (_, listener, unhandled) => {
    const got = (await run(
      page,
      `
      const unhandled = new Set();
      const hear = (event) => { unhandled.add(event.reason.message); event.preventDefault(); };
      addEventListener('unhandledrejection', hear);
      const taken = await take('/model/rivulet-tiny.gguf', { onProgress: ${listener} });
      await new Promise((go) => setTimeout(go, 50));
      removeEventListener('unhandledrejection', hear);
      return [taken, ...unhandled];
    `,
    )) as string[];
    expect(got).toEqual(['taken', ...unhandled]);
  });
});

describe('nothing comes', () => {
  /** Runs `call` in a page of its own. */
  async function silent(
    call: string,
    { path, offline = false }: { path?: string; offline?: boolean } = {},
  ): Promise<{ ended: unknown; causes: string[]; ms: number }> {
    const page = await open(path);
    try {
      if (offline) await page.context().setOffline(true);
      return (await run(
        page,
        `
        const causes = [];
        let began;
        const onProgress = ({ cause }) => ((began ??= performance.now()), cause && causes.push(cause));
        const ended = await (${call})({ onProgress }).then(() => 'taken', (error) => error.name + ': ' + error.message);
        return { ended, causes, ms: performance.now() - began };
      `,
      )) as never;
    } finally {
      await page.context().close();
    }
  }

  it.concurrent.each<[string, () => string, RegExp, { path?: string; offline?: boolean }?]>([
    [
      'another origin without CORS',
      () => `(o) => rivulet.load('${otherOrigin}/m.gguf', o)`,
      /an answer that this page may not read.*Access-Control-Allow-Origin/,
    ],
    ['a redirect to one', () => "(o) => rivulet.load('/moved.gguf', o)", /Access-Control-Allow-Origin/],
    [
      'a hub that lists its files and sends none',
      () => `(o) => rivulet.load('Org/Repo', { ...o, hub: '${otherOrigin}' })`,
      /Access-Control-Allow-Origin/,
    ],
    [
      'a policy without connect-src',
      () => `(o) => rivulet.downloadModel('${otherOrigin}/m.gguf', o)`,
      /connect-src/,
      { path: '/policy.html' },
    ],
    [
      'a host that does not exist',
      () => "(o) => rivulet.load('http://no-such-host.invalid/m.gguf', o)",
      /Check the address and the connection/,
    ],
    [
      'a device that is offline',
      () => `(o) => rivulet.load('Org/Repo', { ...o, hub: '${otherOrigin}' })`,
      /this device is offline/,
      { offline: true },
    ],
    ['a server that compresses all', () => "(o) => rivulet.load('/compressed.gguf', o)", /Turn compression off/],
  ])('%s: within 10 s the error names the cause', async (_, call, message, options) => {
    const { ended, causes, ms } = await silent(call(), options);
    expect(ended).toMatch(/^SourceError: /);
    expect(ended).toMatch(message);
    expect(ms).toBeLessThan(11_000); // from the first progress on: 8 s, and the time of the last request
    if (!options?.offline && !/compresses/.test(_)) expect(causes.length).toBeGreaterThan(0);
  });

  it.concurrent('a server that takes the request and says nothing: the page hears of it', async () => {
    const page = await open();
    const cause = await run(
      page,
      `
      const controller = new AbortController();
      const told = new Promise((resolve) => rivulet.load('/silent.gguf', { signal: controller.signal, onProgress: ({ cause }) => cause && resolve(cause) }).catch(() => 0));
      return told.finally(() => controller.abort());
    `,
    );
    expect(cause).toBe('No byte has arrived for 8 s.');
    await page.context().close();
  });
});
