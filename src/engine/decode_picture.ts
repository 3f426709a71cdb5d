/**
 * Pictures decoded by the browser, without colour conversion or premultiplication: the pixels are those of the file.
 * Rows are read back a few at a time, so that beside the browser's own copy there is no other.
 */
import { fail, show } from '../errors';
import { checkPictureSize, MAX_PICTURE_BYTES, readPictureFile } from '../vision/picture_file';
import type { Pixels, PixelStrips } from '../vision/resize';

/** What a message to the worker can carry; a text is an address. */
export type WorkerImage = string | Blob | ImageBitmap | ImageData | VideoFrame;

/** Pixels of a few rows, with four channels. */
const STRIP_BYTES = 2 ** 24;

const AS_STORED: ImageBitmapOptions = { premultiplyAlpha: 'none', colorSpaceConversion: 'none' };

/** The transform of each orientation of EXIF, for a picture of w × h: what a canvas takes. */
const TURNS: ((w: number, h: number) => [number, number, number, number, number, number])[] = [
  () => [1, 0, 0, 1, 0, 0],
  (w) => [-1, 0, 0, 1, w, 0],
  (w, h) => [-1, 0, 0, -1, w, h],
  (_, h) => [1, 0, 0, -1, 0, h],
  () => [0, 1, 1, 0, 0, 0],
  (_, h) => [0, 1, -1, 0, h, 0],
  (w, h) => [0, -1, -1, 0, h, w],
  (w) => [0, -1, 1, 0, 0, w],
];

/**
 * Decodes a file and gives its pixels to `use`.
 * @throws RequestError for what is no picture, a part of one, or one that is too large
 */
export async function withDecodedFile<T>(bytes: Uint8Array<ArrayBuffer>, use: (pixels: PixelStrips) => T): Promise<T> {
  const { orientation } = readPictureFile(bytes);
  const bitmap = await createImageBitmap(new Blob([bytes]), AS_STORED).catch((cause: unknown) =>
    fail(
      'RequestError',
      { what: 'The picture cannot be decoded', got: String(cause), cure: 'Get the file again, or convert it.' },
      cause,
    ),
  );
  return withBitmap(bitmap, use, orientation);
}

/** Gives the pixels of a picture that is decoded to `use`, and frees it. @throws RequestError */
export function withBitmap<T>(image: ImageBitmap | VideoFrame, use: (pixels: PixelStrips) => T, orientation = 1): T {
  try {
    const [width, height] =
      'displayWidth' in image ? [image.displayWidth, image.displayHeight] : [image.width, image.height];
    checkPictureSize(width, height);
    const strips = canvasStrips(image, [width, height], orientation);
    const opaque = isOpaque(strips);
    return use((!opaque && orientation === 1 && webGlStrips(image, width, height)) || strips);
  } finally {
    image.close();
  }
}

/** @throws RequestError */
export function pixelsOf({ width, height, data }: ImageData): Pixels {
  checkPictureSize(width, height);
  if (!(data instanceof Uint8ClampedArray))
    fail('RequestError', { what: 'The ImageData is not of bytes', wanted: "pixelFormat: 'rgba-unorm8'" });
  return { width, height, channels: 4, data };
}

type Strip = ReturnType<PixelStrips['strip']>;

function strips(width: number, height: number, read: (first: number, rows: number) => Pixels['data']): PixelStrips {
  const most = Math.min(height, Math.max(1, Math.floor(STRIP_BYTES / (4 * width))));
  let held: Strip | undefined;
  return {
    width,
    height,
    channels: 4,
    strip(row) {
      if (!held || row < held.first || row >= held.first + most)
        held = { first: row, data: read(row, Math.min(most, height - row)) };
      return held;
    },
  };
}

function isOpaque(picture: PixelStrips): boolean {
  for (let row = 0; row < picture.height;) {
    const { data } = picture.strip(row);
    for (let i = 3; i < data.length; i += 4) if (data[i] < 255) return false;
    row += data.length / (4 * picture.width);
  }
  return true;
}

