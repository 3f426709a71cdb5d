/** Second questions about a picture beside those of a text of the same length, for the tool `vision_turns`. */
import { load, type Model } from '../../src/index';
import { ggufBytes, tinyModel, type TinyOptions } from '../tools/tiny';
import { SIGLIP2_BASE, tinyEncoder } from '../tools/tiny_vision';

export interface Turns {
  /** from the calls to their first tokens, together */
  milliseconds: number;
  /** of one prompt, and of these the ones that were read */
  promptTokens: number;
  readTokens: number;
}

export interface VisionTurns {
  /** @param layers of the text model. @returns what runs */
  load(layers: number): Promise<string>;
  /** Asks so many second questions, each of `length` tokens. */
  ask(kind: 'picture' | 'text', times: number, length: number): Promise<Turns>;
}

/** LFM2-350M with a small vocabulary: all of its tokens are special, and many of them take long to find. */
const SHAPE: TinyOptions = {
  hidden: 1024, ffn: 4608, heads: 16, kvHeads: 8, headDim: 64, vocab: 512, dtype: 'Q4_0', contextLength: 4096,
  layers: Array.from({ length: 16 }, (_, i) => ([2, 5, 8, 10, 12, 14].includes(i) ? 'attention' : 'conv')),
}; // prettier-ignore

const SIDE = 1024; // four tiles and a thumbnail
const PICTURE_TOKENS = ['<image>', '<|image_start|>', '<|image_end|>', '<|img_thumbnail|>'].concat(
  [1, 2].flatMap((row) => [1, 2].map((col) => `<|img_row_${row}_col_${col}|>`)),
);

let model: Model;
let picture: Blob;
let pictureTokens: number;
let count = 0;

/** Of bytes that are a token each; what is not shared comes first. */
const digits = (length: number): string => [...String(count++).padStart(length, '0')].reverse().join('');

async function noise(): Promise<Blob> {
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const pixels = new ImageData(SIDE, SIDE);
  for (let i = 0; i < pixels.data.length; i++) pixels.data[i] = i % 4 === 3 ? 255 : Math.random() * 256;
  canvas.getContext('2d')!.putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: 'image/png' });
}

(window as Window & { visionTurns?: VisionTurns }).visionTurns = {
  async load(layers) {
    const text = tinyModel({ ...SHAPE, layers: SHAPE.layers!.slice(0, layers) });
    const [type, of, tokens] = text.metadata['tokenizer.ggml.tokens'] as [number, number, string[]];
    const named = tokens.map((token) => PICTURE_TOKENS[Number(/^<\|reserved_(\d+)\|>$/.exec(token)?.[1])] ?? token);
    text.metadata['tokenizer.ggml.tokens'] = [type, of, named] as never;
    const encoder = tinyEncoder({ ...SIGLIP2_BASE, layers: 1, dtype: 'F16' });
    const files = [text, encoder].map(
      (each, i) => new File([ggufBytes(each).slice()], ['text.gguf', 'mmproj.gguf'][i]),
    );
    model = await load({ files }, { backend: 'wasm', threads: 2 });
    picture = await noise();
    pictureTokens = (await model.estimateImage(SIDE, SIDE)).tokens;
    return `${model.info.backend.device}; a picture of ${pictureTokens} tokens and ${picture.size} bytes`;
  },
  async ask(kind, times, length) {
    const text = (said: string): object => ({ type: 'text', text: said });
    const begin = kind === 'text' ? text('7'.repeat(pictureTokens)) : { type: 'image', image: picture };
    const messages = (question: string): never =>
      [
        { role: 'user', content: [begin, text('first question')] },
        { role: 'assistant', content: 'first answer' },
        { role: 'user', content: question },
      ] as never;
    const ask = (question: string) => model.chat(messages(question), { maxTokens: 1, temperature: 0 }).result;
    await ask(digits(length)); // reads the picture or the text, and what another kind had replaced
    const start = performance.now();
    let [promptTokens, readTokens] = [0, 0];
    for (let i = 0; i < times; i++) {
      const result = await ask(digits(length));
      promptTokens = result.promptTokens;
      readTokens = promptTokens - result.reusedTokens;
    }
    return { milliseconds: performance.now() - start, promptTokens, readTokens };
  },
};
