/** Completions: the continuation of texts, without a chat template. */
import type { GenerateOptions, GenerationResult } from '../index';
import { requireComplete, untilUnload } from './answer';
import { NOTES, readIncludeUsage } from './chat_request';
import { createFieldReader, type FieldReader } from './fields';
import { tokenLogprobs } from './logprobs';
import { createId, nowInSeconds, type ModelTable } from './models';
import { isAbort, toOpenAIError } from './openai_error';
import { readSampling, SAMPLING_FIELDS } from './sampling_request';
import { startStream } from './stream';
import type {
  Completion,
  CompletionChunk,
  CompletionLogprobs,
  CompletionRequest,
  OpenAIModel,
  RequestOptions,
} from './types';
import { timingsOf, usageOf } from './usage';

export interface Completions {
  /**
   * The continuation of a text, of token ids, or of several of them.
   * @throws OpenAIError with the path of a field that is wrong or cannot be honoured; AbortError
   */
  create(
    request: CompletionRequest & { stream: true },
    options?: RequestOptions,
  ): Promise<AsyncIterable<CompletionChunk>>;
  create(request: CompletionRequest & { stream?: false | null }, options?: RequestOptions): Promise<Completion>;
  create(request: CompletionRequest, options?: RequestOptions): Promise<Completion | AsyncIterable<CompletionChunk>>;
}

type Prompt = string | number[];

interface Request {
  model: string;
  prompts: Prompt[];
  options: GenerateOptions;
  n: number;
  stream: boolean;
  includeUsage: boolean;
  echo: boolean;
}

const FIELDS = [
  ...SAMPLING_FIELDS,
  ...NOTES,
  ...['model', 'prompt', 'stream', 'stream_options', 'max_tokens', 'n', 'echo', 'logprobs', 'best_of'],
];
/** What OpenAI's API gives if max_tokens is not said. */
const DEFAULT_TOKENS = 16;
const MOST_CHOICES = 128;

function readRequest(body: unknown): Request {
  const request = createFieldReader(body);
  const model = request.requiredText('model');
  request.only(FIELDS, { suffix: [] });
  const stream = request.flag('stream') ?? false;
  const n = request.whole('n', 1, MOST_CHOICES) ?? 1;
  if ((request.whole('best_of', 1) ?? n) !== n) request.refuse('best_of', 'the value of n, or none');
  const logprobs = request.whole('logprobs', 0, 20);
  return {
    model,
    prompts: readPrompts(request),
    options: {
      ...readSampling(request),
      maxTokens: request.whole('max_tokens', 1) ?? DEFAULT_TOKENS,
      ...(logprobs !== undefined && { logprobs }),
    },
    n,
    stream,
    includeUsage: readIncludeUsage(request, stream),
    echo: request.flag('echo') ?? false,
  };
}

const areTokens = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length > 0 && value.every((id) => Number.isInteger(id) && id >= 0);

function readPrompts(request: FieldReader): Prompt[] {
  const given = request.value('prompt');
  if (typeof given === 'string' || areTokens(given)) return [given];
  if (Array.isArray(given) && given.length && given.every((one) => typeof one === 'string' || areTokens(one)))
    return given;
  return request.refuse('prompt', 'a text, a list of texts, or token ids');
}

export function createCompletions(models: ModelTable): Completions {
  async function create(body: CompletionRequest, { signal }: RequestOptions = {}): Promise<unknown> {
    try {
      const request = readRequest(body);
      const model = await models.get(request.model, signal);
      const head = {
        id: createId('cmpl-'),
        object: 'text_completion',
        created: nowInSeconds(),
        model: request.model,
      } as const;
      if (request.stream) return await startStream((stop) => chunks(model, request, head, stop), signal);
      return await complete(model, request, head, signal);
    } catch (error) {
      throw isAbort(error) ? error : toOpenAIError(error);
    }
  }
  return { create } as Completions;
}

type Head = Pick<Completion, 'id' | 'object' | 'created' | 'model'>;

