/** Files that go with a message. */
import { bytes } from '../format';
import type { AttachedFile } from '../history';
import { keepPicture } from '../pictures/pictures';
import { AttachError } from './attach_error';

const MOST_BYTES = 2e6;

/** What these files are called by people. */
const KINDS: [RegExp, string][] = [
  [/^audio\//, 'a sound'],
  [/^video\//, 'a video'],
  [/pdf$/, 'a PDF document'],
  [/zip|compressed|tar$/, 'an archive'],
  [/officedocument|msword|ms-excel|ms-powerpoint|opendocument/, 'an office document'],
];

/** A picture, or the text of a file: SVG is text, which the browser shows and no model sees. @throws AttachError */
export const readAttached = (file: File): Promise<AttachedFile> =>
  file.type.startsWith('image/') && file.type !== 'image/svg+xml' ? keepPicture(file) : readText(file);

/** The text of a file in UTF-8, or in UTF-16 with its mark. @throws AttachError */
export async function readText(file: File): Promise<AttachedFile> {
  const kind = KINDS.find(([type]) => type.test(file.type))?.[1];
  if (kind)
    throw new AttachError(
      `${file.name} is ${kind}. Only pictures and text files can be attached, for example .txt, .md, .csv or source code.`,
    );
  if (file.size > MOST_BYTES)
    throw new AttachError(
      `${file.name} has ${bytes(file.size)}. At most ${bytes(MOST_BYTES)} can be attached. Attach a part of it.`,
    );
  const read = await file.arrayBuffer().catch(() => undefined);
  if (!read) throw new AttachError(`${file.name} cannot be read. A folder cannot be attached: attach its files.`);
  const [first, second] = new Uint8Array(read);
  const encoding =
    first === 0xff && second === 0xfe ? 'utf-16le' : first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8';
  let text: string | undefined;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(read);
  } catch {
    // it is in another encoding, or is no text
  }
  if (text === undefined || text.includes('\0'))
    throw new AttachError(
      `${file.name} is not a text file in UTF-8. Only pictures and text files can be attached, for example .txt, .md, .csv or source code.`,
    );
  if (!text.trim()) throw new AttachError(`${file.name} is empty.`);
  return { name: file.name, text };
}
