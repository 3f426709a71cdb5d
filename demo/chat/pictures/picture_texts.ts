/** Pictures in files of exported conversations: data URLs by id. */
import type { AttachedFile } from '../history';
import { addPicture, holdPictures, pictureFile } from './pictures';

export interface PictureTexts {
  pictures: Record<string, string>;
  /** pictures that are not in the file: it would be too large to be imported */
  left: number;
}

/** @param limit of all texts, in characters */
export async function pictureTexts(attached: readonly AttachedFile[], limit: number): Promise<PictureTexts> {
  const pictures: Record<string, string> = {};
  let [length, left] = [0, 0];
  await holdPictures(attached);
  for (const { picture } of attached) {
    const file = picture && pictureFile(picture);
    if (!file || picture.id in pictures) continue;
    if (length + (file.size * 4) / 3 > limit) {
      left++;
      continue;
    }
    const text = await dataUrl(file);
    pictures[picture.id] = text;
    length += text.length;
  }
  return { pictures, left };
}

function dataUrl(file: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error ?? new Error('the picture cannot be read'));
    reader.readAsDataURL(file);
  });
}

const DATA_URL = /^data:(image\/[\w.+-]{1,40})?;base64,/;

/** Keeps the pictures of an imported file. What is none is left out: its message then says that it is not there. */
export async function addPictureTexts(given: Record<string, unknown>): Promise<void> {
  for (const [id, text] of Object.entries(given)) {
    if (typeof text !== 'string' || !/^[\w-]{1,100}$/.test(id)) continue;
    const [start, type = ''] = DATA_URL.exec(text) ?? [];
    if (start === undefined) continue;
    try {
      const bytes = Uint8Array.from(atob(text.slice(start.length)), (char) => char.charCodeAt(0));
      await addPicture(id, new Blob([bytes], { type }));
    } catch {
      // no base64
    }
  }
}
