/** A model to load, and its names. */
import type { ModelSource } from '../../../src/index';
import { HUB, includedModels, type Offer } from './catalogue';
import { isStoredCopy } from './stored_copy';

export interface Choice {
  name: string;
  source: ModelSource;
  /** size of its files, where it is known */
  bytes?: number;
}

export const choiceOf = (files: File[]): Choice => ({
  ...(files.length === 1
    ? { name: files[0].name, source: { file: files[0] } }
    : { name: `${files.length} files`, source: { files } }),
  bytes: files.reduce((sum, { size }) => sum + size, 0),
});

export const choiceOfOffer = ({ name, source, megabytes }: Offer): Choice => ({
  name,
  source,
  ...(megabytes > 0 && { bytes: megabytes * 1e6 }),
});

/** The offer with this source, or the one that the stored model `source` was downloaded from. */
export const offerNamed = (source: string): Offer | undefined =>
  [...includedModels(), ...HUB].find((offer) => isStoredCopy(source, offer.source));

/** @param source what `load` takes, the id of a stored model too */
export function choiceNamed(source: string, bytes?: number): Choice {
  const offer = offerNamed(source);
  // the id of a stored file is its name, which may hold any character but a slash
  const name =
    offer?.name ??
    (source.includes('/')
      ? source
          .replace(/[?#].*$/, '')
          .split('/')
          .pop() || source
      : source);
  const size = bytes ?? (offer ? offer.megabytes * 1e6 : 0);
  return { name, source, ...(size > 0 && { bytes: size }) };
}
