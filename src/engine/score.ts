/** How probable some texts are as continuations of a prompt, without generating any. */
import { abortError } from '../errors';
import { prefill, restoreHistory, stateOf, type GenerationSession } from './generate';
import { checkPrompt } from './prompt_length';
import { EMPTY_HISTORY } from './token_history';

export interface ScoredChoice {
  text: string;
  /** among the choices: all add up to 1 */
  probability: number;
  /** natural logarithm of the probability of all its tokens, at temperature 1 and without penalties */
  logprob: number;
}

/**
 * Reads the prompt once, and of each choice all tokens but the last: a choice of one token costs nothing more. What is
 * read of the choices is taken back.
 * @param prompt token ids
 * @throws ContextError, RequestError, DeviceError, MemoryError, AbortError
 */
export async function scoreChoices(
  session: GenerationSession,
  prompt: readonly number[],
  choices: readonly string[],
  signal?: AbortSignal,
): Promise<ScoredChoice[]> {
  const { conversations, recoverable, tokenizer } = session;
  const tokens = choices.map((text) => tokenizer.encode(text, { bos: false, special: false }));
  const longest = tokens.reduce((best, one) => (one.length > best.length ? one : best));
  const logprobs = await recoverable.run(async (model, turn) => {
    checkPrompt(session, model, prompt);
    checkPrompt(session, model, prompt.concat(longest.slice(1)), 'The prompt with its longest choice');
    const conversation = await conversations.open(conversations.find(model.program, prompt, true));
    try {
      const state = await stateOf(conversation, model);
      const reading = { conversation, state, model, turn, signal };
      await restoreHistory(reading);
      await prefill(reading, prompt);
      const first = await state.logits();
      const sums: number[] = [];
      for (const ids of tokens) {
        let sum = 0;
        for (const [i, id] of ids.entries()) {
          if (i) await state.prefill(Uint32Array.of(ids[i - 1]));
          sum += logProbability(i ? await state.logits() : first, id);
          await turn.pass();
          if (signal?.aborted) throw abortError(); // another call may have the device
        }
        state.rewind(prompt.length);
        sums.push(sum);
      }
      return sums;
    } catch (error) {
      conversation.history = EMPTY_HISTORY;
      throw error;
    } finally {
      conversation.inUse = false;
    }
  }, signal);
  const most = Math.max(...logprobs);
  const total = logprobs.reduce((sum, logprob) => sum + Math.exp(logprob - most), 0);
  return logprobs.map((logprob, i) => ({
    text: choices[i],
    probability: Math.exp(logprob - most) / total,
    logprob,
  }));
}

function logProbability(logits: Float32Array, id: number): number {
  const most = logits.reduce((a, b) => Math.max(a, b));
  return logits[id] - most - Math.log(logits.reduce((sum, l) => sum + Math.exp(l - most), 0));
}
