/** Pictures in messages, through the calls that the page makes in the worker, on WASM. */
import '../modules/encoders';
import '../modules/vision';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test, vi } from 'vitest';
import { GOLDEN_DIRECTORY } from '../../e2e/tools/golden';
import { decodePng } from '../../e2e/png';
import { tinyVisionDirectory } from '../../e2e/tools/tiny_vision';
import { RivuletError } from '../errors';
import type { Message } from '../text/history';
import type { ImageTokens } from '../text/chat_template';
import type { VisionCalls } from './vision_calls';
import { workerCalls } from './worker_calls';

/** Pictures that the encoder has begun to read, and what is called behind each of its calls. */
const encoded = vi.hoisted(() => ({ count: 0, onTiles: () => {} }));
vi.mock('./vision_encoder', async (original) => {
  const parts = await original<typeof import('./vision_encoder')>();
  const createVisionEncoder: typeof parts.createVisionEncoder = async (...given) => {
    const encoder = await parts.createVisionEncoder(...given);
    return {
      ...encoder,
      encode(tiles, options) {
        encoded.count++;
        return encoder.encode(tiles, {
          ...options,
          async onTiles(...call) {
            await options?.onTiles?.(...call);
            encoded.onTiles();
          },
        });
      },
    };
  };
  return { ...parts, createVisionEncoder };
});

const directory = join(GOLDEN_DIRECTORY, 'vision');
const calls = workerCalls as typeof workerCalls & VisionCalls;
const { cases, files } = JSON.parse(readFileSync(join(directory, 'expected.json'), 'utf8')) as {
  cases: Record<string, { input_ids: number[]; prompt: string }>;
  files: Record<string, { cases: Record<string, { greedy: number[]; greedy_margins: number[] }> }>;
};
const [{ cases: known }] = Object.values(files);

/** Of the golden set, as a page's ImageData. */
async function picture(name: string): Promise<ImageData> {
  const { width, height, channels, data } = await decodePng(readFileSync(join(directory, 'images', `${name}.png`)));
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) rgba[4 * i + c] = data[channels * i + c];
  return imageData(width, height, rgba);
}
const imageData = (width: number, height: number, data = new Uint8ClampedArray(4 * width * height)): ImageData =>
  ({ width, height, data, [Symbol.toStringTag]: 'ImageData' }) as unknown as ImageData;

const image = (given: unknown): object => ({ type: 'image', image: given });
const text = (said: string): object => ({ type: 'text', text: said });
const user = (...content: object[]): Message => ({ role: 'user', content });
interface Options {
  imageTokens?: ImageTokens;
  maxTokens?: number;
  reuse?: boolean;
  signal?: AbortSignal;
  onTiles?: (done: number, total: number) => unknown;
}
const chat = (messages: Message[], options: Options = {}) => {
  const { signal, onTiles, ...rest } = { maxTokens: 4, ...options };
  return calls.chat(
    messages,
    { temperature: 0, repetitionPenalty: 1, ...rest } as never,
    () => undefined,
    signal,
    onTiles,
  );
};

let [square, tiny]: ImageData[] = [];
beforeAll(async () => {
  [square, tiny] = [await picture('square'), await picture('tiny')];
  const file = (name: string): File => new File([readFileSync(join(directory, 'gguf', name))], name);
  const { config, vision } = await calls.load(
    { files: [file('tiny-Q8_0.gguf'), file('mmproj-F16.gguf')] },
    { backend: 'wasm', threads: 1, exact: true, contextLength: 2048 },
  );
  expect(config.vision).toMatchObject({ patchSize: 16 });
  expect(vision).toBe(true);
  expect(calls.estimateImage(64, 64)).not.toHaveProperty('seconds');
});
afterAll(() => calls.unload());

describe('the golden prompts', () => {
  const messages: Record<string, () => Message[]> = {
    square: () => [user(image(square), text('What is in this image?'))],
    tiny: () => [user(image(tiny), text('What is in this image?'))],
    pair: () => [user(text('Compare'), image(tiny), text(' with '), image(square), text('.'))],
  };
  test.each(Object.keys(messages))('%s: token ids, and the first tokens up to a close choice', async (name) => {
    const { prompt, input_ids: ids } = cases[name];
    expect(await calls.render(messages[name]())).toBe(prompt);
    const { greedy, greedy_margins: margins } = known[name];
    const close = margins.findIndex((margin) => margin < 0.1);
    const sure = close < 0 ? greedy.length : close;
    const result = await chat(messages[name](), { maxTokens: sure });
    expect(result.promptTokens).toBe(ids.length);
    expect(result.text).toBe(calls.detokenize(greedy.slice(0, sure), { skipSpecial: true }));
  });
});

