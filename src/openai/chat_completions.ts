/** Chat completions over a model: whole, and as a stream of chunks. */
import type { GenerationResult } from '../index';
import { answerEvents, type AnswerEvent } from './answer';
import { readChatRequest, type ChatRequest } from './chat_request';
import { tokenLogprobs } from './logprobs';
import { requireVision } from './messages';
import { createId, nowInSeconds, type ModelTable } from './models';
import { toOpenAIError, isAbort } from './openai_error';
import { startStream } from './stream';
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionDelta,
  ChatCompletionMessage,
  ChatCompletionRequest,
  OpenAIModel,
  RequestOptions,
} from './types';
import { timingsOf, usageOf } from './usage';

export interface ChatCompletions {
  /**
   * An answer to a conversation.
   * @returns the whole answer; with `stream: true` its chunks, as soon as the first is there. Leaving the loop aborts
   * @throws OpenAIError with the path of a field that is wrong or cannot be honoured; AbortError
   */
  create(
    request: ChatCompletionRequest & { stream: true },
    options?: RequestOptions,
  ): Promise<AsyncIterable<ChatCompletionChunk>>;
  create(request: ChatCompletionRequest & { stream?: false | null }, options?: RequestOptions): Promise<ChatCompletion>;
  create(
    request: ChatCompletionRequest,
    options?: RequestOptions,
  ): Promise<ChatCompletion | AsyncIterable<ChatCompletionChunk>>;
}

export function createChatCompletions(models: ModelTable): ChatCompletions {
  async function create(body: ChatCompletionRequest, { signal }: RequestOptions = {}): Promise<unknown> {
    try {
      const request = readChatRequest(body);
      const model = await models.get(request.model, signal);
      requireVision(model, request.pictures);
      if (request.stream) return await startStream((stop) => chunks(model, request, stop), signal);
      return await complete(model, request, signal);
    } catch (error) {
      throw isAbort(error) ? error : toOpenAIError(error);
    }
  }
  return { create } as ChatCompletions;
}

/** The events of one choice. */
const choiceEvents = (
  model: OpenAIModel,
  { messages, options, tools }: ChatRequest,
  index: number,
  signal: AbortSignal | null | undefined,
): AsyncGenerator<AnswerEvent, void> => {
  const { seed } = options;
  const own = seed === undefined ? {} : { seed: (seed + index) >>> 0 };
  return answerEvents(model.chat(messages, { ...options, ...own, ...(signal && { signal }) }), tools, signal);
};

const headOf = <T extends string>(
  request: ChatRequest,
  object: T,
): { id: string; object: T; created: number; model: string } => ({
  id: createId('chatcmpl-'),
  object,
  created: nowInSeconds(),
  model: request.model,
});

async function complete(
  model: OpenAIModel,
  request: ChatRequest,
  signal?: AbortSignal | null,
): Promise<ChatCompletion> {
  const head = headOf(request, 'chat.completion');
  const choices: ChatCompletion['choices'] = [];
  const results: GenerationResult[] = [];
  for (let index = 0; index < request.n; index++) {
    const message: ChatCompletionMessage = { role: 'assistant', content: '', refusal: null };
    for await (const event of choiceEvents(model, request, index, signal)) {
      if (event.type !== 'end') {
        addEvent(message, event);
        continue;
      }
      if (!message.content && message.tool_calls) message.content = null;
      Object.assign(message, schemaReport(event.result));
      const logprobs = request.logprobs ? { content: await tokenLogprobs(model, event.result), refusal: null } : null;
      choices.push({ index, message, logprobs, finish_reason: event.finish });
      results.push(event.result);
    }
  }
  return { ...head, choices, usage: usageOf(results), timings: timingsOf(results) };
}

const schemaReport = (result: GenerationResult): Pick<ChatCompletionMessage, 'schema_report'> =>
  result.schemaReport ? { schema_report: result.schemaReport } : {};

function addEvent(message: ChatCompletionMessage, event: Exclude<AnswerEvent, { type: 'end' }>): void {
  if (event.type === 'text') message.content += event.text;
  if (event.type === 'reasoning') message.reasoning_content = (message.reasoning_content ?? '') + event.text;
  if (event.type === 'call') message.tool_calls = [...(message.tool_calls ?? []), event.call];
  if (event.type === 'error') message.tool_call_errors = [...(message.tool_call_errors ?? []), event.error];
}

async function* chunks(
  model: OpenAIModel,
  request: ChatRequest,
  signal: AbortSignal,
): AsyncGenerator<ChatCompletionChunk, void> {
  const head = headOf(request, 'chat.completion.chunk');
  const more = request.includeUsage ? { usage: null } : {};
  const results: GenerationResult[] = [];
  type Choice = ChatCompletionChunk['choices'][number];
  const chunk = (index: number, delta: ChatCompletionDelta, rest?: Partial<Choice>): ChatCompletionChunk => ({
    ...head,
    choices: [{ index, delta, logprobs: null, finish_reason: null, ...rest }],
    ...more,
  });
  for (let index = 0; index < request.n; index++) {
    let calls = 0;
    let begun = false;
    const errors: ChatCompletionDelta['tool_call_errors'] = [];
    for await (const event of choiceEvents(model, request, index, signal)) {
      if (!begun) yield chunk(index, { role: 'assistant', content: '' });
      begun = true;
      if (event.type === 'text') yield chunk(index, { content: event.text });
      if (event.type === 'reasoning') yield chunk(index, { reasoning_content: event.text });
      if (event.type === 'call') yield chunk(index, { tool_calls: [{ index: calls++, ...event.call }] });
      if (event.type === 'error') errors.push(event.error);
      if (event.type !== 'end') continue;
      const { result, finish } = event;
      // the engine gives them when the answer is complete
      const logprobs = request.logprobs ? { content: await tokenLogprobs(model, result), refusal: null } : null;
      const delta = { ...(errors.length && { tool_call_errors: errors }), ...schemaReport(result) };
      yield chunk(index, delta, { logprobs, finish_reason: finish });
      results.push(result);
    }
  }
  if (request.includeUsage) yield { ...head, choices: [], usage: usageOf(results), timings: timingsOf(results) };
}
