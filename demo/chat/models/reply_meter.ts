/**
 * Measures the replies of a model while they are written: the figures under the message field, and those of the support
 * report.
 */
import type { AnswerPart, GenerationResult, Model, TextStream } from '../../../src/index';
import { duration, speed } from '../format';

/** A reply that has ended. It holds no text. */
export interface ReplyFigures {
  model: string;
  backend: string;
  finish: GenerationResult['finish'] | 'failed';
  promptTokens?: number;
  reusedTokens?: number;
  tokens?: number;
  tokensPerSecond?: number;
  firstTokenMs?: number;
  prefillMs?: number;
  decodeMs?: number;
}

async function* textsOf(parts: AsyncIterable<AnswerPart>): AsyncGenerator<string, void> {
  for await (const { type, text } of parts) if (type === 'text') yield text;
}

export interface ReplyMeter {
  /** The same model, whose replies are measured. */
  watch(model: Model): Model;
  /** the last replies, the newest last */
  last(): ReplyFigures[];
}

export interface ReplyMeterParts {
  /** gets the figures of the reply that is being written, at most four times a second; an empty text at its end */
  show(text: string): void;
  ended?(model: Model, result: GenerationResult): void;
  now?(): number;
}

const INTERVAL_MS = 250;
const KEPT = 10;

export function createReplyMeter({ show, ended, now = () => performance.now() }: ReplyMeterParts): ReplyMeter {
  const replies: ReplyFigures[] = [];
  const record = (figures: ReplyFigures): void => {
    replies.push(figures);
    if (replies.length > KEPT) replies.shift();
  };

  /** Passes the stream on. Almost every piece is the text of one token. */
  async function* tap({ parts }: TextStream): AsyncGenerator<AnswerPart, void> {
    const begun = now();
    let first: number | undefined;
    let pieces = 0;
    let shownAt = -Infinity;
    show('Reading the conversation…');
    try {
      for await (const part of parts) {
        const time = now();
        first ??= time;
        pieces++;
        if (time - shownAt >= INTERVAL_MS && pieces > 1) {
          shownAt = time;
          show(`${speed(((pieces - 1) / (time - first)) * 1000)} · ${duration((first - begun) / 1000)} to first token`);
        }
        yield part;
      }
    } finally {
      show('');
    }
  }

  return {
    watch(model) {
      const chat: Model['chat'] = (messages, options) => {
        const stream = model.chat(messages, options);
        const where = { model: model.info.id, backend: `${model.info.backend.name} ${model.info.backend.device}` };
        stream.result.then(
          (result) => {
            const { finish, promptTokens, reusedTokens, tokens, tokensPerSecond, firstTokenMs, prefillMs, decodeMs } =
              result;
            record({
              ...where,
              finish,
              promptTokens,
              reusedTokens,
              tokens,
              tokensPerSecond,
              firstTokenMs,
              prefillMs,
              decodeMs,
            });
            ended?.(model, result);
          },
          () => record({ ...where, finish: 'failed' }),
        );
        const parts = tap(stream);
        const iterator = textsOf(parts);
        return { result: stream.result, parts, [Symbol.asyncIterator]: () => iterator };
      };
      // `info` is a getter, and stays one
      return Object.defineProperties({} as Model, {
        ...Object.getOwnPropertyDescriptors(model),
        chat: { value: chat, enumerable: true },
      });
    },
    last: () => [...replies],
  };
}
