/** The options of a generation, checked and completed with defaults. */
import type { SamplingParams } from '../backend/sampling';
import { fail } from '../errors';
import type { Constraint, ResponseFormat } from './constraints';

export interface GenerateOptions extends Partial<Omit<SamplingParams, 'mask' | 'bias'>> {
  /** added to the logits, by token id */
  bias?: ReadonlyMap<number, number> | Readonly<Record<number, number>>;
  /** most tokens of the answer; the default is the rest of the context */
  maxTokens?: number;
  /** the text ends before the first of these texts */
  stop?: string | readonly string[];
  /** the text ends when it says one thing of up to 64 tokens over and over, at least eight times and 128 tokens long */
  stopRepetition?: boolean;
  /** the form to which the answer is held; the model needs `constraints` at its load */
  responseFormat?: ResponseFormat;
  /**
   * Keep the state of earlier calls as far as the prompt begins with the same tokens. Rounding may then differ and
   * change a close choice, so the default is true without a seed and false with one.
   */
  reuse?: boolean;
  /**
   * 0 to 20: the result gives the log probability of each token and of that many most likely alternatives, before
   * temperature and penalties.
   * The model then chooses one token at a time, which is slower.
   */
  logprobs?: number;
}

export interface ResolvedGenerateOptions {
  sampling: SamplingParams;
  maxTokens: number;
  stop: readonly string[];
  stopRepetition?: boolean;
  reuse: boolean;
  logprobs?: number;
  /** which tokens may come */
  constraint?: Constraint;
  /** the beginning of the answer that the prompt holds. Thinking is separated from the answer if it is given */
  begun?: string;
  /** the prompt may be split into tokens as an earlier answer was */
  align?: boolean;
}

export type SamplingDefaults = Omit<SamplingParams, 'seed' | 'bias' | 'mask'>;

const NEUTRAL: SamplingDefaults = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
};

/** The sampling that a checkpoint recommends, or its family. */
export function samplingDefaults(
  stored: Partial<SamplingDefaults>,
  family: Partial<SamplingDefaults>,
): SamplingDefaults {
  const keys = Object.keys(NEUTRAL) as (keyof SamplingDefaults)[];
  const stated = Object.fromEntries(keys.filter((key) => stored[key] !== undefined).map((key) => [key, stored[key]]));
  return { ...NEUTRAL, ...(Object.keys(stated).length ? stated : family) };
}

/**
 * @param options their types and ranges were checked in the page. @throws RequestError for a bias of a token that does
 * not exist
 */
export function resolveGenerateOptions(
  options: GenerateOptions,
  defaults: SamplingDefaults,
  vocabSize: number,
): ResolvedGenerateOptions {
  const {
    seed = crypto.getRandomValues(new Uint32Array(1))[0],
    bias,
    maxTokens = Infinity,
    reuse = options.seed === undefined,
    logprobs,
    stop = [],
    stopRepetition,
  } = options;
  const biases =
    bias &&
    new Map([...(Symbol.iterator in bias ? bias : Object.entries(bias))].map(([id, value]) => [Number(id), value]));
  for (const [id, value] of biases ?? []) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize || typeof value !== 'number' || Number.isNaN(value))
      fail('RequestError', {
        what: 'bias is not valid',
        got: `${id}: ${value}`,
        wanted: `token ids below ${vocabSize} with numbers`,
      });
  }
  const chosen = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [name, options[name as keyof SamplingDefaults] ?? value]),
  );
  return {
    sampling: { ...defaults, ...chosen, seed, bias: biases },
    maxTokens,
    stop: typeof stop === 'string' ? [stop] : stop,
    stopRepetition,
    reuse,
    logprobs,
  };
}
