/** Events of a route as chunks and as a whole completion. */
import { createId, nowInSeconds } from '../openai/models';
import type { ChatCompletionChunk, ChatCompletionDelta, ChatCompletionMessage, Timings, Usage } from '../openai/types';
import { isJsonRequest } from './attempts';
import type { RoutedRequest } from './parts';
import { failRoute } from './route_error';
import type { RoutedEvent } from './run';
import type { PathEnd, RoutedChunk, RoutedCompletion, RouteReport } from './types';

const NO_TIMINGS: Timings = {
  cache_n: 0,
  prompt_n: 0,
  prompt_ms: 0,
  prompt_per_second: 0,
  predicted_n: 0,
  predicted_ms: 0,
  predicted_per_second: 0,
};

/** @param pieces stands for the tokens that the path did not count */
function usageOfEnd({ promptTokens, tokens }: PathEnd, estimate: number, pieces: number): Usage {
  const [read, written] = [promptTokens ?? estimate, tokens ?? pieces];
  return {
    prompt_tokens: read,
    completion_tokens: written,
    total_tokens: read + written,
    prompt_tokens_details: { cached_tokens: 0 },
  };
}

export async function completionOf(
  events: AsyncIterable<RoutedEvent>,
  { facts, request }: RoutedRequest,
): Promise<RoutedCompletion> {
  const message: ChatCompletionMessage = { role: 'assistant', content: '', refusal: null };
  let route: RouteReport | undefined;
  let end: PathEnd | undefined;
  let pieces = 0;
  for await (const event of events) {
    if (event.type === 'route') route = event.route;
    else if (event.type === 'end') end = event;
    else pieces++;
    if (event.type === 'text') message.content += event.text;
    if (event.type === 'reasoning') message.reasoning_content = (message.reasoning_content ?? '') + event.text;
    if (event.type === 'call') message.tool_calls = [...(message.tool_calls ?? []), event.call];
  }
  if (!end || !route) return failRoute('stream_cut', { what: 'The answer has no end' });
  if (!message.content && message.tool_calls) message.content = null;
  if (end.errors) message.tool_call_errors = end.errors;
  if (end.report && isJsonRequest(request)) message.schema_report = end.report;
  return {
    id: createId('chatcmpl-'),
    object: 'chat.completion',
    created: nowInSeconds(),
    model: route.model ?? request.model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: end.finish }],
    usage: usageOfEnd(end, facts.promptTokens, pieces),
    timings: end.timings ?? NO_TIMINGS,
    route,
  };
}

export async function* chunksOf(
  events: AsyncIterable<RoutedEvent>,
  { facts, request }: RoutedRequest,
): AsyncGenerator<RoutedChunk, void> {
  const head = { id: createId('chatcmpl-'), object: 'chat.completion.chunk' as const, created: nowInSeconds() };
  const includeUsage = request.stream_options?.include_usage === true;
  let model = request.model;
  let route: RouteReport | undefined;
  let begun = false;
  let [calls, pieces] = [0, 0];
  const chunk = (
    delta: ChatCompletionDelta,
    finish: ChatCompletionChunk['choices'][number]['finish_reason'] = null,
  ): RoutedChunk => {
    const told = route && { route };
    route = undefined;
    return {
      ...head,
      model,
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
      ...(includeUsage && { usage: null }),
      ...told,
    };
  };
  for await (const event of events) {
    if (event.type === 'route') {
      route = event.route;
      model = route.model ?? model;
      // the end's own report waits for the last chunk
      if (!begun) yield chunk({ role: 'assistant', content: '' });
      begun = true;
      continue;
    }
    if (event.type !== 'end') pieces++;
    if (event.type === 'text') yield chunk({ content: event.text });
    if (event.type === 'reasoning') yield chunk({ reasoning_content: event.text });
    if (event.type === 'call') yield chunk({ tool_calls: [{ index: calls++, ...event.call }] });
    if (event.type !== 'end') continue;
    const { errors, report, finish, timings = NO_TIMINGS } = event;
    yield chunk({ ...(errors && { tool_call_errors: errors }), ...(report && { schema_report: report }) }, finish);
    if (includeUsage)
      yield { ...head, model, choices: [], usage: usageOfEnd(event, facts.promptTokens, pieces), timings };
  }
}
