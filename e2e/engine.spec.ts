// @module-tag chromium
/** The public API in Chromium, from an address to text, on both backends. */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type * as Rivulet from '../src/index';
import { launchChromium, openPage, serve, type Served } from './harness';
import { GOLDEN_DIRECTORY } from './tools/golden';

const golden = join(GOLDEN_DIRECTORY, 'dense/gguf');

type Api = typeof Rivulet;
/** What tests leave in the page for each other. */
type Kept = Record<string, Rivulet.Model>;

let browser: Browser;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rivulet-engine-'));
  browser = await launchChromium({ webgpu: true });
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Opened {
  page: Page;
  server: Served;
  /** Runs in the page with the API, the models kept there, and an argument. */
  run<A, R>(call: (api: Api, kept: Kept, argument: A) => R | Promise<R>, argument: A): Promise<R>;
}

async function openApi(isolated = true): Promise<Opened> {
  const server = await serve({ mounts: { '/model': folder }, isolated });
  const page = await openPage(browser, server.origin, '/e2e/pages/engine.html');
  await page.waitForFunction(() => 'rivulet' in window);
  await page.evaluate(() => void Object.assign(window, { kept: {} }));
  return {
    page,
    server,
    run: (call, argument) =>
      page.evaluate(`(async () => {
        const __name = (f) => f;
        try { return await (${call.toString()})(window.rivulet, window.kept, ${JSON.stringify(argument) ?? 'undefined'}); }
        catch (error) { throw new Error(error.name + ' | ' + error.message); }
      })()`) as never,
  };
}

const settings = { temperature: 0, repetitionPenalty: 1 };
const hello = [{ role: 'user', content: 'Hello' }];

