import type { GenerationResult } from '../engine/generate';
import { abortError } from '../errors';
import type { AnswerPart, EmitPart } from '../text/thinking';

/**
 * The text of a generation as it arrives, without the thinking before it. It can be iterated once, itself or by
 * `parts`. The generation starts at once and does not wait for the reader; no text is lost. Leaving the loop aborts it.
 * An abort by the caller's signal, and an unload, end the iteration with AbortError.
 */
export interface TextStream extends AsyncIterable<string> {
  /** The same with the thinking: each part is a piece of the reasoning or of the text. */
  readonly parts: AsyncIterable<AnswerPart>;
  /**
   * The complete result; after an abort with `finish: 'abort'` and the text so far. Rejects if the generation fails.
   */
  readonly result: Promise<GenerationResult>;
}

export function createTextStream(
  run: (emit: EmitPart, signal: AbortSignal) => Promise<GenerationResult>,
  signal?: AbortSignal,
): TextStream {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort);

  const pieces: AnswerPart[] = [];
  let ended = false;
  let failure: { error: unknown } | undefined;
  let wake = (): void => undefined;
  const emit: EmitPart = (text, type) => {
    pieces.push({ type, text });
    wake();
  };

  // options that cannot be sent reject the result, not the call
  const begin = async (): Promise<GenerationResult> => run(emit, controller.signal);
  const result = begin().finally(() => signal?.removeEventListener('abort', abort));
  const end = (cause?: typeof failure): void => {
    ended = true;
    failure = cause;
    wake();
  };
  result.then(
    ({ finish }) => end(finish === 'abort' ? { error: abortError() } : undefined),
    (error) => end({ error }),
  );

  async function* iterate(): AsyncGenerator<AnswerPart, void> {
    try {
      for (;;) {
        while (pieces.length) yield pieces.shift()!;
        if (ended) break;
        await new Promise<void>((resolve) => (wake = resolve));
      }
      if (failure) throw failure.error;
    } finally {
      abort();
    }
  }
  const parts = iterate();
  async function* texts(): AsyncGenerator<string, void> {
    for await (const { type, text } of parts) if (type === 'text') yield text;
  }
  const iterator = texts();
  return { result, parts, [Symbol.asyncIterator]: () => iterator };
}
