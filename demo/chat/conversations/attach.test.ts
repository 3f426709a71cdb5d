import { expect, test } from 'vitest';
import { readAttached } from './attach';

test('text in UTF-8 and UTF-16 is read, whatever its ending', async () => {
  expect(await readAttached(new File(['Grüße'], 'a.xyz'))).toEqual({ name: 'a.xyz', text: 'Grüße' });
  expect(await readAttached(new File(['\ufeffx'], 'a.txt'))).toEqual({ name: 'a.txt', text: 'x' });
  expect(await readAttached(new File([new Uint8Array([0xff, 0xfe, 0x41, 0, 0x42, 0])], 'b.txt'))).toEqual({
    name: 'b.txt',
    text: 'AB',
  });
});

test('a picture in SVG is a text, which no model sees', async () => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg"/>';
  const file = new File([svg], 'a.svg', { type: 'image/svg+xml' });
  expect(await readAttached(file)).toEqual({ name: 'a.svg', text: svg });
});

test.each<[File, RegExp]>([
  // Node decodes no pictures
  [new File(['x'], 'cat.jpg', { type: 'image/jpeg' }), /^cat\.jpg cannot be shown\. It is damaged, or in a format/],
  [new File(['%PDF'], 'a.pdf', { type: 'application/pdf' }), /is a PDF document/],
  [new File([new Uint8Array([0xff, 0xd8, 0xff])], 'cat'), /not a text file in UTF-8/],
  [new File(['a\0b'], 'x.bin'), /not a text file in UTF-8/],
  [new File([' \n'], 'empty.txt'), /^empty\.txt is empty\.$/],
  [new File([new Uint8Array(2_000_001)], 'large.txt'), /^large\.txt has 2\.0\sMB\. At most 2\.0\sMB/],
])('%s', async (file, problem) => {
  await expect(readAttached(file)).rejects.toThrow(problem);
});
