/** The sampling of a request as options of the engine. */
import type { GenerateOptions } from '../index';
import type { FieldReader } from './fields';
import { refuse } from './openai_error';

/** The fields that `readSampling` reads. */
export const SAMPLING_FIELDS = [
  'temperature',
  'top_p',
  'top_k',
  'min_p',
  'frequency_penalty',
  'presence_penalty',
  'repetition_penalty',
  'logit_bias',
  'seed',
  'stop',
];

/** What is not given is left to the checkpoint's recommendation. @throws OpenAIError */
export function readSampling(request: FieldReader): GenerateOptions {
  const topP = request.number('top_p', 0, 1);
  if (topP === 0) request.refuse('top_p', 'above 0, at most 1');
  const repetitionPenalty = request.number('repetition_penalty', 0);
  if (repetitionPenalty === 0) request.refuse('repetition_penalty', 'above 0');
  const seed = request.whole('seed');
  const options: GenerateOptions = {
    temperature: request.number('temperature', 0),
    topP,
    topK: request.whole('top_k', 0),
    minP: request.number('min_p', 0, 1),
    frequencyPenalty: request.number('frequency_penalty'),
    presencePenalty: request.number('presence_penalty'),
    repetitionPenalty,
    bias: readBias(request),
    // any whole number is a seed in OpenAI's API: the lowest 32 bits of it count
    seed: seed === undefined ? undefined : Number(BigInt.asUintN(32, BigInt(seed))),
    stop: readStop(request),
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function readBias(request: FieldReader): Map<number, number> | undefined {
  const given = request.object('logit_bias');
  if (!given) return undefined;
  const bias = new Map<number, number>();
  for (const name of Object.keys(request.value('logit_bias') as object)) {
    if (!/^\d+$/.test(name))
      refuse(given.path(name), { what: 'logit_bias is not valid', got: name, wanted: 'token ids' });
    bias.set(Number(name), given.number(name) ?? given.refuse(name, 'a number'));
  }
  return bias;
}

function readStop(request: FieldReader): readonly string[] | undefined {
  const stop = request.value('stop');
  if (stop === undefined) return undefined;
  const list: unknown[] = Array.isArray(stop) ? stop : [stop];
  if (!list.every((one) => typeof one === 'string' && one !== ''))
    request.refuse('stop', 'a text or a list of texts, none of them empty');
  return list.length ? (list as string[]) : undefined;
}
