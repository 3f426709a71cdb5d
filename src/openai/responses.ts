/** The Responses API over a model. Responses are kept in the page, for previous_response_id. */
import type { GenerationResult } from '../index';
import { answerEvents } from './answer';
import { requireVision } from './messages';
import { createId, nowInSeconds, type ModelTable } from './models';
import { isAbort, toOpenAIError } from './openai_error';
import { createOutputBuilder } from './responses_events';
import { messagesOf, readResponseRequest, type ReadResponseRequest } from './responses_request';
import type {
  ModelResponse,
  ResponseRequest,
  ResponseStreamEvent,
  ResponseUsage,
  UnnumberedEvent,
} from './responses_types';
import { createStoredResponses, type StoredResponses } from './stored_responses';
import { startStream } from './stream';
import type { OpenAIModel, RequestOptions, ToolCallError } from './types';
import { timingsOf } from './usage';

export interface Responses {
  /**
   * A response to an input.
   * @returns the response; with `stream: true` its events, as soon as the first of the answer is there
   * @throws OpenAIError with the path of a field that is wrong or cannot be honoured; AbortError
   */
  create(
    request: ResponseRequest & { stream: true },
    options?: RequestOptions,
  ): Promise<AsyncIterable<ResponseStreamEvent>>;
  create(request: ResponseRequest & { stream?: false | null }, options?: RequestOptions): Promise<ModelResponse>;
  create(
    request: ResponseRequest,
    options?: RequestOptions,
  ): Promise<ModelResponse | AsyncIterable<ResponseStreamEvent>>;
  /** A response that the page has kept. @throws OpenAIError 404 */
  retrieve(id: string): Promise<ModelResponse>;
  /** @throws OpenAIError 404 */
  delete(id: string): Promise<{ id: string; object: 'response'; deleted: true }>;
}

export function createResponses(models: ModelTable): Responses {
  const stored = createStoredResponses();
  async function create(body: ResponseRequest, { signal }: RequestOptions = {}): Promise<unknown> {
    try {
      const request = readResponseRequest(body, stored);
      const model = await models.get(body.model, signal);
      requireVision(model, request.pictures);
      if (request.stream) return await startStream((stop) => numbered(events(model, request, stored, stop)), signal);
      let last: UnnumberedEvent | undefined;
      for await (const event of events(model, request, stored, signal)) last = event;
      return (last as { response: ModelResponse }).response;
    } catch (error) {
      throw isAbort(error) ? error : toOpenAIError(error, { responseFormat: 'text.format' });
    }
  }
  return {
    create,
    retrieve: async (id) => stored.get(id),
    async delete(id) {
      stored.delete(id);
      return { id, object: 'response', deleted: true };
    },
  } as Responses;
}

async function* numbered(events: AsyncGenerator<UnnumberedEvent, void>): AsyncGenerator<ResponseStreamEvent, void> {
  let number = 0;
  for await (const event of events) yield { ...event, sequence_number: number++ };
}

/** The last event has the whole response. What fails before the answer begins throws; later it is an event. */
async function* events(
  model: OpenAIModel,
  request: ReadResponseRequest,
  stored: StoredResponses,
  signal?: AbortSignal | null,
): AsyncGenerator<UnnumberedEvent, void> {
  const response = beginResponse(request);
  const snapshot = (): ModelResponse => structuredClone(response);
  const builder = createOutputBuilder();
  const errors: ToolCallError[] = [];
  const answer = answerEvents(
    model.chat(request.messages, { ...request.options, ...(signal && { signal }) }),
    request.tools,
    signal,
  );
  let begun = false;
  try {
    for await (const event of answer) {
      if (!begun) {
        yield { type: 'response.created', response: snapshot() };
        yield { type: 'response.in_progress', response: snapshot() };
      }
      begun = true;
      if (event.type === 'error') errors.push(event.error);
      else if (event.type !== 'end') yield* builder.add(event);
      else {
        const complete = event.finish !== 'length';
        yield* builder.end(complete);
        endResponse(response, event.result, complete);
      }
    }
  } catch (error) {
    if (!begun || !request.stream || isAbort(error)) throw error;
    const { code, message } = toOpenAIError(error);
    response.status = 'failed';
    response.error = { code: code ?? 'server_error', message };
  }
  response.output = builder.output;
  response.output_text = builder.output
    .flatMap((item) => (item.type === 'message' ? item.content.map(({ text }) => text) : []))
    .join('');
  if (errors.length) response.tool_call_errors = errors;
  if (request.store && response.status !== 'failed')
    stored.add(snapshot(), [...request.history, ...messagesOf(response.output)]);
  yield { type: `response.${response.status}` as 'response.completed', response };
}

function beginResponse({ body, tools, store }: ReadResponseRequest): ModelResponse {
  return {
    id: createId('resp_'),
    object: 'response',
    created_at: nowInSeconds(),
    status: 'in_progress',
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    metadata: body.metadata ?? {},
    model: body.model,
    output: [],
    output_text: '',
    parallel_tool_calls: tools.parallel,
    previous_response_id: body.previous_response_id ?? null,
    store,
    temperature: body.temperature ?? null,
    text: { format: body.text?.format ?? { type: 'text' } },
    tool_choice: body.tool_choice ?? 'auto',
    tools: body.tools ?? [],
    top_p: body.top_p ?? null,
    truncation: body.truncation ?? 'disabled',
    usage: null,
  };
}

function endResponse(response: ModelResponse, result: GenerationResult, complete: boolean): void {
  response.status = complete ? 'completed' : 'incomplete';
  response.incomplete_details = complete ? null : { reason: 'max_output_tokens' };
  response.usage = usageOfResponse(result);
  response.timings = timingsOf([result]);
  if (result.schemaReport) response.schema_report = result.schemaReport;
}

const usageOfResponse = ({ promptTokens, reusedTokens, tokens }: GenerationResult): ResponseUsage => ({
  input_tokens: promptTokens,
  input_tokens_details: { cached_tokens: reusedTokens },
  output_tokens: tokens,
  total_tokens: promptTokens + tokens,
});
