/**
 * Pictures in messages: the calls of the worker that take messages read the pictures first, and put tokens in their
 * place. It is the side file `vision`.
 */
import type { Backend, PrefillOptions, State } from '../backend/backend';
import { abortError, fail, show } from '../errors';
import type { ImageTokens, RenderOptions } from '../text/chat_template';
import type { Message } from '../text/history';
import type { Tokenizer } from '../text/tokenizer';
import { IMAGE_TOKEN } from '../vision/prompt';
import type { WorkerImage } from './decode_picture';
import type { EngineWorkerCalls } from './engine';
import { isPictureToken } from './picture_tokens';
import { Pictures, type Picture } from './pictures';
import { createVisionEncoder, readPositions, type VisionEncoder } from './vision_encoder';
import type { ModelInBackend } from './vision_hook';
import { workerCalls } from './worker_calls';

export interface VisionCalls extends Pick<
  EngineWorkerCalls,
  'chat' | 'score' | 'exportConversation' | 'estimateImage'
> {
  render(messages: readonly Message[], options?: RenderOptions): Promise<string>;
}

/** The loaded model: also after it was loaded again. */
let loaded: { tokenizer: Tokenizer; pictures: Pictures } | undefined;

/**
 * Lets the states that a backend will have read pictures.
 * @throws CheckpointError, SourceError, AbortError
 */
export async function seePictures(
  { checkpoint, weights, backend, tokenizer }: ModelInBackend,
  signal?: AbortSignal,
): Promise<void> {
  const { architecture, config } = checkpoint;
  if (!config.vision) return;
  const table = await readPositions(checkpoint, signal);
  if (loaded?.tokenizer !== tokenizer) loaded = { tokenizer, pictures: writePictures(tokenizer, config.vision) };
  const { pictures } = loaded;
  pictures.secondsPerPatch = undefined; // it may be another backend
  const imageToken = config.vision.imageToken ?? tokenizer.tokenId(IMAGE_TOKEN)!;
  let encoder: VisionEncoder | undefined;
  /** Other calls have turns between tiles. */
  const encode = async (
    picture: Picture,
    { signal, pass }: PrefillOptions = {},
  ): Promise<Float32Array<ArrayBuffer>> => {
    encoder ??= await createVisionEncoder({ architecture, config }, table, weights, backend);
    const { tiles, parts, watching } = picture;
    const features = await encoder.encode(tiles!, {
      signal,
      parts,
      onTiles(count, secondsPerPatch) {
        pictures.secondsPerPatch = secondsPerPatch;
        picture.encoded += count;
        for (const hear of watching) hear(count);
        return pass?.();
      },
    });
    Object.assign(picture, { tiles: undefined, parts: [] });
    return (picture.features = features);
  };

  const withPictureRows = (state: State): State => {
    const prefill = state.prefill.bind(state);
    const fork = state.fork.bind(state);
    return Object.assign(state, {
      fork: async () => withPictureRows(await fork()),
      async prefill(tokens: Uint32Array, options?: PrefillOptions) {
        const at = Uint32Array.from([...tokens.keys()].filter((i) => isPictureToken(tokens[i])));
        if (!at.length) return prefill(tokens, options);
        const D = config.hiddenSize;
        const values = new Float32Array(at.length * D);
        for (const [i, position] of at.entries()) {
          // a picture that went is behind the part of a call that counts (TokenHistory)
          const { picture, row } = pictures.placeOf(tokens[position]) ?? {};
          if (!picture) continue;
          const features = picture.features ?? (await encode(picture, options));
          values.set(features.subarray(row! * D, (row! + 1) * D), i * D);
        }
        const read = tokens.map((token) => (isPictureToken(token) ? imageToken : token));
        return prefill(read, { ...options, rows: [{ at, values }] });
      },
    });
  };
  decorateStates(backend, withPictureRows);
}

function decorateStates(backend: Backend, decorate: (state: State) => State): void {
  const compile = backend.compile.bind(backend);
  backend.compile = async (plan, options) => {
    const program = await compile(plan, options);
    const newState = program.newState.bind(program);
    return Object.assign(program, { newState: async () => decorate(await newState()) });
  };
}

/** In a text, a picture is its number between characters of private use, behind some that no page can guess. */
const privateUse = (hex: string): string =>
  [...hex].map((digit) => String.fromCodePoint(0xf0000 + parseInt(digit, 16))).join('');
const KEY = privateUse(crypto.randomUUID().replaceAll('-', ''));
const END = String.fromCodePoint(0xf0010);
const PLACE = new RegExp(`${KEY}(.+?)${END}`, 'gu');
const placeOf = ({ number }: Picture): string => KEY + privateUse(number.toString(16)) + END;

/** Makes the tokenizer put the tokens of pictures where their places are. */
function writePictures(tokenizer: Tokenizer, config: ConstructorParameters<typeof Pictures>[0]): Pictures {
  const { split, decode } = tokenizer;
  const pictures = new Pictures(config, split);
  const piecesOf = (text: string): ReturnType<Tokenizer['split']> =>
    text.split(PLACE).flatMap((piece, i) => {
      if (i % 2 === 0) return piece ? [{ text: piece }] : [];
      const number = parseInt([...piece].map((digit) => (digit.codePointAt(0)! - 0xf0000).toString(16)).join(''), 16);
      return pictures.idsOf(number).map((id) => ({ text: IMAGE_TOKEN, id }));
    });
  tokenizer.split = (text) => split(text).flatMap((part) => (part.id === undefined ? piecesOf(part.text) : [part]));
  tokenizer.decode = (ids, options) => {
    let text = '';
    let begin = 0;
    const all = Array.from(ids);
    for (const [at, id] of all.entries()) {
      if (!isPictureToken(id)) continue;
      // another text for each part of each picture: see alignPromptToHistory
      const own = pictures.placeOf(id) ? `<image ${id}>` : '';
      text += (at > begin ? decode(all.slice(begin, at), options) : '') + own;
      begin = at + 1;
    }
    return text + decode(begin ? all.slice(begin) : ids, options);
  };
  return pictures;
}

