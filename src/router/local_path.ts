/** A model of the device as a path: the chunks of its chat completions become events. */
import type { ChatCompletions } from '../openai/chat_completions';
import type { ChatCompletionChunk, ChatCompletionRequest, ToolCallError } from '../openai/types';
import type { SchemaReport } from '../index';
import { startTimer } from './environment';
import { RouteError } from './route_error';
import type { During, PathEvent } from './types';

export interface LocalCall {
  completions: ChatCompletions;
  request: ChatCompletionRequest;
  signal: AbortSignal;
  /** when to give up; absent: never */
  during?: During | undefined;
}

const leave = (code: 'late' | 'low_confidence' | 'schema_failed' | 'repetition', what: string): never => {
  throw new RouteError(code, { what });
};

/**
 * Asks a model of the device.
 * @throws RouteError of what `during` says, before any event; OpenAIError of the model; AbortError
 */
export async function* askLocal({
  completions,
  request,
  signal,
  during = {},
}: LocalCall): AsyncGenerator<PathEvent, void> {
  const watch = createLocalWatch(signal, during);
  try {
    const { marginUnder, entropyOver, schema, repetition } = during;
    const confident = marginUnder !== undefined || entropyOver !== undefined;
    const json = request.response_format?.type.startsWith('json') === true;
    const held = repetition === true || (schema === true && json);
    if (!confident && !held) {
      for await (const event of watch.over(stream(completions, request, watch.signal))) yield event;
      return;
    }
    // calls and JSON do not go on where a draft ended
    const whole = held || json || Boolean(request.tools?.length) || request.continue_final_message === true;
    yield* confident
      ? watch.over(drafted({ completions, request, signal: watch.signal, during }, whole))
      : watch.over(checked(stream(completions, request, watch.signal), request, during));
  } catch (error) {
    throw watch.failure() ?? error;
  } finally {
    watch.end();
  }
}

/** The whole answer, if it holds. */
async function* checked(
  events: AsyncIterable<PathEvent>,
  request: ChatCompletionRequest,
  { schema, repetition }: During,
): AsyncGenerator<PathEvent, void> {
  const all: PathEvent[] = [];
  for await (const event of events) all.push(event);
  const end = all.at(-1);
  if (end?.type === 'end') {
    const most = request.max_completion_tokens ?? request.max_tokens ?? Infinity;
    if (repetition && end.finish === 'length' && end.tokens !== null && end.tokens < most)
      leave('repetition', 'The answer of the device repeats itself');
    if (schema && request.response_format?.type.startsWith('json')) {
      const text = all.map((event) => (event.type === 'text' ? event.text : '')).join('');
      if (end.report?.valid === false || !isJson(text))
        leave('schema_failed', 'The answer of the device does not fit its form');
    }
  }
  yield* all;
}

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

/** The first tokens with their probabilities, and the rest if these are sure enough. */
async function* drafted(
  { completions, request, signal, during = {} }: LocalCall,
  whole: boolean,
): AsyncGenerator<PathEvent, void> {
  const { tokens = 16, marginUnder = -Infinity, entropyOver = Infinity } = during;
  const { stream_options: _, max_tokens, max_completion_tokens, ...rest } = request;
  const most = max_completion_tokens ?? max_tokens ?? undefined;
  const length = whole ? most : Math.min(tokens, most ?? tokens);
  const asked = { ...rest, stream: false as const, logprobs: true, top_logprobs: 5 };
  const draft = await completions.create({ ...asked, ...(length && { max_tokens: length }) }, { signal });
  const [{ message, logprobs, finish_reason }] = draft.choices;
  const { margin, entropy } = confidenceOf(logprobs?.content.slice(0, tokens) ?? []);
  if (margin < marginUnder || entropy > entropyOver)
    leave('low_confidence', 'The device is not sure enough of its answer');
  const complete = whole || finish_reason !== 'length' || length === most;
  const cut = !complete && Boolean(message.reasoning_content); // thinking does not go on where it was cut
  if (cut) return yield* stream(completions, request, signal);
  const { content, reasoning_content, tool_calls = [], tool_call_errors, schema_report } = message;
  const events: PathEvent[] = [
    ...(reasoning_content ? [{ type: 'reasoning' as const, text: reasoning_content }] : []),
    ...(content ? [{ type: 'text' as const, text: content }] : []),
    ...tool_calls.map((call) => ({ type: 'call' as const, call })),
  ];
  if (!complete) {
    yield* events;
    const messages = [...request.messages, { role: 'assistant' as const, content: content ?? '' }];
    const left = most === undefined ? {} : { max_tokens: most - length! };
    return yield* stream(completions, { ...rest, ...left, messages, continue_final_message: true }, signal);
  }
  const end: PathEvent = {
    type: 'end',
    finish: finish_reason,
    promptTokens: draft.usage.prompt_tokens,
    tokens: draft.usage.completion_tokens,
    timings: draft.timings,
    ...(tool_call_errors && { errors: tool_call_errors }),
    ...(schema_report && { report: schema_report }),
  };
  async function* all(): AsyncGenerator<PathEvent> {
    yield* events;
    yield end;
  }
  yield* checked(all(), request, during);
}

