/** Log probabilities with the texts of their tokens. */
import type { GenerationResult } from '../index';
import type { OpenAIModel, TokenLogprob } from './types';

/** The tokens of an answer, without the one that ended it. */
export async function tokenLogprobs(
  model: OpenAIModel,
  { logprobs = [], finish }: GenerationResult,
): Promise<TokenLogprob[]> {
  const texts = new Map<number, Promise<string>>();
  const textOf = (id: number): Promise<string> => {
    const text = texts.get(id) ?? model.detokenize([id]);
    texts.set(id, text);
    return text;
  };
  const last = logprobs.at(-1);
  const ends = last && finish === 'stop' && (await model.detokenize([last.id], { skipSpecial: true })) === '';
  const shown = async ({
    id,
    logprob,
  }: {
    id: number;
    logprob: number;
  }): Promise<Omit<TokenLogprob, 'top_logprobs'>> => {
    const token = await textOf(id);
    return { token, logprob, bytes: token.includes('\ufffd') ? null : [...new TextEncoder().encode(token)] };
  };
  return Promise.all(
    (ends ? logprobs.slice(0, -1) : logprobs).map(async (chosen) => ({
      ...(await shown(chosen)),
      top_logprobs: await Promise.all(chosen.top.map(shown)),
    })),
  );
}
