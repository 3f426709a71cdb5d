/** One answer of a model as events: text, thinking and checked calls, in order. */
import type { GenerationResult, TextStream } from '../index';
import { createToolCallStream, type CallStreamPart } from '../text/tool_call_stream';
import { isAbort, OpenAIError } from './openai_error';
import { checkCall, malformed, type CheckedCall, type ToolSet } from './tools';
import type { ChatCompletionMessageToolCall, FinishReason, ToolCallError } from './types';

export type AnswerEvent =
  | { type: 'reasoning' | 'text'; text: string }
  | { type: 'call'; call: ChatCompletionMessageToolCall }
  | { type: 'error'; error: ToolCallError }
  | { type: 'end'; result: GenerationResult; finish: FinishReason };

/**
 * Leaving the loop aborts the generation. The last event is `end`, unless the generation fails or is aborted.
 * @throws what the generation throws
 */
export async function* answerEvents(
  stream: TextStream,
  tools: ToolSet,
  signal?: AbortSignal | null,
): AsyncGenerator<AnswerEvent, void> {
  stream.result.catch(() => undefined); // told by the parts
  const pending: CallStreamPart[] = [];
  const reader = createToolCallStream((part) => pending.push(part), { tools: tools.offered });
  let calls = 0;
  let enough = false;

  function* events(): Generator<AnswerEvent, void> {
    for (const part of pending.splice(0)) {
      if (part.type === 'text') {
        yield part;
        continue;
      }
      const checked: CheckedCall = part.type === 'call' ? checkCall(part.call, tools) : malformed(part.text);
      if (checked.text) yield { type: 'text', text: checked.text };
      if (checked.error) yield { type: 'error', error: checked.error };
      if (!checked.call) continue;
      yield { type: 'call', call: checked.call };
      calls++;
      enough = !tools.parallel;
      if (enough) return;
    }
  }

  for await (const { type, text } of untilUnload(stream.parts, signal)) {
    if (type === 'reasoning') yield { type, text };
    else reader.push(text);
    yield* events();
    if (enough) break; // ends the generation
  }
  if (!enough) {
    reader.flush();
    yield* events();
  }
  const result = await stream.result;
  if (!enough) requireComplete(result);
  const cut = !enough && (result.finish === 'length' || result.finish === 'repetition');
  yield { type: 'end', result, finish: cut ? 'length' : calls ? 'tool_calls' : 'stop' };
}

/** An unload ends the pieces like an abort: without the caller's abort it is no error yet (`requireComplete`). */
export async function* untilUnload<T>(pieces: AsyncIterable<T>, signal?: AbortSignal | null): AsyncGenerator<T, void> {
  try {
    yield* pieces;
  } catch (error) {
    if (!isAbort(error) || signal?.aborted) throw error;
  }
}

/** @throws OpenAIError if something else than the caller ended the generation */
export function requireComplete({ finish }: GenerationResult): void {
  if (finish === 'abort')
    throw new OpenAIError('The model was unloaded before its answer was complete. Load it again.', 503, {
      code: 'model_unloaded',
    });
}
