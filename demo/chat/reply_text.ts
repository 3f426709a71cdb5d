/** What a reply is made from, and what is made of it: messages for the model, a stored message, words for a reader. */
import type { Message } from '../../src/index';
import type { ChatMessage } from './conversations/conversation';
import type { Turn } from './history';
import { turnMessages } from './reply_loop';

/** The system prompt, if there is one, and the turns as the model reads them. */
export const requestMessages = (
  system: string,
  turns: readonly Turn[],
  demo: boolean,
  seen?: Parameters<typeof turnMessages>[2],
): Message[] => [
  ...(system.trim() ? [{ role: 'system', content: system }] : []),
  ...turns.flatMap((turn) => turnMessages(turn, demo, seen)),
];

export const userTextOf = (turns: readonly Turn[]): string =>
  turns
    .filter(({ role }) => role === 'user')
    .map(({ content }) => content)
    .join('\n');

/** Puts what a reply has so far into its message. */
export function writeTurn(message: ChatMessage, { content, reasoning, steps, offer, json }: Turn): void {
  message.content = content;
  if (reasoning) message.reasoning = reasoning;
  else delete message.reasoning;
  if (steps) message.steps = steps;
  else delete message.steps;
  if (offer) message.offer = offer;
  if (json) message.json = json;
}

/** A reply for a screen reader: what its tools did, and its words. */
export const spokenText = ({ steps = [], content }: Turn): string =>
  [...steps.flatMap(({ calls }) => calls.map(({ title, summary }) => `${title}: ${summary}`)), content].join(' ');
