/** The messages of the branch that is shown, each with its versions and its state. */
import { childrenOf, versions, type ChatMessage } from './conversation';
import type { MessageLine } from './message_foot';
import type { OpenConversation } from './open_conversation';

/** A reply that another tab has changed within this time is being written there. */
const ELSEWHERE_MS = 5000;

export interface MessageLinesParts {
  current: OpenConversation;
  /** the reply that this tab writes */
  written(): ChatMessage | undefined;
  /** a request without a reply can be answered now */
  open(): boolean;
  /** told when a state has changed by itself */
  changed(): void;
}

export interface MessageLines {
  all(): MessageLine[];
  /** Another tab has changed the conversation: what is not finished is being written there. */
  changedElsewhere(): void;
}

export function createMessageLines({ current, written, open, changed }: MessageLinesParts): MessageLines {
  /** replies of other tabs, and when they last changed */
  const elsewhere = new Map<string, number>();

  const stateOf = (message: ChatMessage, last: boolean): MessageLine['state'] => {
    if (message.role === 'user') return last && open() ? 'open' : undefined;
    if (message.finish || message === written()) return undefined;
    return Date.now() - (elsewhere.get(message.id) ?? 0) < ELSEWHERE_MS ? 'elsewhere' : 'interrupted';
  };

  return {
    all() {
      const children = childrenOf(current.conversation);
      return current.messages().map((message, i, all) => {
        const same = versions(children, message);
        return {
          message,
          version: same.indexOf(message) + 1,
          versions: same.length,
          state: stateOf(message, i === all.length - 1),
        };
      });
    },
    changedElsewhere() {
      for (const { id, role, finish } of current.messages())
        if (role === 'assistant' && !finish && id !== written()?.id) elsewhere.set(id, Date.now());
      setTimeout(changed, ELSEWHERE_MS + 100);
    },
  };
}