describe.each([
  ['wasm', { backend: 'wasm' }],
  ['webgpu', { backend: 'webgpu', allowSoftware: true }],
] as const)('the engine on %s', (backend, options) => {
  const file = `${backend}.gguf`;
  let opened: Opened;
  const asked = { ...options, url: `/model/${file}`, contextLength: 512 };

  beforeAll(async () => {
    copyFileSync(`${golden}/tiny-Q8_0.gguf`, join(folder, file));
    opened = await openApi();
  });
  afterAll(async () => {
    await opened?.page.close();
    await opened?.server.close();
  });

  it('loads with progress and tells what it took', async () => {
    const { info, phases } = await opened.run(async ({ load }, kept, { url, ...rest }) => {
      const phases: string[] = [];
      kept.model = await load(
        { url },
        {
          ...rest,
          onProgress: ({ phase, bytes, total }) => phases.push(bytes <= total ? phase : `${phase} beyond its total`),
        },
      );
      return { info: kept.model.info, phases: [...new Set(phases)] };
    }, asked);
    expect(info).toMatchObject({
      contextLength: 512,
      quantization: 'Q8_0',
      cached: false,
      chat: true,
      backend: { name: backend },
    });
    expect(info.memory).toBeGreaterThan(info.bytes / 2);
    expect(phases.at(-1)).toBe('ready');
    expect(phases).toEqual(expect.arrayContaining(['download', 'load', 'compile']));
    expect(phases.join()).not.toMatch(/beyond/);
  });

  it('streams what the result then says, and repeats itself with a seed', async () => {
    const [first, second, other] = await opened.run(async (_, { model }, messages) => {
      const say = async (seed: number): Promise<{ joined: string; text: string; pieces: number }> => {
        const stream = model.chat(messages, { temperature: 1.5, minP: 0, seed, maxTokens: 24 });
        const pieces: string[] = [];
        for await (const text of stream) pieces.push(text);
        return { joined: pieces.join(''), text: (await stream.result).text, pieces: pieces.length };
      };
      return [await say(7), await say(7), await say(8)];
    }, hello);
    expect(first.joined).toBe(first.text);
    expect(first.pieces).toBeGreaterThan(3);
    expect(second.text).toBe(first.text);
    expect(other.text).not.toBe(first.text);
  });

  it('continues a conversation without reading it again', async () => {
    const [first, second] = await opened.run(
      async (_, { model }, { messages, settings: how }) => {
        const first = await model.chat(messages, { ...how, maxTokens: 8 }).result;
        const turns = [...messages, { role: 'assistant', content: first.text }, { role: 'user', content: 'And?' }];
        return [first, await model.chat(turns, { ...how, maxTokens: 1 }).result];
      },
      { messages: hello, settings },
    );
    expect(second.reusedTokens).toBeGreaterThanOrEqual(first.promptTokens - 1);
  });

  it('never splits a character, and stops at a string across tokens', async () => {
    const { pieces, stopped } = await opened.run(async (_, { model }) => {
      // greedily, each token preferred to the next until it was said once
      const saying = (ids: number[]): Rivulet.GenerateOptions => ({
        ...{ temperature: 0, repetitionPenalty: 1, frequencyPenalty: 2000 },
        bias: new Map(ids.map((id, i) => [id, 4000 - 200 * i])),
        maxTokens: ids.length,
      });
      const crab = await model.tokenize('🦀');
      const pieces: string[] = [];
      for await (const text of model.generate('x', saying(crab))) pieces.push(text);
      const letters = await Promise.all([...'abENDc'].map(async (letter) => (await model.tokenize(letter))[0]));
      const stopped = await model.generate('x', { ...saying(letters), stop: 'END' }).result;
      return { pieces: { crab: crab.length, pieces }, stopped };
    }, undefined);
    expect(pieces.crab).toBeGreaterThan(1);
    expect(pieces.pieces).toEqual(['🦀']);
    expect(stopped).toMatchObject({ text: 'ab', finish: 'stop', tokens: 5 });
  });

  it('tells log probabilities of the raw logits, whatever the sampling', async () => {
    const { said, logits, plain } = await opened.run(async (_, { model }) => {
      const ids = await model.tokenize('Hello there');
      const said = (
        await model.generate(ids, {
          temperature: 2,
          minP: 0,
          repetitionPenalty: 1.3,
          seed: 3,
          maxTokens: 6,
          logprobs: 2,
        }).result
      ).logprobs!;
      const plain = (await model.generate(ids, { maxTokens: 2 }).result).logprobs;
      const logits = [];
      for (const n of [0, 5]) logits.push([...(await model.logits([...ids, ...said.slice(0, n).map(({ id }) => id)]))]);
      return { said, plain, logits };
    }, undefined);
    expect(plain).toBeUndefined();
    expect(said.length).toBe(6);
    [said[0], said[5]].forEach(({ id, logprob, top }, i) => {
      const sum = Math.log(logits[i].reduce((total, l) => total + Math.exp(l), 0));
      // read token by token, and in one piece
      expect(Math.abs(logprob - (logits[i][id] - sum))).toBeLessThan(i ? 0.1 : 1e-4);
      expect(top.length).toBe(2);
      expect(Math.abs(top[0].logprob - (Math.max(...logits[i]) - sum))).toBeLessThan(i ? 0.1 : 1e-4);
      expect(top[0].logprob).toBeGreaterThanOrEqual(top[1].logprob);
    });
  });

  // by the clock of a machine that does other things too: the quietest of three
  it('aborts while it reads the prompt and while it writes', { retry: 2 }, async () => {
    const outcome = await opened.run(async (_, { model }) => {
      const long = 'word '.repeat(165); // nearly the whole context: reading takes far longer than the abort
      const [letter] = await model.tokenize('a');
      const endless = { bias: new Map([[letter, 1000]]) };
      const end = async (
        stream: Rivulet.TextStream,
        onPiece: () => void,
      ): Promise<{ error: string; finish: string; tokens: number; late: number }> => {
        let error = 'none';
        try {
          for await (const text of stream) if (text) onPiece();
        } catch (caught) {
          error = (caught as Error).name;
        }
        const { finish, tokens } = await stream.result;
        return { error, finish, tokens, late: performance.now() - at };
      };
      let at = 0;
      const reading = new AbortController();
      const read = model.generate(long, { reuse: false, signal: reading.signal });
      setTimeout(() => ((at = performance.now()), reading.abort()), 1);
      const prefill = await end(read, () => undefined);
      const writing = new AbortController();
      const write = model.generate('x', { ...endless, signal: writing.signal });
      const times: number[] = [];
      const decode = await end(write, () => {
        at = performance.now();
        if (times.push(at) === 5) writing.abort();
      });
      const tokenMs = (times[4] - times[0]) / 4;
      const left = model.generate('x', endless);
      for await (const text of left) if (text) break;
      return {
        prefill,
        decode,
        tokenMs,
        left: (await left.result).finish,
        after: (await model.generate('x', { maxTokens: 2 }).result).tokens,
      };
    }, undefined);
    expect(outcome.prefill).toMatchObject({ error: 'AbortError', finish: 'abort', tokens: 0 });
    expect(outcome.decode).toMatchObject({ error: 'AbortError', finish: 'abort' });
    expect(outcome.decode.late).toBeLessThan(200 + 2.5 * outcome.tokenMs);
    expect(outcome.left).toBe('abort');
    expect(outcome.after).toBeGreaterThan(0);
  });

  it('refuses what cannot be, by name', async () => {
    const errors = await opened.run(async (_, { model }) => {
      const name = (promise: Promise<unknown>): Promise<string> =>
        promise.then(
          () => 'no error',
          (error: Error) => `${error.name}: ${error.message}`,
        );
      return [
        await name(model.generate('word '.repeat(600)).result),
        await name(model.chat([]).result),
        await name(model.generate('x', { temperature: -1 }).result),
      ];
    }, undefined);
    expect(errors[0]).toMatch(/^ContextError: .*\d+ tokens.*fewer than 512/);
    expect(errors[1]).toMatch(/^RequestError/);
    expect(errors[2]).toMatch(/^RequestError: The value of temperature/);
  });

  it('carries the parts of an error out of the worker', async () => {
    const parts = await opened.run(async (_, { model }) => {
      const pick = ({ what, got, wanted, cure }: Rivulet.ErrorParts): unknown => ({ what, got, wanted, cure });
      return model.generate('word '.repeat(600)).result.then(() => 'no error', pick);
    }, undefined);
    expect(parts).toEqual({
      what: expect.stringMatching(/prompt/),
      got: expect.stringMatching(/^\d+ tokens$/),
      wanted: expect.stringMatching(/fewer than 512/),
      cure: expect.stringMatching(/contextLength/),
    });
  });

  it('frees on unload, and loads again from the cache with the file gone from the server', async () => {
    rmSync(join(folder, file));
    const again = await opened.run(async ({ load }, kept, { url, ...rest }) => {
      await kept.model.unload();
      const gone = await kept.model.tokenize('x').then(
        () => 'alive',
        (error: Error) => error.name,
      );
      const phases: string[] = [];
      const model = (kept.model = await load({ url }, { ...rest, onProgress: ({ phase }) => phases.push(phase) }));
      const { text } = await model.chat([{ role: 'user', content: 'Hello' }], { maxTokens: 4 }).result;
      return { gone, cached: model.info.cached, said: text.length, downloads: phases.includes('download') };
    }, asked);
    expect(again).toMatchObject({ gone: 'RequestError', cached: true, downloads: false });
  });

  it('aborts a load', async () => {
    copyFileSync(`${golden}/tiny-F16.gguf`, join(folder, `abort-${file}`));
    const names = await opened.run(
      async ({ load }, _, { url, ...rest }) => {
        const name = (promise: Promise<unknown>): Promise<string> =>
          promise.then(
            () => 'loaded',
            (error: Error) => error.name,
          );
        const at = async (phase: string): Promise<string> => {
          const controller = new AbortController();
          return name(
            load(
              { url },
              {
                ...rest,
                cache: false,
                signal: controller.signal,
                onProgress: (p) => void (p.phase === phase && controller.abort()),
              },
            ),
          );
        };
        return [
          await at('resolve'),
          await at('load'),
          await at('compile'),
          await name(load({ url }, { ...rest, signal: AbortSignal.abort() })),
        ];
      },
      { ...asked, url: `/model/abort-${file}` },
    );
    expect(names).toEqual(['AbortError', 'AbortError', 'AbortError', 'AbortError']);
  });

  it('keeps two models apart', async () => {
    const texts = await opened.run(async ({ load }, { model }, { url, ...rest }) => {
      const other = await load({ url }, rest);
      const say = (m: Rivulet.Model): Promise<string> =>
        m
          .chat([{ role: 'user', content: 'Hello' }], { temperature: 0, maxTokens: 8, seed: 1 })
          .result.then(({ text }) => text);
      const both = await Promise.all([say(model), say(other)]);
      await other.unload();
      return [...both, await say(model)];
    }, asked);
    expect(new Set(texts).size).toBe(1);
  });
});

