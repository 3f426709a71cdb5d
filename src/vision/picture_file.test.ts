/** Headers of pictures: files of 7 × 5 pixels, made by Pillow. */
import { describe, expect, it, test } from 'vitest';
import { readPictureFile } from './picture_file';

const FILES: Record<string, string> = {
  PNG: 'iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFCAIAAAAG+GGPAAAAKklEQVR4nGNkYGBg55VFQyyG0adhnBdwBBF9wc6LIsc4WTARlwkvUNFpAOzBFbcmJVPQAAAAAElFTkSuQmCC',
  JPEG: '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////////2wBDAf//////////////////////////////////////////////////////////////////////////////////////wAARCAAFAAcDASIAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABUQAQEAAAAAAAAAAAAAAAAAAAAB/8QAFQEBAQAAAAAAAAAAAAAAAAAAAAH/xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oADAMBAAIRAxEAPwBIAK//2Q==',
  'WebP, lossless': 'UklGRjIAAABXRUJQVlA4TCUAAAAvBgABALmM6H/sIqL/YVDIRhJEsITrb/KeweUHMe9Yjgl4IPkJAA==',
  'WebP, lossy': 'UklGRjgAAABXRUJQVlA4ICwAAAAQAgCdASoHAAUADMDOJbAC7H8AGZLkiTAAAPqLWyXLXf2P6JTma46r4AAAAA==',
  AVIF: 'AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAAAAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAAJwAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAAAABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAABwAAAAUAAAAQcGl4aQAAAAADCAgIAAAADGF2MUOBAAwAAAAAE2NvbHJuY2x4AAEADQAGgAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAAL21kYXQSAAoIGAi0aICGg0IyGR/3h4UV3///4sAsgOwktPeVrybp3s+KvIQ=',
  GIF: 'R0lGODdhBwAFAIEAAJTGl4yERGdNqVEWTiwAAAAABwAFAAAIGAAHCBQooKCAAAgDAFi4ECFBgwcTMgQQEAA7',
  BMP: 'Qk2uAAAAAAAAADYAAAAoAAAABwAAAAUAAAABABgAAAAAAHgAAADEDgAAxA4AAAAAAAAAAAAALGzESXnLZobSg5PZoKDgva3n2rruAAAAYRGTfh6amyuhuDio1UWv8lK2D1+9AAAAlrZis8Np0NBw7d13Cup+J/eFRASMAAAAy1sx6Gg4BXU/IoJGP49NXJxUealbAAAAAAAAHQ0HOhoOVycVdDQckUEjrk4qAAAA',
};
const TURNED =
  'UklGRmYAAABXRUJQVlA4WAoAAAAIAAAABgAABAAAVlA4TCUAAAAvBgABALmM6H/sIqL/YVDIRhJEsITrb/KeweUHMe9Yjgl4IPkJAEVYSUYaAAAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAA=';

const bytesOf = (base64: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
const refusal = (pattern: RegExp): object =>
  expect.objectContaining({ name: 'RequestError', message: expect.stringMatching(pattern) });
const SIZE = { width: 7, height: 5, orientation: 1 };

describe.each(Object.entries(FILES))('%s', (_, base64) => {
  const bytes = bytesOf(base64);
  it('tells its size', () => expect(readPictureFile(bytes)).toEqual(SIZE));
  it('is refused wherever its file is cut, behind its first bytes', () => {
    // what ends the file may be less than its last bytes
    const least = bytes.length - (base64.startsWith('Qk0') || base64.startsWith('R0l') ? 4 : 1);
    for (let length = 12; length <= least; length++)
      expect(() => readPictureFile(bytes.slice(0, length)), `${length}`).toThrow(refusal(/cut off|empty/));
  });
  it('fails by name, if at all, wherever a byte is another one', () => {
    for (let at = 0; at < bytes.length; at++)
      for (const bits of [1, 0x80, 0xff]) {
        const changed = bytes.slice();
        changed[at] ^= bits;
        try {
          readPictureFile(changed);
        } catch (error) {
          expect((error as Error).name, `${at}`).toBe('RequestError');
        }
      }
  });
});

test('orientation is read where browsers do not apply it, in WebP', () =>
  expect(readPictureFile(bytesOf(TURNED))).toEqual({ width: 7, height: 5, orientation: 6 }));

test.each<[string, Uint8Array<ArrayBuffer>, RegExp]>([
  ['nothing', new Uint8Array(), /not a picture: got 0 bytes/],
  ['a text', new TextEncoder().encode('Hello'), /not a picture: .* begin with "Hello"/],
  ['SVG', new TextEncoder().encode('<?xml version="1.0"?><svg/>'), /Pictures in SVG are not read/],
])('refuses %s', (_, bytes, pattern) => expect(() => readPictureFile(bytes)).toThrow(refusal(pattern)));

test.each([
  [0, 5, /The picture is empty: got 0 × 5 pixels/],
  [10_000, 10_000, /The picture is too large: got 10000 × 10000 pixels, wanted at most 64 megapixels/],
  [40_000, 1, /The picture is too large: got 40000 × 1 pixels/],
])('refuses %i × %i pixels', (width, height, pattern) => {
  const bytes = bytesOf(FILES.PNG);
  const view = new DataView(bytes.buffer);
  view.setUint32(16, width);
  view.setUint32(20, height);
  expect(() => readPictureFile(bytes)).toThrow(refusal(pattern));
});