describe('another question about a picture', () => {
  const first = (): Message[] => [user(image(square), text('What is it?'))];
  it('reads the new tokens alone, and does not encode it again', async () => {
    const { text: said } = await chat(first());
    const before = encoded.count;
    expect(before).toBeGreaterThan(0);
    const again = [...first(), { role: 'assistant', content: said }, user(text('And the colour?'))];
    const { promptTokens, reusedTokens } = await chat(again);
    expect(promptTokens - reusedTokens).toBeLessThan(40);
    expect(reusedTokens).toBeGreaterThan(64);
    const other = await chat([...again.slice(0, -1), user(text('How many?'))]);
    expect(other.promptTokens - other.reusedTokens).toBeLessThan(40);
    expect((await chat(first(), { reuse: false })).reusedTokens).toBe(0);
    expect(encoded.count).toBe(before);
  });

  it('takes a picture of the same size for another one', async () => {
    const changed = imageData(256, 256, square.data.slice());
    changed.data[4 * 256 * 100] ^= 255;
    const { reusedTokens, text: got } = await chat([user(image(changed), text('What is it?'))]);
    expect(reusedTokens).toBeLessThan(16);
    const fresh = await chat([user(image(changed), text('What is it?'))], { reuse: false });
    expect(fresh.text).toBe(got);
  });
});

test('imageTokens and estimateImage count the same', async () => {
  for (const imageTokens of [{}, { max: 64 }, { tiling: false, min: 100 }] as ImageTokens[]) {
    const { tokens } = calls.estimateImage(tiny.width, tiny.height, imageTokens);
    const [with_, without] = [[image(tiny), text('a')], [text('a')]].map((parts) => [user(...parts)]);
    const counted = (await chat(with_, { imageTokens })).promptTokens - (await chat(without)).promptTokens;
    expect(tokens).toBe(counted);
  }
  const tiled = calls.estimateImage(1024, 1024);
  const whole = calls.estimateImage(1024, 1024, { tiling: false });
  expect(tiled).toMatchObject({ tokens: 4 * 257 + 257 + 2, columns: 2, rows: 2 });
  expect(whole).toMatchObject({ tokens: 258, columns: 1, rows: 1 });
  expect(whole.seconds).toBeGreaterThan(0);
  expect(tiled.seconds! / whole.seconds!).toBeCloseTo(5);
});

test('score reads pictures, too', async () => {
  const scored = await calls.score([user(image(square), text('Is it square?'))], ['yes', 'no'], {});
  expect(scored.map(({ text }) => text)).toEqual(['yes', 'no']);
});

test('other calls have turns between tiles, which are counted', async () => {
  const heard: string[] = [];
  const pictures = [1, 2, 3, 4].map((n) => image(imageData(256, 256, new Uint8ClampedArray(4 * 256 ** 2).fill(n))));
  const large = [user(...pictures, text('a'))];
  const tiles = async (done: number, total: number): Promise<void> => void heard.push(`${done} of ${total}`);
  const both = [1, 2].map(() => chat(large, { onTiles: tiles, reuse: false }));
  await chat([user(text('short'))], { maxTokens: 1 }).then(() => heard.push('short'));
  await Promise.all(both);
  const at = heard.indexOf('short');
  expect(at).toBeGreaterThanOrEqual(0);
  expect(at).toBeLessThan(heard.length - 2);
  // both calls hear of each tile, which is encoded once
  expect(heard.filter((one) => one !== 'short')).toEqual([1, 2, 3, 4].flatMap((n) => Array(2).fill(`${n} of 4`)));
  await chat(large, { onTiles: () => expect.unreachable(), reuse: false });
});

test('an abort ends a call between tiles', async () => {
  const large = [user(image(imageData(512, 1536)), text('a'))];
  const controller = new AbortController();
  const before = encoded.count;
  encoded.onTiles = () => controller.abort();
  expect(await chat(large, { signal: controller.signal })).toMatchObject({ finish: 'abort', tokens: 0 });
  expect(encoded.count).toBe(before + 1);
  expect((await chat(large)).promptTokens).toBeGreaterThan(3 * 256);
  expect(encoded.count).toBe(before + 2); // the first time not all was encoded
});