/** Exact where the picture is opaque: a canvas multiplies colours with alpha. */
function canvasStrips(image: CanvasImageSource, [w, h]: readonly [number, number], orientation: number): PixelStrips {
  const [width, height] = orientation > 4 ? [h, w] : [w, h];
  const canvas = new OffscreenCanvas(width, Math.min(height, Math.ceil(STRIP_BYTES / (4 * width))));
  const context =
    canvas.getContext('2d', { willReadFrequently: true }) ??
    fail('DeviceError', { what: 'The browser gives no canvas for a picture' });
  context.globalCompositeOperation = 'copy';
  context.imageSmoothingEnabled = false;
  const [a, b, c, d, x, y] = TURNS[orientation - 1](w, h);
  return strips(width, height, (first, rows) => {
    context.setTransform(a, b, c, d, x, y - first);
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, width, rows).data;
  });
}

/** Exact for pictures with alpha, too. Undefined where there is no WebGL, or the picture is too large for it. */
function webGlStrips(image: TexImageSource, width: number, height: number): PixelStrips | undefined {
  const gl = new OffscreenCanvas(1, 1).getContext('webgl2');
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return undefined;
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  const texture = gl.getParameter(gl.TEXTURE_BINDING_2D) as WebGLTexture;
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE) return undefined;
  return strips(width, height, (first, rows) => {
    const data = new Uint8Array(4 * width * rows);
    gl.readPixels(0, first, width, rows, gl.RGBA, gl.UNSIGNED_BYTE, data);
    return data;
  });
}

/**
 * The bytes of a file, or of an address.
 * @throws RequestError for one that is too large; SourceError for one that does not load; AbortError
 */
export async function pictureBytes(source: string | Blob, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  if (typeof source === 'string') return source.startsWith('data:') ? dataBytes(source) : fetchBytes(source, signal);
  checkBytes(source.size);
  try {
    return new Uint8Array(await source.arrayBuffer());
  } catch (cause) {
    return fail(
      'SourceError',
      { what: 'The file of a picture cannot be read', got: String(cause), cure: 'Choose it again.' },
      cause,
    );
  }
}

function checkBytes(size: number): void {
  if (size > MAX_PICTURE_BYTES)
    fail('RequestError', {
      what: 'The file of a picture is too large',
      got: `${size} bytes`,
      wanted: `at most ${MAX_PICTURE_BYTES}`,
    });
}

/** Without a request, which a policy may refuse. */
function dataBytes(address: string): Uint8Array<ArrayBuffer> {
  const comma = address.indexOf(',');
  checkBytes(address.length * 0.75);
  try {
    const text = decodeURIComponent(address.slice(comma + 1));
    const bytes = /;\s*base64\s*$/i.test(address.slice(0, comma)) ? atob(text) : text;
    return Uint8Array.from(bytes, (char) => char.charCodeAt(0));
  } catch (cause) {
    return fail('RequestError', { what: 'The data: address of a picture is not valid', got: show(address) }, cause);
  }
}

async function fetchBytes(address: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  try {
    // the worker is a blob; the page leaves its address (start_worker.ts)
    const { rivuletPage } = globalThis as { rivuletPage?: string };
    const answer = await fetch(new URL(address, rivuletPage), { signal });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    for (const reader = answer.body!.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
      checkBytes((size += value.length));
      parts.push(value);
    }
  } catch (cause) {
    if ((cause as Error).name === 'AbortError' || (cause as Error).name === 'RequestError') throw cause;
    return fail(
      'SourceError',
      {
        what: 'A picture does not load from its address',
        got: `${show(address)}: ${String(cause)}`,
        cure: 'Its host must allow this page (CORS), and so must the policy of the page (connect-src). Or give the file.',
      },
      cause,
    );
  }
}
