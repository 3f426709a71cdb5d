/** What is asked before a download, a deletion, and before other models go to make room. */
import type { EvictionRequest } from '../../../src/index';
import { element } from '../dom';
import { bytes } from '../format';
import { ask } from './ask';
import { LICENCE, type Offer } from './catalogue';
import { choiceNamed } from './choice';

/** smaller downloads are not asked about */
export const ASKED_BYTES = 20e6;

const link = (href: string, text: string): HTMLAnchorElement =>
  element('a', { href, target: '_blank', rel: 'noopener noreferrer' }, text);

/** The page of a model on the hub, if its source names one. */
export function pageOf(source: string, offer?: Offer, hub = 'https://huggingface.co'): string | undefined {
  if (offer?.page) return offer.page;
  const [, repo] = /^([\w.-]+\/[\w.-]+)(?:[:@/].*)?$/.exec(source) ?? [];
  return repo && !source.startsWith('.') ? `${hub}/${repo}` : undefined;
}

/** The licence in a line. Its name is the link to read it. */
export function licenceLine(source: string, offer?: Offer, hub?: string): HTMLElement {
  const page = pageOf(source, offer, hub);
  const line = element('span', { className: 'licence' });
  if (offer?.page) line.append('Licence: ', link(offer.page, LICENCE.name), `. ${LICENCE.terms}`);
  else if (page) line.append('The licence is on ', link(page, 'the page of the model'), '.');
  else line.append('The page does not know the licence of this model. Ask who offers it.');
  return line;
}

interface Wanted {
  name: string;
  source: string;
  offer?: Offer;
  hub?: string;
  /** bytes to download */
  needed: number;
  /** the size is computed, not asked */
  about?: boolean;
  free?: number;
  saveData?: boolean;
  /** this window stores nothing */
  unstored?: boolean;
}

export const askToDownload = ({
  name,
  source,
  offer,
  hub,
  needed,
  about,
  free,
  saveData,
  unstored,
}: Wanted): Promise<boolean> =>
  ask({
    title: `Download ${name}?`,
    body: [
      `It is ${about ? 'about ' : ''}${bytes(needed)}, from ${new URL(pageOf(source, offer, hub) ?? source, document.baseURI).host}. ${unstored ? 'This window stores nothing, so it is downloaded at each visit.' : 'It is kept on this device, and needs no network after that.'}`,
      ...(unstored
        ? []
        : free !== undefined && free < needed
          ? [`Only ${bytes(free)} is free for this page. The download fails unless room is made.`]
          : free !== undefined
            ? [`${bytes(free)} is free for this page.`]
            : []),
      ...(saveData ? ['This device asks pages to save data.'] : []),
      licenceLine(source, offer, hub),
    ],
    yes: 'Download',
  });

export const askToDelete = (name: string, instead: string): Promise<boolean> =>
  ask({ title: `Delete ${name}?`, body: [`${name} is in use. After that, ${instead} answers.`], yes: 'Delete' });

/** Asks before anything is deleted to make room. */
export function askToMakeRoom({ id, needed, free, victims }: EvictionRequest): Promise<boolean> {
  const names = victims
    .map(
      (victim) =>
        `${choiceNamed(victim.id).name} (${bytes(victim.bytes)}, last used ${victim.lastUsed.toLocaleDateString()})`,
    )
    .join(', ');
  return ask({
    title: 'Delete other models to make room?',
    body: [
      `Storing ${choiceNamed(id).name} on this device needs ${bytes(needed)}${free === undefined ? '' : `, and ${bytes(free)} is free`}.`,
      `To be deleted: ${names}.`,
    ],
    yes: 'Delete and go on',
  });
}

/** a smaller copy is not asked about */
const ASKED_COPY_BYTES = 300e6;

/** Asks before a model that another tab has in memory takes as much again in this one. */
export const askToCopy = (name: string, memory: number): boolean | Promise<boolean> =>
  memory < ASKED_COPY_BYTES ||
  ask({
    title: `Load ${name} once more?`,
    body: [
      `${name} is in the memory of another tab of this page. A copy in this tab takes ${bytes(memory)} more. You can go on in the other tab, or close it first.`,
    ],
    yes: 'Load a copy',
  });
