/** The router as a model: what answers `chat` of a loaded model, and so the interfaces over it, gets a route. */
import { createTextStream, type TextStream } from '../api/text_stream';
import { fail } from '../errors';
import type { ChatOptions, GenerationResult, Message, ModelInfo } from '../index';
import { isAbort } from '../openai/openai_error';
import type {
  ChatCompletionMessageParam,
  ChatCompletionMessageToolCall,
  ChatCompletionRequest,
  OpenAIModel,
} from '../openai/types';
import type { RouteOptions, RoutedCompletions } from './types';

/** What a request has for an option of `chat`. */
const NAMES = {
  temperature: 'temperature',
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  frequencyPenalty: 'frequency_penalty',
  presencePenalty: 'presence_penalty',
  repetitionPenalty: 'repetition_penalty',
  seed: 'seed',
  stop: 'stop',
  maxTokens: 'max_tokens',
  variables: 'chat_template_kwargs',
  continueFinalMessage: 'continue_final_message',
} as const satisfies Partial<Record<keyof ChatOptions, keyof ChatCompletionRequest>>;

/**
 * Calls of tools come as text with the markers that `readCalls` reads. Pictures cannot be given, and there are no log
 * probabilities.
 * @param name of the router as a model
 * @param options of each call
 */
export function createRouterModel(
  completions: RoutedCompletions,
  name: string,
  options: RouteOptions = {},
): OpenAIModel {
  return {
    info: { id: name, name } as ModelInfo,
    chat: (messages, given = {}) =>
      chat(completions, requestOf(name, messages, given), { ...options, ...signalOf(given) }),
    generate: () =>
      createTextStream(async () =>
        fail('RequestError', { what: 'A router continues no plain text', cure: 'Use chat, or a model of the device.' }),
      ),
    detokenize: async () =>
      fail('RequestError', { what: 'A router has no tokens', cure: 'Ask a model of the device.' }),
  };
}

const signalOf = ({ signal }: { signal?: AbortSignal }): RouteOptions => (signal ? { signal } : {});

function requestOf(model: string, messages: readonly Message[], options: ChatOptions): ChatCompletionRequest {
  const { tools = [], toolChoice, responseFormat } = options;
  const given = Object.entries(NAMES).flatMap(([option, field]) => {
    const value = options[option as keyof typeof NAMES];
    return value === undefined ? [] : [[field, value]];
  });
  const format =
    responseFormat?.type === 'json_schema'
      ? {
          type: 'json_schema' as const,
          json_schema: {
            name: 'answer',
            schema: responseFormat.schema as Record<string, unknown>,
            ...(responseFormat.strict === false && { strict: false }),
          },
        }
      : responseFormat;
  return {
    model,
    messages: messages.map(messageOf),
    ...Object.fromEntries(given),
    ...(tools.length && {
      tools: tools.map((tool) =>
        typeof tool !== 'object' || 'function' in tool ? tool : { type: 'function', function: tool },
      ),
    }),
    ...(toolChoice && {
      tool_choice: typeof toolChoice === 'string' ? toolChoice : { type: 'function', function: toolChoice },
    }),
    ...(format && { response_format: format }),
  } as ChatCompletionRequest;
}

function messageOf({ role, content, tool_calls, ...rest }: Message): ChatCompletionMessageParam {
  const calls = (tool_calls ?? []) as ChatCompletionMessageToolCall[];
  return {
    ...rest,
    role: role as 'user',
    ...(content !== undefined && { content: content as string }),
    ...(calls.length && {
      tool_calls: calls.map((call) => {
        const { name, arguments: said } = call.function;
        const text = typeof said === 'string' ? said : JSON.stringify(said);
        return { ...call, function: { name, arguments: text } };
      }),
    }),
  };
}

const chat = (completions: RoutedCompletions, request: ChatCompletionRequest, options: RouteOptions): TextStream =>
  createTextStream(async (emit, signal): Promise<GenerationResult> => {
    const start = performance.now();
    const whole = { text: '', reasoning: '' };
    const take = (text: string, type: 'text' | 'reasoning'): void => {
      whole[type] += text;
      emit(text, type);
    };
    const figures = { promptTokens: 0, tokens: 0, firstTokenMs: 0 };
    let finish: GenerationResult['finish'] = 'stop';
    try {
      const asked = { ...request, stream: true as const, stream_options: { include_usage: true } };
      for await (const { choices, usage } of await completions.create(asked, { ...options, signal })) {
        if (usage) Object.assign(figures, { promptTokens: usage.prompt_tokens, tokens: usage.completion_tokens });
        const [choice] = choices;
        if (!choice) continue;
        const { delta, finish_reason } = choice;
        if (delta.reasoning_content) take(delta.reasoning_content, 'reasoning');
        if (delta.content) take(delta.content, 'text');
        if (delta.tool_calls) take(callText(delta.tool_calls), 'text');
        if (!figures.firstTokenMs && (whole.text || whole.reasoning)) figures.firstTokenMs = performance.now() - start;
        if (finish_reason === 'length') finish = 'length';
      }
    } catch (error) {
      if (!isAbort(error) || !signal.aborted) throw error;
      finish = 'abort';
    }
    const decodeMs = performance.now() - start - figures.firstTokenMs;
    return {
      text: whole.text,
      ...(whole.reasoning && { reasoning: whole.reasoning }),
      finish,
      ...figures,
      reusedTokens: 0,
      seed: request.seed ?? 0,
      prefillMs: figures.firstTokenMs,
      decodeMs,
      tokensPerSecond: figures.tokens > 1 ? ((figures.tokens - 1) * 1000) / decodeMs : 0,
    };
  }, options.signal ?? undefined);

const callText = (calls: readonly ChatCompletionMessageToolCall[]): string => {
  const list = calls.map(
    ({ function: { name, arguments: said } }) => `{"name":${JSON.stringify(name)},"arguments":${said}}`,
  );
  return `<|tool_call_start|>[${list.join(',')}]<|tool_call_end|>`;
};
