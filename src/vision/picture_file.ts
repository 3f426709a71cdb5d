/** What the first bytes of a picture's file tell, before it is decoded: its size, and whether it is complete. */
import { fail } from '../errors';

export interface PictureFile {
  /** pixels, as stored */
  width: number;
  height: number;
  /** 1 to 8 as EXIF has it, where browsers leave it to the page: in WebP files. 1 elsewhere */
  orientation: number;
}

/** A decoded picture takes four bytes a pixel. */
const MAX_PIXELS = 2 ** 26;
/** of a canvas in every browser */
const MAX_SIDE = 32_767;
export const MAX_PICTURE_BYTES = 2 ** 27;

type Bytes = Uint8Array<ArrayBuffer>;
type Size = [width: number, height: number];

/** Undefined: the bytes end before the picture does. */
type Reader = (bytes: Bytes, view: DataView) => Size | undefined;

const textAt = (bytes: Bytes, at: number, length = 4): string =>
  String.fromCharCode(...bytes.subarray(at, at + length));

const READERS: [begins: (bytes: Bytes) => boolean, read: Reader][] = [
  [(bytes) => textAt(bytes, 1, 3) === 'PNG', readPng],
  [(bytes) => bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff, readJpeg],
  [(bytes) => textAt(bytes, 0) === 'RIFF' && textAt(bytes, 8) === 'WEBP', readWebp],
  [(bytes) => textAt(bytes, 0) === 'GIF8', readGif],
  [(bytes) => textAt(bytes, 0, 2) === 'BM', readBmp],
  [(bytes) => textAt(bytes, 4, 8) === 'ftypavif' || textAt(bytes, 4, 8) === 'ftypavis', readAvif],
];

/** @throws RequestError for what is no picture, a part of one, or one that is too large */
export function readPictureFile(bytes: Bytes): PictureFile {
  const read = READERS.find(([begins]) => begins(bytes))?.[1];
  if (!read) return refuseOther(bytes);
  let size: Size | undefined;
  try {
    size = read(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
  } catch {
    // a RangeError: the header is cut
  }
  if (!size)
    return fail('RequestError', {
      what: 'The file of a picture is cut off',
      got: `${bytes.length} bytes`,
      cure: 'Get the file again.',
    });
  checkPictureSize(...size);
  return { width: size[0], height: size[1], orientation: read === readWebp ? orientationOfWebp(bytes) : 1 };
}

/** @throws RequestError */
export function checkPictureSize(width: number, height: number): void {
  const what = width && height ? 'The picture is too large' : 'The picture is empty';
  if (!width || !height || Math.max(width, height) > MAX_SIDE || width * height > MAX_PIXELS)
    fail('RequestError', {
      what,
      got: `${width} × ${height} pixels`,
      wanted: `at most ${MAX_PIXELS / 2 ** 20} megapixels, and ${MAX_SIDE} on a side`,
      cure: 'Make it smaller.',
    });
}

function refuseOther(bytes: Bytes): never {
  const begin = textAt(bytes, 0, Math.min(bytes.length, 1024));
  const svg = /<svg[\s>]/i.test(begin) || /^\s*<\?xml/.test(begin);
  fail('RequestError', {
    what: svg ? 'Pictures in SVG are not read' : 'This is not a picture',
    got: svg ? 'SVG' : `${bytes.length} bytes that begin with ${JSON.stringify(begin.slice(0, 12))}`,
    wanted: 'PNG, JPEG, WebP, AVIF, GIF or BMP',
    cure: svg ? 'Draw it into a canvas.' : 'Convert it, or draw it into a canvas.',
  });
}

function readPng(bytes: Bytes, view: DataView): Size | undefined {
  for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at))
    if (textAt(bytes, at + 4) === 'IEND') return [view.getUint32(16), view.getUint32(20)];
  return undefined;
}

