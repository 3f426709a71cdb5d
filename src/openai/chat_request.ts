/** Reads a request for a chat completion. */
import type { ChatOptions, Message } from '../index';
import { constraintOptions, readFormat, readToolChoice } from './constraints';
import { createFieldReader, type FieldReader, type Fields } from './fields';
import { readChatMessages } from './messages';
import { refuse } from './openai_error';
import { readSampling, SAMPLING_FIELDS } from './sampling_request';
import { readTool, readToolList, type ToolSet } from './tools';

export interface ChatRequest {
  model: string;
  messages: Message[];
  /** paths of the pictures in them */
  pictures: string[];
  options: ChatOptions;
  tools: ToolSet;
  n: number;
  stream: boolean;
  includeUsage: boolean;
  logprobs: boolean;
}

const FIELDS = [
  ...SAMPLING_FIELDS,
  'model',
  'messages',
  'stream',
  'stream_options',
  'max_tokens',
  'max_completion_tokens',
  'n',
  'logprobs',
  'top_logprobs',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'response_format',
  'chat_template_kwargs',
  'continue_final_message',
  'add_generation_prompt',
];

/** Fields that say nothing about the answer. */
export const NOTES = ['user', 'metadata', 'prompt_cache_key', 'prompt_cache_retention', 'safety_identifier'];

/** OpenAI's fields that can have these values only. */
const FIXED = {
  store: [false],
  service_tier: ['auto', 'default'],
  modalities: [['text']],
  reasoning_effort: [],
  verbosity: ['medium'],
  audio: [],
  web_search_options: [],
  functions: [],
  function_call: [],
};

const MOST_CHOICES = 128;

/** @throws OpenAIError with the path of what is wrong */
export function readChatRequest(body: unknown): ChatRequest {
  const request = createFieldReader(body);
  const model = request.requiredText('model');
  request.only([...FIELDS, ...NOTES, 'prediction'], FIXED);
  const choice = readToolChoice(request);
  const tools = readToolList(request, choice, (at, strict) => {
    if (at.oneOf('type', 'function') === undefined) at.refuse('type', '"function"');
    return readTool(at.object('function') ?? at.refuse('function', 'an object with name and parameters'), strict);
  });
  const stream = request.flag('stream') ?? false;
  const logprobs = request.flag('logprobs') ?? false;
  const top = request.whole('top_logprobs', 0, 20);
  if (top !== undefined && !logprobs) request.refuse('top_logprobs', 'logprobs: true beside it');
  const maxTokens = readMaxTokens(request);
  const variables = request.object('chat_template_kwargs') && (request.value('chat_template_kwargs') as Fields);
  const pictures: string[] = [];
  const messages = readChatMessages(request, pictures);
  const goesOn = request.flag('continue_final_message') ?? false;
  const options: ChatOptions = {
    ...readSampling(request),
    ...constraintOptions(readFormat(request.object('response_format'), true), choice),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(logprobs && { logprobs: top ?? 0 }),
    ...(tools.offered.length && { tools: tools.offered }),
    ...(variables && { variables }),
    ...(goesOn && { continueFinalMessage: true }),
  };
  if (goesOn && messages.at(-1)?.role !== 'assistant')
    refuse('continue_final_message', {
      what: 'There is no answer to continue',
      wanted: "a last message of the role 'assistant'",
    });
  if (request.flag('add_generation_prompt') === goesOn) request.refuse('add_generation_prompt', String(!goesOn));
  return {
    model,
    messages,
    pictures,
    options,
    tools,
    n: request.whole('n', 1, MOST_CHOICES) ?? 1,
    stream,
    includeUsage: readIncludeUsage(request, stream),
    logprobs,
  };
}

function readMaxTokens(request: FieldReader): number | undefined {
  const old = request.whole('max_tokens', 1);
  const most = request.whole('max_completion_tokens', 1);
  if (old !== undefined && most !== undefined && old !== most)
    request.refuse('max_tokens', 'max_completion_tokens or max_tokens, not both');
  return most ?? old;
}

export function readIncludeUsage(request: FieldReader, stream: boolean): boolean {
  const options = request.object('stream_options');
  if (options && !stream) request.refuse('stream_options', 'stream: true beside it');
  options?.only(['include_usage'], { include_obfuscation: [false] });
  return options?.flag('include_usage') ?? false;
}
