/** The options of a generation, checked and completed with defaults. */
import type { SamplingParams } from '../backend/sampling';
import { fail } from '../errors';

export interface GenerateOptions extends Partial<Omit<SamplingParams, 'mask'>> {
  /** most tokens of the answer; the default is the rest of the context */
  maxTokens?: number;
  /** the text ends before the first of these texts */
  stop?: string | readonly string[];
  /**
   * Keep the state of earlier calls as far as the prompt begins with the same tokens. Rounding may then differ and change a close choice, so
   * the default is true without a seed and false with one.
   */
  reuse?: boolean;
  /**
   * 0 to 20: the result gives the log probability of each token and of that many most likely alternatives, before temperature and penalties.
   * The model then chooses one token at a time, which is slower.
   */
  logprobs?: number;
}

export interface ResolvedGenerateOptions {
  sampling: SamplingParams;
  maxTokens: number;
  stop: readonly string[];
  reuse: boolean;
  logprobs?: number;
  /** the beginning of the answer that the prompt holds. Thinking is separated from the answer if it is given */
  begun?: string;
}

export type SamplingDefaults = Omit<SamplingParams, 'seed' | 'bias' | 'mask'>;

const NEUTRAL: SamplingDefaults = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 };

/** The setting that Liquid AI's documentation recommends for LFM2 text models, for checkpoints without a setting. */
const LFM2_SAMPLING = { temperature: 0.3, minP: 0.15, repetitionPenalty: 1.05 };

/** The sampling that a checkpoint recommends. */
export function samplingDefaults(stored: Partial<SamplingDefaults>): SamplingDefaults {
  const keys = Object.keys(NEUTRAL) as (keyof SamplingDefaults)[];
  const stated = Object.fromEntries(keys.filter((key) => stored[key] !== undefined).map((key) => [key, stored[key]]));
  return { ...NEUTRAL, ...(Object.keys(stated).length ? stated : LFM2_SAMPLING) };
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

/** @throws RequestError that names the first option that is not valid */
export function resolveGenerateOptions(options: GenerateOptions, defaults: SamplingDefaults, vocabSize: number): ResolvedGenerateOptions {
  for (const [name, { valid, wanted }] of Object.entries(RANGES)) {
    const value: unknown = options[name as keyof typeof RANGES];
    if (value === undefined) continue;
    if (typeof value !== 'number' || !Number.isFinite(value) || !valid(value))
      fail('RequestError', { what: `${name} is out of range`, got: String(value), wanted });
  }
  const stop = typeof options.stop === 'string' ? [options.stop] : (options.stop ?? []);
  if (!Array.isArray(stop) || stop.some((text) => typeof text !== 'string' || text === ''))
    fail('RequestError', { what: 'stop is not valid', wanted: 'a text or a list of texts, none of them empty' });
  for (const [id, bias] of options.bias ?? []) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize || Number.isNaN(bias))
      fail('RequestError', { what: 'bias is not valid', got: `${id}: ${bias}`, wanted: `token ids below ${vocabSize} with numbers` });
  }
  const { seed = crypto.getRandomValues(new Uint32Array(1))[0], bias, maxTokens = Infinity, reuse = options.seed === undefined, logprobs } = options;
  const chosen = Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, options[name as keyof SamplingDefaults] ?? value]));
  return { sampling: { ...defaults, ...chosen, seed, bias }, maxTokens, stop, reuse, logprobs };
}
