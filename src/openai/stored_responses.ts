/** The responses that a page keeps, so that later ones go on with them. They are in memory, and end with the page. */
import { show } from '../errors';
import type { Message } from '../index';
import { refuse } from './openai_error';
import type { ModelResponse, ResponseOutputItem } from './responses_types';

/** The oldest go when there are more. */
const MOST_STORED = 1000;

export interface StoredResponses {
  /** @param messages the conversation up to the end of the response */
  add(response: ModelResponse, messages: Message[]): void;
  /** @throws OpenAIError 404 */
  get(id: string): ModelResponse;
  /** @throws OpenAIError 404 */
  delete(id: string): void;
  /** The conversation up to the end of a response. @throws OpenAIError 404 */
  messagesAfter(id: string): Message[];
  /** An item of the output of a response. @throws OpenAIError 404 */
  item(id: string, path: string): ResponseOutputItem;
}

export function createStoredResponses(): StoredResponses {
  const stored = new Map<string, { response: ModelResponse; messages: Message[] }>();
  const find = (id: string, path: string): { response: ModelResponse; messages: Message[] } =>
    stored.get(id) ??
    refuse(
      path,
      {
        what: 'This page has no response with this id',
        got: show(id),
        cure: `A page keeps its last ${MOST_STORED} responses until it is closed. Send the whole conversation instead.`,
      },
      'not_found',
      404,
    );
  return {
    add(response, messages) {
      stored.set(response.id, { response, messages });
      for (const [oldest] of stored) if (stored.size > MOST_STORED) stored.delete(oldest);
    },
    get: (id) => find(id, 'response_id').response,
    delete: (id) => void (find(id, 'response_id') && stored.delete(id)),
    messagesAfter: (id) => find(id, 'previous_response_id').messages,
    item(id, path) {
      for (const { response } of stored.values()) {
        const item = response.output.find((one) => one.id === id);
        if (item) return item;
      }
      return refuse(path, { what: 'This page has no item with this id', got: show(id) }, 'not_found', 404);
    },
  };
}