describe('the engine', () => {
  it('runs in a page that is not cross-origin isolated, and says so', async () => {
    copyFileSync(`${golden}/tiny-Q4_0.gguf`, join(folder, 'plain.gguf'));
    const { page, server, run } = await openApi(false);
    const { info, text, isolated } = await run(async ({ load }) => {
      const model = await load('/model/plain.gguf', { backend: 'wasm', contextLength: 128 });
      const { text } = await model.chat([{ role: 'user', content: 'Hello' }], { maxTokens: 8, seed: 1 }).result;
      await model.unload();
      return { info: model.info, text, isolated: crossOriginIsolated };
    }, undefined);
    expect(isolated).toBe(false);
    expect(info.backend.threads ?? 1).toBe(1);
    expect(info.notes.join(' ')).toMatch(/isolat/i);
    expect(text).toBeTypeOf('string');
    await page.close();
    await server.close();
  });

  it('takes WASM on its own where WebGPU is computed in software, and says why', async () => {
    copyFileSync(`${golden}/tiny-Q4_0.gguf`, join(folder, 'auto.gguf'));
    const { page, server, run } = await openApi();
    const { backend } = await run(async ({ load }) => {
      const model = await load('/model/auto.gguf', { contextLength: 128 });
      await model.unload();
      return model.info;
    }, undefined);
    expect(backend.name).toBe('wasm');
    expect(backend.notes.join(' ')).toMatch(/WebGPU: .*software/i);
    await page.close();
    await server.close();
  });

  it('names the failure of a source, a file and a backend', async () => {
    writeFileSync(join(folder, 'nonsense.gguf'), `GGUF${'\x03\0\0\0'}${'nonsense '.repeat(1000)}`);
    const { page, server, run } = await openApi();
    const names = await run(async ({ load, listModels }) => {
      const name = (promise: Promise<unknown>): Promise<string> =>
        promise.then(
          () => 'loaded',
          (error: Error) => error.name,
        );
      const failed = [
        await name(load('/model/none.gguf', { backend: 'wasm' })),
        await name(load('/model/nonsense.gguf', { backend: 'wasm' })),
        await name(load('/model/nonsense.gguf', { backend: 'cuda' as 'wasm' })),
        await name(load({ file: new File([new Uint8Array(100)], 'x.gguf') }, { backend: 'wasm' })),
      ];
      return { failed, kept: (await listModels()).map(({ id }: { id: string }) => id) };
    }, undefined);
    expect(names.failed).toEqual(['SourceError', 'CheckpointError', 'RequestError', 'CheckpointError']);
    expect(names.kept.join()).not.toMatch(/nonsense/);
    await page.close();
    await server.close();
  });
});
