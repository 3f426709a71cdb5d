/**
 * The models that the page offers. Sizes are of the Q4_0 files, in decimal MB; `about` marks sizes computed from the
 * published shapes.
 */
export interface Offer {
  /** what `load` takes */
  source: string;
  name: string;
  /** 0: not known */
  megabytes: number;
  /** what a token reads of them, in a mixture of experts; absent: all */
  activeMegabytes?: number;
  about?: true;
  description: string;
  /** the previous version of another one: never recommended */
  previous?: true;
  /** sees pictures, with an encoder in Q8_0: never recommended, for its size is not of use to a text */
  pictures?: true;
  /** the page of the model, with its licence */
  page?: string;
}

export const EMBEDDED: Offer = {
  source: new URL('models/rivulet-tiny.gguf', document.baseURI).href,
  name: 'Rivulet tiny',
  megabytes: 6.3,
  description: 'Demo model. Greets and uses the tools of this page. It knows nothing else.',
};

/** The demo model copies words exactly when the likeliest token is always taken. */
export const EMBEDDED_SAMPLING = { temperature: 0, repetitionPenalty: 1 };

export const LICENCE = {
  name: 'LFM Open License v1.0',
  terms:
    'Use is free for people and for companies with a yearly revenue below 10 million US dollars. Larger companies need a licence from Liquid AI.',
};

const hub = (
  name: string,
  megabytes: number,
  description: string,
  more: Pick<Offer, 'activeMegabytes' | 'about' | 'previous' | 'pictures'> = {},
): Offer => ({
  source: `LiquidAI/${name}-GGUF:Q4_0`,
  name,
  megabytes,
  description,
  page: `https://huggingface.co/LiquidAI/${name}-GGUF`,
  ...more,
});

export const HUB: Offer[] = [
  hub('LFM2.5-230M', 149, 'The smallest. For phones, short answers and extracting data.', { about: true }),
  hub('LFM2.5-350M', 219, 'Small and fast. Knows a little more than 230M.', { about: true }),
  hub('LFM2-350M', 219, 'The previous version of LFM2.5-350M.', { previous: true }),
  hub('LFM2.5-VL-450M', 324, 'Sees pictures, and knows as much as 350M.', { about: true, pictures: true }),
  hub('LFM2-700M', 446, 'Slower than 350M, knows more.', { about: true }),
  hub('LFM2.5-1.2B-Instruct', 696, 'Better answers. Needs a GPU or a fast laptop.', { about: true }),
  hub('LFM2-1.2B', 696, 'The previous version of LFM2.5-1.2B.', { about: true, previous: true }),
  hub('LFM2-2.6B', 1483, 'Very good answers. Needs about 2 GB of memory.', { about: true }),
  hub('LFM2.5-8B-A1B', 4841, 'The best answers. A mixture of experts. Needs about 6 GB of memory.', {
    activeMegabytes: 1021,
    about: true,
  }),
  hub('LFM2-8B-A1B', 4734, 'The previous version of LFM2.5-8B-A1B.', {
    activeMegabytes: 917,
    about: true,
    previous: true,
  }),
];

/** The part of its weights that a token reads, of the models in a repository of the hub: 1 if they are not known. */
export function activeShareIn(repo: string): number {
  const { megabytes, activeMegabytes } = HUB.find(({ source }) => source.startsWith(`${repo}:`)) ?? {};
  return megabytes && activeMegabytes ? activeMegabytes / megabytes : 1;
}

let first: Offer = EMBEDDED;

/**
 * Sets the model that a first visit loads in place of the demo model, for a copy of the page that is served with
 * another one. It is called before the first load.
 * @param source an absolute address, or a hub id
 */
export function setFirstModel(source: string): void {
  const name =
    decodeURIComponent(
      source
        .replace(/[?#].*$/, '')
        .split('/')
        .pop() ?? '',
    ) || source;
  first = HUB.find((offer) => offer.source === source) ?? {
    source,
    name,
    megabytes: 0,
    description: 'The model that this copy of the page begins with.',
  };
}
export const firstModel = (): Offer => first;

/** The models that are served with the page. */
export const includedModels = (): Offer[] => [...new Set([first, EMBEDDED])];

export const sizeOf = ({ megabytes, about }: Pick<Offer, 'megabytes' | 'about'>): string =>
  `${about ? 'about ' : ''}${megabytes >= 1000 ? `${(megabytes / 1000).toFixed(1)}\u00a0GB` : `${megabytes}\u00a0MB`}`;