/** A token with its likeliest ones, as chat completions give it. */
export interface TokenChoice {
  top_logprobs: readonly { logprob: number }[];
}

/**
 * How sure a model was of tokens.
 * @returns the mean distance of the two largest probabilities, and the mean entropy in nats of those that are given;
 * of no token 0 and Infinity
 */
export function confidenceOf(tokens: readonly TokenChoice[]): { margin: number; entropy: number } {
  let [margin, entropy] = [0, 0];
  for (const { top_logprobs } of tokens) {
    const p = top_logprobs.map(({ logprob }) => Math.exp(logprob)).sort((a, b) => b - a);
    margin += (p[0] ?? 0) - (p[1] ?? 0);
    entropy += p.reduce((sum, one) => (one > 0 ? sum - one * Math.log(one) : sum), 0);
  }
  const n = tokens.length;
  return n ? { margin: margin / n, entropy: entropy / n } : { margin: 0, entropy: Infinity };
}

async function* stream(
  completions: ChatCompletions,
  request: ChatCompletionRequest,
  signal: AbortSignal,
): AsyncGenerator<PathEvent, void> {
  const asked = { ...request, stream: true as const, stream_options: { include_usage: true } };
  let last: ChatCompletionChunk | undefined;
  let finish: 'stop' | 'length' | 'tool_calls' = 'stop';
  let errors: ToolCallError[] | undefined;
  let report: SchemaReport | undefined;
  for await (const chunk of await completions.create(asked, { signal })) {
    last = chunk;
    const [choice] = chunk.choices;
    if (!choice) continue;
    const { delta } = choice;
    if (delta.reasoning_content) yield { type: 'reasoning', text: delta.reasoning_content };
    if (delta.content) yield { type: 'text', text: delta.content };
    for (const { index: _, ...call } of delta.tool_calls ?? []) yield { type: 'call', call };
    errors = delta.tool_call_errors ?? errors;
    report = delta.schema_report ?? report;
    finish = choice.finish_reason ?? finish;
  }
  yield {
    type: 'end',
    finish,
    promptTokens: last?.usage?.prompt_tokens ?? null,
    tokens: last?.usage?.completion_tokens ?? null,
    ...(last?.timings && { timings: last.timings }),
    ...(errors && { errors }),
    ...(report && { report }),
  };
}

/** The two deadlines of the device. */
function createLocalWatch(outer: AbortSignal, { firstTokenMs, answerMs }: During) {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  if (outer.aborted) abort();
  outer.addEventListener('abort', abort, { once: true });
  let failed: RouteError | undefined;
  const timers: ReturnType<typeof setTimeout>[] = [];
  const within = (ms: number | undefined, what: string): void => {
    if (ms === undefined) return;
    timers.push(
      startTimer(() => {
        failed = new RouteError('late', { what, got: `nothing within ${ms} ms` });
        controller.abort();
      }, ms),
    );
  };
  within(firstTokenMs, 'The first token of the device is late');
  within(answerMs, 'The answer of the device is late');
  return {
    signal: controller.signal,
    failure: () => (outer.aborted ? undefined : failed),
    async *over(events: AsyncIterable<PathEvent>): AsyncGenerator<PathEvent, void> {
      let first = true;
      for await (const event of events) {
        if (first && firstTokenMs !== undefined) clearTimeout(timers[0]);
        first = false;
        yield event;
      }
    },
    end(): void {
      for (const timer of timers) clearTimeout(timer);
      outer.removeEventListener('abort', abort);
      controller.abort();
    },
  };
}
