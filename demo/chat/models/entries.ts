/**
 * The models that the dialog shows: those served with the page, stored ones, the model in use, and those of the hub.
 * Each stands once.
 */
import type { CachedModel } from '../../../src/index';
import type { Offer } from './catalogue';
import type { Download } from './downloads';
import { isStoredCopy } from './stored_copy';

export interface Entry {
  /** stays the same while the entry changes */
  key: string;
  name: string;
  /** what `load` takes; absent: a file that is not stored */
  source?: string;
  /** in the page's storage, also when only a part is */
  id?: string;
  offer?: Offer;
  place: 'included' | 'stored' | 'hub' | 'file';
  state: 'ready' | 'part' | 'absent';
  inUse: boolean;
  recommended: boolean;
  /** bytes of the model and of what is stored of it; 0: unknown */
  bytes: number;
  there: number;
  pinned: boolean;
  download?: Download;
}

export interface EntriesParts {
  included: readonly Offer[];
  hub: readonly Offer[];
  stored: readonly CachedModel[];
  downloads: readonly Download[];
  /** the model that answers; no id: it was opened as a file */
  inUse?: { name: string; id?: string; bytes: number; file: boolean };
  recommended?: Offer;
  /** ids that are about to be deleted */
  deleted: readonly string[];
  nameOf(id: string): string;
}

const isDownloadOf = (id: string, download: Download): boolean =>
  download.id === id || isStoredCopy(id, download.source);

/** Those on this device first. */
export function listEntries({
  included,
  hub,
  stored,
  downloads,
  inUse,
  recommended,
  deleted,
  nameOf,
}: EntriesParts): Entry[] {
  const left = new Set(stored.filter(({ id }) => !deleted.includes(id)));
  const waiting = new Set(downloads);
  const take = (source: string): { copy?: CachedModel; download?: Download } => {
    const copy = [...left].find(({ id }) => isStoredCopy(id, source));
    if (copy) left.delete(copy);
    const download = [...waiting].find(
      (each) => each.source === source || (copy !== undefined && isDownloadOf(copy.id, each)),
    );
    if (download) waiting.delete(download);
    return { copy, download };
  };
  const uses = (id: string | undefined, source?: string): boolean =>
    inUse !== undefined &&
    !inUse.file &&
    inUse.id !== undefined &&
    (inUse.id === id || (source !== undefined && isStoredCopy(inUse.id, source)));

  const ofOffer = (offer: Offer, place: Entry['place']): Entry => {
    const { copy, download } = take(offer.source);
    return {
      key: offer.source,
      name: offer.name,
      source: copy?.complete ? copy.id : offer.source,
      ...(copy && { id: copy.id }),
      offer,
      place: copy?.complete && place === 'hub' ? 'stored' : place,
      state: place === 'included' || copy?.complete ? 'ready' : copy ? 'part' : 'absent',
      inUse: uses(copy?.id, offer.source),
      recommended: offer === recommended,
      bytes: copy?.bytes ?? 0,
      there: copy?.storedBytes ?? 0,
      pinned: copy?.pinned ?? false,
      ...(download && { download }),
    };
  };
  const entries = [
    ...included.map((offer) => ofOffer(offer, 'included')),
    ...hub.filter((offer) => !included.includes(offer)).map((offer) => ofOffer(offer, 'hub')),
  ];
  for (const { id, bytes, storedBytes, complete, pinned } of left) {
    const download = [...waiting].find((each) => isDownloadOf(id, each));
    if (download) waiting.delete(download);
    entries.push({
      key: id,
      name: nameOf(id),
      source: complete ? id : (download?.source ?? id),
      id,
      place: complete ? 'stored' : 'hub',
      state: complete ? 'ready' : 'part',
      inUse: uses(id),
      recommended: false,
      bytes,
      there: storedBytes,
      pinned,
      ...(download && { download }),
    });
  }
  for (const download of waiting) {
    const { source, name, done, total, id } = download;
    entries.push({
      key: id ?? source,
      name,
      source,
      place: 'hub',
      state: 'part',
      inUse: false,
      recommended: false,
      bytes: total,
      there: done,
      pinned: false,
      download,
    });
  }
  if (inUse?.file)
    entries.push({
      key: 'file',
      name: inUse.name,
      place: 'file',
      state: 'ready',
      inUse: true,
      recommended: false,
      bytes: inUse.bytes,
      there: 0,
      pinned: false,
    });
  const order: Entry['place'][] = ['included', 'file', 'stored', 'hub'];
  const rank = ({ place, recommended: best, download }: Entry): number =>
    4 * order.indexOf(place) + (place !== 'hub' ? 0 : download ? 0 : best ? 1 : 2);
  return entries.sort((a, b) => rank(a) - rank(b));
}