/** One generation for each choice: n for each prompt, in order. */
function* generations(
  model: OpenAIModel,
  { prompts, options, n }: Request,
  signal: AbortSignal | null | undefined,
): Generator<{ index: number; prompt: Prompt; stream: ReturnType<OpenAIModel['generate']> }, void> {
  for (let index = 0; index < prompts.length * n; index++) {
    const prompt = prompts[Math.floor(index / n)];
    const own = options.seed === undefined ? {} : { seed: (options.seed + (index % n)) >>> 0 };
    const stream = model.generate(prompt, { ...options, ...own, ...(signal && { signal }) });
    stream.result.catch(() => undefined); // told by the loop over its text
    yield { index, prompt, stream };
  }
}

const echoOf = async (model: OpenAIModel, { echo }: Request, prompt: Prompt): Promise<string> =>
  !echo ? '' : typeof prompt === 'string' ? prompt : model.detokenize(prompt);

async function complete(
  model: OpenAIModel,
  request: Request,
  head: Head,
  signal?: AbortSignal | null,
): Promise<Completion> {
  const choices: Completion['choices'] = [];
  const results: GenerationResult[][] = [];
  for (const { index, prompt, stream } of generations(model, request, signal)) {
    let text = await echoOf(model, request, prompt);
    const echoed = text.length;
    for await (const piece of untilUnload(stream, signal)) text += piece;
    const result = await stream.result;
    requireComplete(result);
    choices.push({
      index,
      text,
      logprobs: await logprobsOf(model, result, echoed),
      finish_reason: result.finish === 'length' ? 'length' : 'stop',
    });
    (results[Math.floor(index / request.n)] ??= []).push(result);
  }
  return { ...head, choices, usage: usageOfPrompts(results), timings: timingsOf(results.flat()) };
}

async function* chunks(
  model: OpenAIModel,
  request: Request,
  head: Head,
  signal: AbortSignal,
): AsyncGenerator<CompletionChunk, void> {
  const results: GenerationResult[][] = [];
  for (const { index, prompt, stream } of generations(model, request, signal)) {
    const chunk = (text: string, rest: Partial<CompletionChunk['choices'][number]> = {}): CompletionChunk => ({
      ...head,
      choices: [{ index, text, logprobs: null, finish_reason: null, ...rest }],
    });
    const echo = await echoOf(model, request, prompt);
    let echoed = echo === '';
    for await (const piece of untilUnload(stream, signal)) {
      if (!echoed) yield chunk(echo);
      echoed = true;
      yield chunk(piece);
    }
    const result = await stream.result;
    requireComplete(result);
    yield chunk(echoed ? '' : echo, {
      logprobs: await logprobsOf(model, result, echo.length),
      finish_reason: result.finish === 'length' ? 'length' : 'stop',
    });
    (results[Math.floor(index / request.n)] ??= []).push(result);
  }
  if (request.includeUsage)
    yield { ...head, choices: [], usage: usageOfPrompts(results), timings: timingsOf(results.flat()) };
}

function usageOfPrompts(results: readonly GenerationResult[][]): ReturnType<typeof usageOf> {
  return results.map(usageOf).reduce((sum, one) => ({
    prompt_tokens: sum.prompt_tokens + one.prompt_tokens,
    completion_tokens: sum.completion_tokens + one.completion_tokens,
    total_tokens: sum.total_tokens + one.total_tokens,
    prompt_tokens_details: {
      cached_tokens: sum.prompt_tokens_details.cached_tokens + one.prompt_tokens_details.cached_tokens,
    },
  }));
}

/** @param offset where the continuation begins in the text of the choice */
async function logprobsOf(
  model: OpenAIModel,
  result: GenerationResult,
  offset: number,
): Promise<CompletionLogprobs | null> {
  if (!result.logprobs) return null;
  const all: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
  for (const { token, logprob, top_logprobs } of await tokenLogprobs(model, result)) {
    all.tokens.push(token);
    all.token_logprobs.push(logprob);
    all.top_logprobs.push(Object.fromEntries(top_logprobs.map((one) => [one.token, one.logprob])));
    all.text_offset.push(offset);
    offset += token.length;
  }
  return all;
}