/** Segments up to the scan, and somewhere behind it the mark of the end. */
function readJpeg(bytes: Bytes, view: DataView): Size | undefined {
  let size: Size | undefined;
  for (let at = 2; ; at += 2 + view.getUint16(at + 2)) {
    while (bytes[at] === 0xff && bytes[at + 1] === 0xff) at++; // fill bytes
    const marker = view.getUint8(at + 1);
    if (view.getUint8(at) !== 0xff) return undefined;
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame) size = [view.getUint16(at + 7), view.getUint16(at + 5)];
    if (marker !== 0xda) continue;
    for (let end = bytes.length - 2; end > at; end--) if (bytes[end] === 0xff && bytes[end + 1] === 0xd9) return size;
    return undefined;
  }
}

function readWebp(bytes: Bytes, view: DataView): Size | undefined {
  if (view.getUint32(4, true) + 8 > bytes.length) return undefined;
  const three = (at: number): number => view.getUint16(at, true) + (view.getUint8(at + 2) << 16) + 1;
  const kind = textAt(bytes, 12);
  if (kind === 'VP8X') return [three(24), three(27)];
  if (kind === 'VP8 ') return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
  const bits = view.getUint32(21, true);
  return [(bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1];
}

/** Up to the end of the first frame. */
function readGif(bytes: Bytes, view: DataView): Size | undefined {
  const table = (flags: number): number => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  let at = 13 + table(view.getUint8(10));
  const skipBlocks = (): void => {
    while (view.getUint8(at)) at += 1 + bytes[at];
    at++;
  };
  for (;;) {
    const kind = view.getUint8(at);
    if (kind === 0x2c) {
      at += 11 + table(view.getUint8(at + 9));
      skipBlocks();
      return [view.getUint16(6, true), view.getUint16(8, true)];
    }
    if (kind !== 0x21) return undefined;
    at += 2;
    skipBlocks();
  }
}

function readBmp(bytes: Bytes, view: DataView): Size | undefined {
  const [width, height] = [view.getInt32(18, true), Math.abs(view.getInt32(22, true))];
  const row = Math.ceil((width * view.getUint16(28, true)) / 32) * 4;
  const plain = view.getUint32(30, true) === 0;
  return plain && view.getUint32(10, true) + row * height > bytes.length ? undefined : [width, height];
}

/** The largest of the sizes that it states: parts and thumbnails have their own. */
function readAvif(bytes: Bytes, view: DataView): Size | undefined {
  let hasData = false;
  for (let at = 0; at < bytes.length;) {
    hasData ||= textAt(bytes, at + 4) === 'mdat';
    const size = view.getUint32(at);
    const length = size === 1 ? Number(view.getBigUint64(at + 8)) : size || bytes.length - at;
    if (length < 8 || at + length > bytes.length) return undefined;
    at += length;
  }
  if (!hasData) return undefined;
  let best: Size = [0, 0];
  const first = bytes.subarray(0, 2 ** 16);
  for (let at = first.indexOf(0x69); at >= 0; at = first.indexOf(0x69, at + 1)) {
    if (textAt(bytes, at) !== 'ispe') continue;
    const size: Size = [view.getUint32(at + 8), view.getUint32(at + 12)];
    if (size[0] * size[1] > best[0] * best[1]) best = size;
  }
  return best;
}

/** The tag of the chunk EXIF: browsers do not turn these pictures, and the reference does. */
function orientationOfWebp(bytes: Bytes): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  try {
    for (let at = 12; ;) {
      const length = view.getUint32(at + 4, true);
      if (textAt(bytes, at) === 'EXIF') return orientationOfExif(bytes.subarray(at + 8, at + 8 + length));
      at += 8 + length + (length & 1);
    }
  } catch {
    return 1; // no such chunk, or a damaged one
  }
}

function orientationOfExif(bytes: Bytes): number {
  const from = textAt(bytes, 0) === 'Exif' ? 6 : 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset + from, bytes.length - from);
  const little = view.getUint8(0) === 0x49;
  const begin = view.getUint32(4, little);
  for (let i = 0; i < view.getUint16(begin, little); i++) {
    const at = begin + 2 + 12 * i;
    const value = view.getUint16(at + 8, little);
    if (view.getUint16(at, little) === 0x112) return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}
