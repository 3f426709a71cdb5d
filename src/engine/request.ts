/** What a call may ask of a generation, checked and completed. */
import type { SamplingParams } from '../backend/sampling';
import { fail } from '../errors';

export interface GenerateOptions extends Partial<Omit<SamplingParams, 'mask'>> {
  /** tokens at most; without it, to the end of the context */
  maxTokens?: number;
  /** the text ends before the first of these */
  stop?: string | readonly string[];
  /**
   * Continue from the state that earlier calls left where the prompt begins like it. The result is the same up to rounding, which can tip a
   * close choice: therefore the default is true without a seed, and false with one.
   */
  reuse?: boolean;
  /**
   * 0 to 20: the result tells of each token its log probability and that many of the most likely alternatives, as the model has them: before
   * temperature and penalties. All logits of each token come back for it, one token at a time: slower than without.
   */
  logprobs?: number;
}

export interface Request {
  sampling: SamplingParams;
  maxTokens: number;
  stop: readonly string[];
  reuse: boolean;
  logprobs?: number;
}

export type SamplingDefaults = Omit<SamplingParams, 'seed' | 'bias' | 'mask'>;

const NEUTRAL: SamplingDefaults = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 };

/** Liquid AI's setting for LFM2 text models (spec 6.4), where a checkpoint says nothing. */
const FAMILY = { temperature: 0.3, minP: 0.15, repetitionPenalty: 1.05 };

/** The checkpoint's own sampling. */
export function samplingDefaults(generation: Partial<SamplingDefaults>): SamplingDefaults {
  const keys = Object.keys(NEUTRAL) as (keyof SamplingDefaults)[];
  const said = Object.fromEntries(keys.filter((key) => generation[key] !== undefined).map((key) => [key, generation[key]]));
  return { ...NEUTRAL, ...(Object.keys(said).length ? said : FAMILY) };
}

const RANGES: Record<keyof SamplingDefaults | 'seed' | 'maxTokens' | 'logprobs', { valid: (n: number) => boolean; wanted: string }> = {
  temperature: { valid: (n) => n >= 0, wanted: '0 (greedy) or more' },
  topK: { valid: (n) => Number.isInteger(n) && n >= 0, wanted: 'a whole number, 0 for all' },
  topP: { valid: (n) => n > 0 && n <= 1, wanted: 'above 0, at most 1' },
  minP: { valid: (n) => n >= 0 && n <= 1, wanted: '0 to 1' },
  repetitionPenalty: { valid: (n) => n > 0, wanted: 'above 0' },
  frequencyPenalty: { valid: () => true, wanted: 'a number' },
  presencePenalty: { valid: () => true, wanted: 'a number' },
  seed: { valid: (n) => Number.isInteger(n) && n >= 0 && n < 2 ** 32, wanted: 'a whole number from 0 to 4294967295' },
  maxTokens: { valid: (n) => Number.isInteger(n) && n > 0, wanted: 'a whole number above 0' },
  logprobs: { valid: (n) => Number.isInteger(n) && n >= 0 && n <= 20, wanted: 'a whole number from 0 to 20' },
};

/** @throws RequestError naming the first option that cannot be honoured */
export function settle(options: GenerateOptions, defaults: SamplingDefaults, vocabSize: number): Request {
  for (const [name, { valid, wanted }] of Object.entries(RANGES)) {
    const value: unknown = options[name as keyof typeof RANGES];
    if (value === undefined) continue;
    if (typeof value !== 'number' || !Number.isFinite(value) || !valid(value))
      fail('RequestError', { what: `${name} is out of range`, got: String(value), wanted });
  }
  const stop = typeof options.stop === 'string' ? [options.stop] : (options.stop ?? []);
  if (!Array.isArray(stop) || stop.some((text) => typeof text !== 'string' || text === ''))
    fail('RequestError', { what: 'stop cannot be used', wanted: 'a text or a list of texts, none of them empty' });
  for (const [id, bias] of options.bias ?? []) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize || Number.isNaN(bias))
      fail('RequestError', { what: 'bias cannot be used', got: `${id}: ${bias}`, wanted: `token ids below ${vocabSize} with numbers` });
  }
  const { seed = crypto.getRandomValues(new Uint32Array(1))[0], bias, maxTokens = Infinity, reuse = options.seed === undefined, logprobs } = options;
  const chosen = Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, options[name as keyof SamplingDefaults] ?? value]));
  return { sampling: { ...defaults, ...chosen, seed, bias }, maxTokens, stop, reuse, logprobs };
}
