/** The models that the picker offers. Sizes are those of the Q4_0 files in decimal MB; `about` marks one computed from the published shapes. */
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
  megabytes: 5.4,
  description: 'A miniature trained for this project: it says what it is and copies requests into tool calls, 96 % of held-out ones exactly right, and knows nothing. Choose a real model for answers.',
};

const hub = (name: string, megabytes: number, description: string, about?: true): Offer => ({
  source: `LiquidAI/${name}-GGUF:Q4_0`,
  name,
  megabytes,
  description,
  ...(about && { about }),
});

export const HUB: Offer[] = [
  hub('LFM2.5-230M', 149, 'The smallest: phones, short answers, extraction.', true),
  hub('LFM2.5-350M', 219, 'Small and quick, a good first choice.', true),
  hub('LFM2-350M', 219, 'The first generation of the same size.'),
  hub('LFM2-700M', 446, 'Between quick and knowing.', true),
  hub('LFM2.5-1.2B-Instruct', 696, 'Knows more; wants a graphics processor or a fast laptop.', true),
  hub('LFM2-1.2B', 696, 'The first generation of the same size.', true),
  hub('LFM2-2.6B', 1483, 'The most able dense model; wants about 2 GB of memory.', true),
];

export const sizeOf = ({ megabytes, about }: Offer): string =>
  `${about ? 'about ' : ''}${megabytes >= 1000 ? `${(megabytes / 1000).toFixed(1)} GB` : `${megabytes} MB`}`;