type Part = Record<string, unknown> & { type?: unknown };

const isImagePart = (part: Part): boolean => part?.type === 'image' || part?.type === 'image_url';

/** The picture of a part of a message, in the form of this library or of OpenAI's; undefined for other parts. */
function imageOf(part: Part): { image: WorkerImage; tokens?: ImageTokens } | undefined {
  if (!isImagePart(part)) return undefined;
  const given = part.image ?? part.image_url;
  const { url, detail } = (given ?? {}) as { url?: unknown; detail?: unknown };
  const image = typeof url === 'string' ? url : given;
  if (typeof image !== 'string' && (typeof image !== 'object' || image === null || !isImage(image)))
    fail('RequestError', {
      what: 'A part of a message has no picture',
      got: show(image),
      wanted: 'a Blob, File, address, canvas, ImageBitmap, ImageData or VideoFrame as `image`',
    });
  return { image: image as WorkerImage, tokens: detail === 'low' ? { tiling: false } : undefined };
}

const isImage = (value: object): boolean =>
  /^(Blob|File|Image(Bitmap|Data)|VideoFrame)$/.test(Object.prototype.toString.call(value).slice(8, -1));

/**
 * Messages with the places of their pictures, for a call.
 * @throws RequestError, SourceError, CheckpointError, ContextError if the pictures alone fill the context; AbortError
 */
async function withPictures<T>(
  messages: unknown,
  { imageTokens, ...options }: RenderOptions,
  { signal, onTiles }: { signal?: AbortSignal; onTiles?: (done: number, total: number) => unknown },
  call: (messages: readonly Message[], options: RenderOptions) => T | Promise<T>,
): Promise<T> {
  const model = loaded;
  if (!model || !Array.isArray(messages)) return call(messages as Message[], options);
  const { pictures } = model;
  const taken: Picture[] = [];
  let heard: unknown;
  let done = 0;
  /** tiles of each that are to be encoded */
  const waiting = new Map<Picture, number>();
  const count = (tiles: number): void => {
    heard = onTiles?.(
      (done += tiles),
      [...waiting.values()].reduce((a, b) => a + b),
    );
  };
  const { contextLength } = engine.info();

  async function readPart(part: Part): Promise<unknown> {
    const found = imageOf(part);
    if (!found) return part;
    if (signal?.aborted) throw abortError();
    const picture = await pictures.take(found.image, { ...imageTokens, ...found.tokens }, signal);
    taken.push(picture);
    waiting.set(picture, picture.tiles ? picture.tiles.length - picture.encoded : 0);
    picture.watching.add(count);
    const tokens = taken.reduce((sum, { ids }) => sum + ids.length, 0);
    if (tokens >= contextLength)
      fail('ContextError', {
        what: 'The pictures are too long for the context',
        got: `${tokens} tokens of ${taken.length}`,
        wanted: `fewer than ${contextLength}`,
        cure: 'Send fewer pictures, lower imageTokens, or load the model with a larger contextLength.',
      });
    return { type: 'text', text: placeOf(picture) };
  }

  try {
    const read: Message[] = [];
    for (const message of messages as Message[]) {
      const content = message?.content;
      const parts: unknown[] = [];
      if (Array.isArray(content)) for (const part of content as Part[]) parts.push(await readPart(part));
      read.push(Array.isArray(content) ? { ...message, content: parts } : message);
    }
    const result = await call(read, options);
    await heard; // over Comlink, it must not arrive after the result
    return result;
  } finally {
    taken.forEach((picture) => {
      picture.watching.delete(count);
      pictures.release(picture);
    });
  }
}

const engine = { ...workerCalls };

/** The calls of the engine, for messages with pictures. */
export const visionCalls: VisionCalls = {
  estimateImage: (...size) => loaded!.pictures.estimate(...size),
  chat(messages, options, emit, signal, onTiles) {
    const calledAt = performance.now();
    return withPictures(messages, options, { signal, onTiles }, async (read, rest) => {
      const readMs = performance.now() - calledAt;
      const result = await engine.chat(read, rest, emit, signal);
      return { ...result, firstTokenMs: result.firstTokenMs + readMs };
    }).catch(
      // it ends like one that is aborted while it waits
      (error: Error) => (signal?.aborted ? engine.chat([], {}, emit, signal) : Promise.reject(error)),
    );
  },
  score: (prompt, choices, options, signal) =>
    withPictures(prompt, options, { signal }, (read, rest) =>
      engine.score(read as Parameters<typeof engine.score>[0], choices, rest, signal),
    ),
  async render(messages, options = {}) {
    const text = await withPictures(messages, options, {}, engine.render);
    return text.replaceAll(PLACE, IMAGE_TOKEN);
  },
  async exportConversation(messages, options) {
    const found = [messages].flat().some(({ content }) => Array.isArray(content) && content.some(isImagePart));
    if (found)
      fail('RequestError', {
        what: 'A conversation with pictures cannot be exported',
        cure: 'Export its texts alone.',
      });
    return engine.exportConversation(messages, options);
  },
};
