/** The models that the picker offers. Sizes are of the Q4_0 files, in decimal MB; `about` marks a size computed from the published shapes. */
export interface Offer {
  /** what `load` takes */
  source: string;
  name: string;
  megabytes: number;
  about?: true;
  description: string;
}

export const EMBEDDED: Offer = {
  source: new URL('models/rivulet-tiny.gguf', document.baseURI).href,
  name: 'Rivulet tiny',
  megabytes: 6.3,
  description: 'Demo model. Greets and calls tools, but cannot answer questions.',
};

/** The demo model copies words exactly when the likeliest token is always taken. */
export const EMBEDDED_SAMPLING = { temperature: 0, repetitionPenalty: 1 };

const hub = (name: string, megabytes: number, description: string, about?: true): Offer => ({
  source: `LiquidAI/${name}-GGUF:Q4_0`,
  name,
  megabytes,
  description,
  ...(about && { about }),
});

export const HUB: Offer[] = [
  hub('LFM2.5-230M', 149, 'The smallest. For phones, short answers and extracting data.', true),
  hub('LFM2.5-350M', 219, 'Small and fast. A good first choice.', true),
  hub('LFM2-350M', 219, 'The previous version, same size.'),
  hub('LFM2-700M', 446, 'Slower than 350M, knows more.', true),
  hub('LFM2.5-1.2B-Instruct', 696, 'Better answers. Needs a GPU or a fast laptop.', true),
  hub('LFM2-1.2B', 696, 'The previous version, same size.', true),
  hub('LFM2-2.6B', 1483, 'The best answers. Needs about 2 GB of memory.', true),
];

export const sizeOf = ({ megabytes, about }: Offer): string =>
  `${about ? 'about ' : ''}${megabytes >= 1000 ? `${(megabytes / 1000).toFixed(1)} GB` : `${megabytes} MB`}`;
