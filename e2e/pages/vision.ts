/** A page that shows pictures to a model. */
import { load, type GenerationResult, type ImageEstimate, type LoadCallOptions, type Model } from '../../src/index';

let model: Model;
let said: { role: string; content: unknown }[] = [];

const image = (picture: unknown): object => ({ type: 'image', image: picture });
const blobOf = async (path: string): Promise<Blob> => (await fetch(path)).blob();

/** The same pixels in other forms. */
const FORMS: Record<string, (path: string) => Promise<unknown>> = {
  path: async (path) => path,
  url: async (path) => new URL(path, location.href),
  data: async (path) => {
    const bytes = new Uint8Array(await (await blobOf(path)).arrayBuffer());
    return `data:image/png;base64,${btoa(String.fromCharCode(...bytes))}`;
  },
  file: async (path) => new File([await blobOf(path)], 'picture.png'),
  bitmap: async (path) => createImageBitmap(await blobOf(path)),
  canvas: (path) => canvasOf(path),
  offscreen: async (path) => {
    const { width, height } = await canvasOf(path);
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext('2d')!.drawImage(await canvasOf(path), 0, 0);
    return canvas;
  },
  imageData: async (path) => dataOf(await canvasOf(path)),
};

async function canvasOf(path: string): Promise<HTMLCanvasElement> {
  const bitmap = await createImageBitmap(await blobOf(path));
  const canvas = Object.assign(document.createElement('canvas'), { width: bitmap.width, height: bitmap.height });
  canvas.getContext('2d')!.drawImage(bitmap, 0, 0);
  return canvas;
}
const dataOf = (canvas: HTMLCanvasElement): ImageData =>
  canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);

const ask = (messages: typeof said, options = {}): Promise<GenerationResult> =>
  model.chat(messages as never, { temperature: 0, repetitionPenalty: 1, maxTokens: 4, logprobs: 0, ...options }).result;
const question = (picture: unknown): typeof said => [
  { role: 'user', content: [image(picture), { type: 'text', text: 'What is in this image?' }] },
];

export interface VisionPage {
  load(urls: string[], options: LoadCallOptions): Promise<string>;
  /** Begins a conversation about a picture, or goes on with it. */
  say(text: string, path?: string): Promise<GenerationResult>;
  ids(text: string): Promise<number[]>;
  /** The answer to the same question about a picture in any form. */
  form(name: string, path: string): Promise<GenerationResult>;
  /** A picture of these bytes, and of these pixels. */
  bytes(base64: string): Promise<GenerationResult>;
  pixels(width: number, height: number, rgba: number[]): Promise<GenerationResult>;
  /** What a call says of bytes that are no picture. */
  refuse(base64: string): Promise<string>;
  estimate(width: number, height: number): Promise<ImageEstimate>;
}

(window as Window & { vision?: VisionPage }).vision = {
  async load(urls, options) {
    await model?.unload();
    model = await load({ url: urls.map((url) => new URL(url, location.href).href) }, { cache: false, ...options });
    return model.info.backend.name;
  },
  async say(text, path) {
    if (path) said = question(await blobOf(path));
    else said.push({ role: 'user', content: text });
    const result = await ask(said);
    said.push({ role: 'assistant', content: result.text });
    return result;
  },
  ids: (text) => model.tokenize(text),
  form: async (name, path) => ask(question(await FORMS[name](path)), { reuse: false }),
  bytes: (base64) => ask(question(blobOfBase64(base64)), { reuse: false }),
  pixels: (width, height, rgba) =>
    ask(question(new ImageData(Uint8ClampedArray.from(rgba), width, height)), { reuse: false }),
  refuse: (base64) =>
    ask(question(base64.startsWith('/') ? base64 : blobOfBase64(base64))).then(
      () => 'an answer',
      ({ name, message }: Error) => `${name}: ${message}`,
    ),
  estimate: (width, height) => model.estimateImage(width, height),
};

const blobOfBase64 = (base64: string): Blob => new Blob([Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))]);
