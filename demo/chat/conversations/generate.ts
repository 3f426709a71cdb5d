/** One answer of a model, and the line that says how it came. */
import type { ChatOptions, GenerationResult, Message, Model } from '../../../src/index';
import { count, duration, speed } from '../format';
import { withoutOldest } from './context';

/**
 * Resolves also when it is stopped. Where the prompt is longer than was counted, the oldest request is left out until
 * it fits.
 */
export async function generate(
  model: Pick<Model, 'chat'>,
  messages: readonly Message[],
  options: ChatOptions & { signal: AbortSignal },
  onText: (text: string, reasoning: string) => void,
): Promise<{ text: string; reasoning: string; result: GenerationResult }> {
  for (let read = messages; ;) {
    const stream = model.chat(read, { stopRepetition: true, ...options });
    const written = { text: '', reasoning: '' };
    try {
      for await (const { type, text } of stream.parts) {
        written[type] += text;
        onText(written.text, written.reasoning);
      }
    } catch (error) {
      const shorter = (error as Error).name === 'ContextError' ? withoutOldest(read) : undefined;
      if (shorter) {
        read = shorter;
        continue;
      }
      if ((error as Error).name !== 'AbortError') throw error; // also where the model was unloaded
    }
    return { ...written, result: await stream.result };
  }
}

/** The line under a reply. */
export function describeResult({ finish, tokens, tokensPerSecond, firstTokenMs }: GenerationResult): string {
  const end = {
    stop: '',
    length: 'stopped at the length limit',
    abort: 'stopped',
    repetition: 'stopped because it repeated itself',
  }[finish];
  const figures =
    tokens > 1
      ? [`${count(tokens)} tokens`, speed(tokensPerSecond), `${duration(firstTokenMs / 1000)} to first token`]
      : [];
  return [...figures, end].filter(Boolean).join(' · ');
}

const FIGURES = /^[\d,]+ tokens · [^·]+ · [^·]+ to first token(?: · )?/;

/** The part of that line that says how fast it came. A note that is none of ours has no such part. */
export const figuresIn = (note: string): string => FIGURES.exec(note)?.[0] ?? '';
