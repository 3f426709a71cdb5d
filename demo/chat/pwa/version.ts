/**
 * The version of the page. The demo model belongs to it: the library keeps its first copy, so each new version asks the
 * server once for another one.
 */
import { downloadModel, listModels } from '../../../src/index';

/** A hash of all files of the site; empty in development. */
export const pageVersion = (): string =>
  document.querySelector<HTMLMetaElement>('meta[name=rivulet-version]')?.content ?? '';

const SEEN = 'rivulet-chat.version';

/**
 * Downloads the model again if it has changed on the server since an earlier version of the page stored it. Without an
 * answer the next visit asks again.
 * @returns whether it has changed
 */
export async function refreshWithVersion(source: string): Promise<boolean> {
  try {
    const version = pageVersion();
    const seen = localStorage.getItem(SEEN);
    if (!version || seen === version || !navigator.onLine) return false;
    const added = async (): Promise<number | undefined> =>
      (await listModels()).find(({ id }) => id === source)?.added.getTime();
    const before = await added();
    // a model that the first visit has stored is of this version
    if (seen !== null && before !== undefined) await downloadModel(source, { refresh: true });
    localStorage.setItem(SEEN, version);
    return before !== (await added());
  } catch {
    return false;
  }
}
