/** Reads PNG files of 8 bits, red, green and blue, with or without alpha: those of golden sets. */
import type { Pixels } from '../src/vision/resize';

export async function decodePng(bytes: Uint8Array): Promise<Pixels> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let [width, height, channels] = [0, 0, 3];
  for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at)) {
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const begin = at + 8;
    if (type === 'IHDR') {
      [width, height] = [view.getUint32(begin), view.getUint32(begin + 4)];
      const [depth, colour, , , interlaced] = bytes.subarray(begin + 8, begin + 13);
      if (depth !== 8 || (colour !== 2 && colour !== 6) || interlaced)
        throw new Error(`PNG of kind ${depth}, ${colour}`);
      channels = colour === 2 ? 3 : 4;
    }
    if (type === 'IDAT') parts.push(bytes.slice(begin, begin + view.getUint32(at)));
  }
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream('deflate'));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  return { width, height, channels: channels as 3 | 4, data: unfilter(raw, height, width * channels, channels) };
}

/** Undoes the five filters of rows (PNG specification, section 9). */
function unfilter(raw: Uint8Array, height: number, stride: number, step: number): Uint8Array {
  const data = new Uint8Array(height * stride);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const left = x < step ? 0 : data[y * stride + x - step];
      const up = y ? data[(y - 1) * stride + x] : 0;
      const corner = x < step || !y ? 0 : data[(y - 1) * stride + x - step];
      const predicted = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
      data[y * stride + x] = raw[y * (stride + 1) + 1 + x] + predicted;
    }
  }
  return data;
}

function paeth(left: number, up: number, corner: number): number {
  const near = left + up - corner;
  const [a, b, c] = [left, up, corner].map((value) => Math.abs(near - value));
  return a <= b && a <= c ? left : b <= c ? up : corner;
}
