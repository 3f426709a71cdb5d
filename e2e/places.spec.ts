// @module-tag chromium
/** Where the script may stand: in each place of e2e/places.ts an answer, or an error that names the way. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPlaces, PLACES, WITHOUT_WORKERS, type Place, type Places } from './places';
import { scriptedGguf } from './tools/scripted_model';

const SAYS = 'Hello world';
let places: Places;
beforeAll(async () => {
  places = await openPlaces({ files: { 'doll.gguf': scriptedGguf(['Hel', 'lo', ' wor', 'ld']) } });
});
afterAll(() => places?.close());

type Told = { text: string } | { name: string; message: string };

/** The answer of the model at a source, an expression, or the error. */
const ask = (place: Place, source: string): Promise<Told> =>
  place.run(`(async () => {
    try {
      const model = await rivulet.load(${source}, { backend: 'wasm' });
      const { text } = await model.chat([{ role: 'user', content: 'x' }]).result;
      await model.unload();
      return { text };
    } catch ({ name, message }) {
      return { name, message };
    }
  })()`) as Promise<Told>;

async function inPlace(name: string, source: string): Promise<Told> {
  const place = await places.open(name);
  try {
    return await ask(place, source);
  } finally {
    await place.close();
  }
}
const told = (name: string, pattern: RegExp): unknown => ({ name, message: expect.stringMatching(pattern) });

const FAILING: Record<string, [name: string, message: RegExp]> = {
  'no blob policy': ['DeviceError', /worker-src blob:/],
  'no WASM policy': ['DeviceError', /'wasm-unsafe-eval'/],
  'trusted types, others': ['DeviceError', /policy 'rivulet'/],
  'shared worker': ['DeviceError', /shared worker.*load in a page/],
  'service worker': ['DeviceError', /service worker.*load in a page/],
  "extension's service worker": ['DeviceError', /offscreen document/],
};
const answering = PLACES.filter((name) => !FAILING[name]);

test.each(answering)('%s: it answers from an address', async (name) => {
  expect(await inPlace(name, `'${places.origin}/doll.gguf'`)).toEqual({ text: SAYS });
});

test.each(Object.entries(FAILING))('%s: the error names the way', async (name, [error, message]) => {
  expect(await inPlace(name, `'${places.origin}/doll.gguf'`)).toEqual(told(error, message));
});

const RELATIVE: Record<string, RegExp> = {
  'page on disk': /SourceError.*let the user choose the file, or serve the folder/,
  'worker from a blob': /RequestError.*Write the whole address/,
};

test.each(answering.filter((name) => !RELATIVE[name]))('%s: it answers from a file beside the page', async (name) => {
  expect(await inPlace(name, "'./doll.gguf'")).toEqual({ text: SAYS });
});

test.each(Object.entries(RELATIVE))('%s: of a file beside it the error says what to do', async (name, message) => {
  const got = (await inPlace(name, "'./doll.gguf'")) as { name: string; message: string };
  expect(`${got.name}: ${got.message}`).toMatch(message);
});

test('page on disk: it answers from a file that was chosen', async () => {
  const bytes = `(await (await fetch('${places.origin}/doll.gguf')).blob())`;
  expect(await inPlace('page on disk', `await (async () => new File([${bytes}], 'doll.gguf'))()`)).toEqual({
    text: SAYS,
  });
});

test.each(['capacitor://localhost', 'tauri://localhost', 'ionic://localhost', 'app://local', 'file://'])(
  '%s is the address of a file that nobody serves here: it is not asked for again and again',
  async (scheme) => {
    const began = performance.now();
    expect(await inPlace('page', `'${scheme}/doll.gguf'`)).toEqual(
      told('SourceError', /^doll\.gguf cannot be downloaded/),
    );
    expect(performance.now() - began).toBeLessThan(10_000);
  },
);

test.each(WITHOUT_WORKERS)('%s: it knows the stored models all the same', async (name) => {
  const place = await places.open(name);
  expect(await place.run('rivulet.listModels().then((all) => Array.isArray(all))')).toBe(true);
  await place.close();
});

test('a page that enforces Trusted Types runs threads and side files by the policy of the library', async () => {
  const place = await places.open('trusted types');
  const got = await place.run(`(async () => {
    const model = await rivulet.load('./doll.gguf', { backend: 'wasm', threads: 2 });
    const { threads } = model.info.backend;
    await model.unload();
    return [threads, (await rivulet.estimate('./doll.gguf', { backend: 'wasm' })).fits];
  })()`);
  expect(got).toEqual([2, true]);
  await place.close();
});
