/** What is sent to an endpoint: the fields that it needs and no others. */
import type { ChatCompletionRequest } from '../openai/types';
import type { CloudEndpoint } from './types';

/** Notes about the user and variables of the local template stay. */
const SENT = [
  'messages',
  'temperature',
  'top_p',
  'frequency_penalty',
  'presence_penalty',
  'seed',
  'stop',
  'max_tokens',
  'max_completion_tokens',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'response_format',
  'reasoning_effort',
] as const;
/** Fields that OpenAI's own API does not know. */
const SENT_TO_OTHERS = ['top_k', 'min_p', 'repetition_penalty'] as const;
const OF_MESSAGE = ['role', 'content', 'name', 'tool_calls', 'tool_call_id'] as const;

/** @returns a value of JSON; null fields are left out */
export function wireBody(request: ChatCompletionRequest, endpoint: CloudEndpoint): Record<string, unknown> {
  const names: readonly string[] = endpoint.continues ? [...SENT, ...SENT_TO_OTHERS] : SENT;
  const messages = request.messages.map((message) => pick(message, OF_MESSAGE));
  return {
    ...pick(request, names),
    messages,
    model: endpoint.model,
    stream: true,
    ...(endpoint.usage !== false && { stream_options: { include_usage: true } }),
    ...(request.continue_final_message && { continue_final_message: true, add_generation_prompt: false }),
  };
}

const pick = (value: object, names: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(value).filter(([name, one]) => names.includes(name) && one !== null && one !== undefined),
  );
