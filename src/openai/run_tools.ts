/** Answers a conversation with tools: runs the calls of each answer and asks again with their results. */
import { abortError, show } from '../errors';
import type { ChatCompletions } from './chat_completions';
import { isObject, type Fields } from './fields';
import { refuse } from './openai_error';
import type { ChatCompletion, ChatCompletionMessageParam, ChatCompletionRequest, ChatCompletionTool } from './types';

/** A tool with the function that answers its calls. */
export interface RunnableTool {
  type: 'function';
  function: ChatCompletionTool['function'] & {
    /**
     * Answers a call. Text is passed to the model unchanged, other values as JSON. What it throws is told to the model.
     * @param given arguments that fit `parameters` as far as they can be checked
     * @param options its signal ends with the call: at the time limit, and when the run is aborted
     */
    function(given: Record<string, unknown>, options: { signal: AbortSignal }): unknown;
  };
}

/** `tool_choice` is for the first answer; after it the model is free to answer. */
export interface RunToolsRequest extends Omit<ChatCompletionRequest, 'tools' | 'stream' | 'stream_options' | 'n'> {
  tools: readonly RunnableTool[];
}

export interface ToolRunCall {
  id: string;
  name: string;
  arguments: Record<string, unknown>;
}

export interface RunToolsOptions {
  signal?: AbortSignal | null;
  /** most answers of the model; 8 if it is not given */
  maxRounds?: number;
  /** most milliseconds of one handler; 30,000 if it is not given */
  timeLimit?: number;
  /** Asked before each call. Only `true` lets it run; otherwise the model is told that it was not allowed. */
  consent?(call: ToolRunCall): boolean | PromiseLike<boolean>;
  /** Hears each result before the model reads it. */
  onResult?(call: ToolRunCall, result: string): void;
}

export interface RunToolsResult {
  /** the last answer of the model */
  completion: ChatCompletion;
  /** the conversation with the answers and results, as the next request takes it */
  messages: ChatCompletionMessageParam[];
  /** answers of the model */
  rounds: number;
  /** `max_rounds`: the last answer still has calls, which did not run */
  finish: 'stop' | 'length' | 'max_rounds';
}

const MAX_ROUNDS = 8;
const TIME_LIMIT_MS = 30_000;
/** Browsers take a longer time for none. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** A longer result would fill the context. */
const LONGEST_RESULT = 20_000;

/** @throws OpenAIError, AbortError */
export async function runTools(
  { create }: ChatCompletions,
  request: RunToolsRequest,
  options: RunToolsOptions = {},
): Promise<RunToolsResult> {
  if (!isObject(request) || !Array.isArray(request.messages))
    refuse('messages', {
      what: 'There are no messages',
      got: show((request as RunToolsRequest | null)?.messages),
      wanted: 'a list of messages',
    });
  const { signal, maxRounds = MAX_ROUNDS, timeLimit = TIME_LIMIT_MS } = options;
  if (!Number.isInteger(maxRounds) || maxRounds < 1)
    refuse('maxRounds', {
      what: 'maxRounds is not valid',
      got: show(maxRounds),
      wanted: 'a whole number of at least 1',
    });
  if (!(timeLimit > 0))
    refuse('timeLimit', { what: 'timeLimit is not valid', got: show(timeLimit), wanted: 'milliseconds above 0' });
  for (const name of ['consent', 'onResult'] as const)
    if (options[name] !== undefined && typeof options[name] !== 'function')
      refuse(name, { what: `${name} is not valid`, got: show(options[name]), wanted: 'a function' });
  const { tools, ...rest } = request;
  const handlers = readHandlers(tools);
  const offered = tools.map(({ function: { function: _, ...told } }) => ({
    type: 'function' as const,
    function: told,
  }));
  const messages = [...request.messages];
  for (let rounds = 1; ; rounds++) {
    // a call that is wanted in each answer would never end
    const tool_choice = rounds > 1 && rest.tool_choice !== 'none' ? 'auto' : rest.tool_choice;
    const asked = { ...rest, messages, tools: offered, tool_choice, stream: false as const };
    const completion = await create(asked, { signal: signal ?? null });
    const [{ message, finish_reason }] = completion.choices;
    const { content, reasoning_content, tool_calls = [], tool_call_errors = [] } = message;
    messages.push({
      role: 'assistant',
      content,
      ...(reasoning_content && { reasoning_content }),
      ...(tool_calls.length && { tool_calls }),
    });
    if (!tool_calls.length)
      return { completion, messages, rounds, finish: finish_reason === 'length' ? 'length' : 'stop' };
    if (rounds === maxRounds) return { completion, messages, rounds, finish: 'max_rounds' };
    for (const call of tool_calls) {
      const wrong = tool_call_errors.find(({ id }) => id === call.id);
      const said = { id: call.id, name: call.function.name, arguments: JSON.parse(call.function.arguments) as Fields };
      const result = wrong?.message ?? (await runCall(said, handlers.get(said.name)!, { ...options, timeLimit }));
      options.onResult?.(said, result);
      messages.push({ role: 'tool', tool_call_id: call.id, content: result });
    }
  }
}

