/**
 * Pictures that go with messages. A message names its pictures; their files lie in a database of their own, so that a
 * message can be written often. What cannot be stored lasts until the page is closed.
 */
import { createStore, del, get, keys, set } from 'idb-keyval';
import type { Model } from '../../../src/index';
import { bytes } from '../format';
import { AttachError } from '../conversations/attach_error';
import { newId } from '../conversations/conversation';
import type { AttachedFile, KeptPicture } from '../history';

const DATABASE = 'rivulet-chat-pictures';
const MOST_BYTES = 3e7;
/** A picture may belong to a message that another tab has not stored yet. */
const UNUSED_MS = 24 * 60 * 60 * 1000;

interface StoredPicture {
  file: Blob;
  added: number;
}

/** undefined: it is not there any more */
const files = new Map<string, Blob | undefined>();
let database: ReturnType<typeof createStore> | undefined;
// createStore throws where IndexedDB is forbidden
const store = (): ReturnType<typeof createStore> => (database ??= createStore(DATABASE, 'pictures'));

/** Keeps the file of a picture. @throws AttachError for what this browser does not show, and for what is too large */
export async function keepPicture(file: File): Promise<AttachedFile> {
  const name = file.name || 'Picture';
  if (file.size > MOST_BYTES)
    throw new AttachError(
      `${name} has ${bytes(file.size)}. Pictures of at most ${bytes(MOST_BYTES)} can be attached. Make it smaller.`,
    );
  // the file may be changed or deleted after it was chosen
  const copy = await file.arrayBuffer().then(
    (read) => new Blob([read], { type: file.type }),
    () => undefined,
  );
  const size = copy && (await sizeOf(copy));
  if (!copy || !size)
    throw new AttachError(`${name} cannot be shown. It is damaged, or in a format that this browser does not know.`);
  const id = newId();
  files.set(id, copy);
  await set(id, { file: copy, added: Date.now() } satisfies StoredPicture, store()).catch(() => undefined);
  return { name, text: '', picture: { id, ...size } };
}

/** Keeps a picture of an imported file, where it is one and none of this id is there. */
export async function addPicture(id: string, file: Blob): Promise<void> {
  if (file.size > MOST_BYTES || (await get(id, store()).catch(() => undefined)) || !(await sizeOf(file))) return;
  files.set(id, file);
  await set(id, { file, added: Date.now() } satisfies StoredPicture, store()).catch(() => undefined);
}

/** As it is shown, turned by what the file says. */
async function sizeOf(file: Blob): Promise<{ width: number; height: number } | undefined> {
  try {
    const shown = await createImageBitmap(file);
    const { width, height } = shown;
    shown.close();
    return { width, height };
  } catch {
    return undefined;
  }
}

/** Fetches the files of these pictures, so that `pictureFile` has them. */
export async function holdPictures(attached: readonly AttachedFile[]): Promise<void> {
  for (const { picture } of attached) {
    if (!picture || files.get(picture.id)) continue;
    const stored = await get<StoredPicture>(picture.id, store()).catch(() => undefined);
    files.set(picture.id, stored?.file instanceof Blob ? stored.file : undefined);
  }
}

/** What `holdPictures` has fetched; undefined if it is not there any more. */
export const pictureFile = ({ id }: KeptPicture): Blob | undefined => files.get(id);

/** What gives a model the files of the pictures in these turns; undefined for a model that does not see. */
export async function picturesFor(
  model: Model,
  turns: readonly { files?: AttachedFile[] }[],
): Promise<typeof pictureFile | undefined> {
  const attached = turns.flatMap(({ files: each = [] }) => each).filter(({ picture }) => picture);
  if (!attached.length || !model.info.vision) return undefined;
  await holdPictures(attached);
  return pictureFile;
}

/**
 * Deletes pictures that no message and no draft has.
 * @param given those that one has had; without it all that were added a day ago
 */
export async function deleteUnusedPictures(
  used: () => Promise<ReadonlySet<string>>,
  given?: readonly string[],
): Promise<void> {
  try {
    const stored = given ?? (await keys<string>(store()));
    if (!stored.length) return;
    const wanted = await used();
    for (const id of stored) {
      if (wanted.has(id)) continue;
      const { added = 0 } = given ? {} : ((await get<StoredPicture>(id, store())) ?? {});
      if (Date.now() - added <= UNUSED_MS) continue;
      await del(id, store());
      files.delete(id);
    }
  } catch {
    // storage is blocked: there is nothing to delete
  }
}

export const picturesIn = (attached: readonly AttachedFile[] = []): string[] =>
  attached.flatMap(({ picture }) => picture?.id ?? []);
