/** Reads a request of the Responses API into the messages and options of `chat`. */
import type { ChatOptions, Message } from '../index';
import { constraintOptions, readFormat, readToolChoice } from './constraints';
import { NOTES } from './chat_request';
import { createFieldReader, isObject, type FieldReader } from './fields';
import { checkJsonObject, orderResults, readParts, readTexts } from './messages';
import { readSampling, SAMPLING_FIELDS } from './sampling_request';
import type { StoredResponses } from './stored_responses';
import { readTool, readToolList, type ToolSet } from './tools';
import type { ResponseInputItem, ResponseRequest } from './responses_types';

export interface ReadResponseRequest {
  /** as it was given */
  body: ResponseRequest;
  /** paths of the pictures in this request */
  pictures: string[];
  /** what the model reads */
  messages: Message[];
  /** the same without the instructions, as a following response reads it */
  history: Message[];
  options: ChatOptions;
  tools: ToolSet;
  stream: boolean;
  store: boolean;
}

const FIELDS = [
  ...SAMPLING_FIELDS.filter((name) => name !== 'stop'),
  ...NOTES,
  ...['model', 'input', 'instructions', 'stream', 'stream_options', 'max_output_tokens', 'tools', 'tool_choice'],
  ...['parallel_tool_calls', 'text', 'previous_response_id', 'store', 'reasoning', 'truncation'],
];

/** OpenAI's fields that can have these values only. */
const FIXED = {
  include: [[]],
  background: [false],
  service_tier: ['auto', 'default'],
  top_logprobs: [0],
  conversation: [],
  prompt: [],
  max_tool_calls: [],
};

const ITEMS = ['message', 'function_call', 'function_call_output', 'reasoning', 'item_reference'] as const;
const ROLES = ['user', 'system', 'developer', 'assistant'] as const;

/** @throws OpenAIError with the path of what is wrong */
export function readResponseRequest(body: unknown, stored: StoredResponses): ReadResponseRequest {
  const request = createFieldReader(body);
  request.requiredText('model');
  request.only(FIELDS, FIXED);
  request.object('reasoning')?.only([]);
  request.object('stream_options')?.only([], { include_obfuscation: [false] });
  const text = request.object('text');
  text?.only(['format'], { verbosity: ['medium'] });
  const choice = readToolChoice(request);
  const tools = readToolList(request, choice, (at, strict) => {
    if (at.oneOf('type', 'function') === undefined) at.refuse('type', '"function"');
    return readTool(at, strict);
  });
  const previous = request.text('previous_response_id');
  const before = previous === undefined ? [] : stored.messagesAfter(previous);
  const paths = new Map<Message, string>();
  const pictures: string[] = [];
  const history = [...before, ...readInput(request, stored, { paths, pictures })];
  const pathOf = (message: Message): string => paths.get(message) ?? 'previous_response_id';
  const ordered = orderResults(history, { result: pathOf, call: pathOf });
  const instructions = request.text('instructions');
  const maxTokens = request.whole('max_output_tokens', 1);
  return {
    body: body as ResponseRequest,
    pictures,
    messages: instructions ? [{ role: 'system', content: instructions }, ...ordered] : ordered,
    history,
    options: {
      ...readSampling(request),
      ...constraintOptions(readFormat(text?.object('format'), false), choice),
      ...(maxTokens !== undefined && { maxTokens }),
      ...(request.oneOf('truncation', 'auto', 'disabled') === 'auto' && { overflow: 'dropMiddle' }),
      ...(tools.offered.length && { tools: tools.offered }),
    },
    tools,
    stream: request.flag('stream') ?? false,
    store: request.flag('store') ?? true,
  };
}

/** What is noted of messages while they are read. */
interface Notes {
  paths: Map<Message, string>;
  pictures: string[];
}

function readInput(request: FieldReader, stored: StoredResponses, notes: Notes): Message[] {
  const input = request.value('input');
  if (typeof input === 'string') return [{ role: 'user', content: input }];
  if (!Array.isArray(input) || !input.length) return request.refuse('input', 'a text or a list of items');
  const messages: Message[] = [];
  input.forEach((given, i) => {
    const at = createFieldReader(given, `input[${i}]`);
    const item = at.value('type') === 'item_reference' ? stored.item(at.requiredText('id'), at.path('id')) : given;
    addItem(messages, createFieldReader(item, `input[${i}]`), notes);
  });
  return messages;
}

const TEXT_PARTS = ['input_text', 'output_text', 'text', 'refusal'];

/** Items of one answer become one message: thinking, text and calls. */
export function addItem(messages: Message[], at: FieldReader, { paths, pictures }: Notes): void {
  const type = at.has('type') ? at.oneOf('type', ...ITEMS) : 'message';
  const add = (message: Message): void => {
    messages.push(message);
    paths.set(message, type === 'message' ? at.path('content') : at.path('call_id'));
  };
  const last = messages.at(-1);
  const assistant = last?.role === 'assistant' ? last : undefined;
  if (type === 'function_call_output')
    return add({
      role: 'tool',
      content: readTexts(at, 'output', TEXT_PARTS),
      tool_call_id: at.requiredText('call_id'),
    });
  if (type === 'function_call') {
    const call = {
      id: at.requiredText('call_id'),
      type: 'function',
      function: {
        name: at.requiredText('name'),
        arguments: checkJsonObject(at.text('arguments') ?? '{}', at.path('arguments')),
      },
    };
    if (assistant) assistant.tool_calls = [...((assistant.tool_calls as object[] | undefined) ?? []), call];
    else add({ role: 'assistant', content: '', tool_calls: [call] });
    return;
  }
  if (type === 'reasoning') {
    const thoughts = (at.list('content') ?? []).map((part) =>
      isObject(part) && typeof part.text === 'string' ? part.text : '',
    );
    if (thoughts.join('')) add({ role: 'assistant', content: '', reasoning_content: thoughts.join('') });
    return;
  }
  const role = at.oneOf('role', ...ROLES) ?? at.refuse('role', ROLES.join(' or '));
  const content =
    role === 'user' ? readParts(at, 'content', TEXT_PARTS, pictures) : readTexts(at, 'content', TEXT_PARTS);
  const thought = role === 'assistant' && assistant?.reasoning_content && !assistant.content && !assistant.tool_calls;
  if (thought) assistant.content = content;
  else add({ role, content });
}

/** The messages that an answer becomes for the next response. */
export function messagesOf(items: readonly ResponseInputItem[]): Message[] {
  const messages: Message[] = [];
  for (const item of items) addItem(messages, createFieldReader(item, 'output'), { paths: new Map(), pictures: [] });
  return messages;
}