type Handler = RunnableTool['function']['function'];

function readHandlers(tools: unknown): Map<string, Handler> {
  if (!Array.isArray(tools) || !tools.length)
    refuse('tools', { what: 'There are no tools to run', got: show(tools), wanted: 'a list of tools with functions' });
  return new Map(
    tools.map((tool: unknown, i) => {
      const said = isObject(tool) && isObject(tool.function) ? tool.function : {};
      for (const name of ['consent', 'timeLimit'])
        if (said[name] !== undefined)
          refuse(`tools[${i}].function.${name}`, {
            what: `${name} is no field of a tool`,
            got: show(said[name]),
            cure: 'Pass it in the options of runTools, for all tools.',
          });
      if (typeof said.function !== 'function')
        refuse(`tools[${i}].function.function`, {
          what: 'A tool has no function',
          got: show(said.function),
          wanted: 'the function that answers its calls',
        });
      return [String(said.name), (said.function as Handler).bind(said)];
    }),
  );
}

/** The result of a call as the model reads it. @throws AbortError if the run is aborted */
async function runCall(
  call: ToolRunCall,
  handler: Handler,
  { signal, consent, timeLimit }: RunToolsOptions & { timeLimit: number },
): Promise<string> {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stopped = new Promise<never>((_, reject) => {
    const abort = (): void => reject(abortError());
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { signal: controller.signal });
  });
  stopped.catch(() => undefined);
  try {
    if (consent && (await Promise.race([allowed(consent, call), stopped])) !== true)
      return `${call.name} was not allowed by the user.`;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`no answer within ${timeLimit / 1000} s`)),
        Math.min(timeLimit, LONGEST_TIMER_MS),
      );
    });
    const run = (async () => handler(structuredClone(call.arguments), { signal: controller.signal }))();
    return resultText(await Promise.race([run, late, stopped]));
  } catch (error) {
    if (signal?.aborted) throw abortError();
    return `${call.name} failed: ${error instanceof Error ? error.message : messageOf(error)}`;
  } finally {
    clearTimeout(timer);
    controller.abort();
  }
}

/** What was thrown may shadow toString. */
const messageOf = (thrown: unknown): string => (typeof thrown === 'string' ? thrown : show(thrown));

/** A consent that throws is none. */
const allowed = async (consent: NonNullable<RunToolsOptions['consent']>, call: ToolRunCall): Promise<boolean> =>
  (async () => consent(structuredClone(call)))().catch(() => false);

/** @throws an Error if the value cannot be written as JSON */
function resultText(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'ok');
  return text.length > LONGEST_RESULT ? `${text.slice(0, LONGEST_RESULT)}…` : text;
}