test('after the loss of the device the answer goes on with the same picture', async () => {
  const messages = [user(image(square), text('What is it?'))];
  const { text: wanted } = await chat(messages, { reuse: false });
  const other = imageData(
    256,
    256,
    square.data.map((value, i) => (i % 4 === 3 ? value : 255 - value)),
  );
  encoded.onTiles = () => {
    encoded.onTiles = () => {};
    throw new RivuletError('DeviceError', { what: 'The device is lost in this test' });
  };
  const before = encoded.count;
  const first = await chat([user(image(other), text('What is it?'))]);
  expect(encoded.count).toBe(before + 2);
  expect(calls.info().notes.join()).toContain('The device is lost in this test');
  expect(await chat([user(image(other), text('What is it?'))], { reuse: false })).toMatchObject({ text: first.text });
  expect(await chat(messages)).toMatchObject({ text: wanted });
  expect(encoded.count).toBe(before + 2);
});

test('an abort ends a call like one that waits', async () => {
  const result = await chat([user(image(square))], { signal: AbortSignal.abort() });
  expect(result).toMatchObject({ finish: 'abort', tokens: 0 });
});

test.each<[string, () => Message[], object, RegExp]>([
  ['no picture', () => [user({ type: 'image' })], {}, /RequestError: A part of a message has no picture: got nothing/],
  ['a text file', () => [user(image(new Blob(['Hello, world'])))], {}, /RequestError: This is not a picture: .*Hello/],
  ['SVG', () => [user(image(new Blob(['<svg xmlns="a"></svg>'])))], {}, /RequestError: Pictures in SVG are not read/],
  ['0 × 0', () => [user(image(imageData(0, 0)))], {}, /RequestError: The picture is empty: got 0 × 0 pixels/],
  [
    'data: that is none',
    () => [user(image('data:image/png;base64,%%%'))],
    {},
    /RequestError: The data: address of a pi/,
  ],
  ['imageTokens', () => [user(image(tiny))], { imageTokens: { max: 5000 } }, /RequestError: imageTokens is not valid/],
  [
    'more pictures than the context holds',
    () => [user(...Array.from({ length: 30 }, () => image(tiny)))],
    {},
    /ContextError: The pictures are too long for the context: got \d+ tokens of 29/,
  ],
])('refuses %s', async (_, messages, options, message) => {
  await expect(
    chat(messages(), options).catch((error: Error) => Promise.reject(new Error(`${error.name}: ${error.message}`))),
  ).rejects.toThrow(message);
});

describe('a Hugging Face directory', () => {
  const given = tinyVisionDirectory();
  const load = (change: (name: string, text: string) => string) =>
    calls.load(
      {
        files: Object.entries(given).map(([name, bytes]) => {
          const json = name.endsWith('.json');
          return new File([json ? change(name, new TextDecoder().decode(bytes)) : bytes.slice()], name);
        }),
      },
      { backend: 'wasm', threads: 1, contextLength: 256 },
    );
  it('sees', async () => {
    const special = {
      '<|reserved_0|>': '<image>',
      '<|reserved_1|>': '<|image_start|>',
      '<|reserved_2|>': '<|image_end|>',
    };
    await load((name, json) => {
      const { image_token_id: _, ...config } = JSON.parse(json) as Record<string, unknown>;
      if (name === 'config.json') return JSON.stringify(config);
      return Object.entries(special).reduce((all, [from, to]) => all.replaceAll(from, to), json);
    });
    const [one, other] = [await chat([user(image(square), text('a'))]), await chat([user(image(tiny), text('a'))])];
    expect(other.promptTokens - one.promptTokens).toBe(70 - 64);
  });
  it('is refused a picture where its vocabulary has no tokens for it', async () => {
    await load((_, json) => json);
    await expect(chat([user(image(tiny))])).rejects.toThrow(
      /vocabulary has no tokens for pictures: got no <\|image_start/,
    );
  });
});

test('a conversation with pictures is not exported', () =>
  expect(calls.exportConversation([user(image(tiny))], {})).rejects.toThrow(/with pictures cannot be exported/));
