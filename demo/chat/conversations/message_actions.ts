/** What the buttons of a message do. */
import { find } from '../dom';
import { showToast } from '../toast';
import { childrenOf, versions, type ChatMessage } from './conversation';
import type { Draft } from './drafts';
import type { MessageActions } from './message_foot';
import type { OpenConversation } from './open_conversation';

export interface MessageActionParts {
  current: OpenConversation;
  /** @returns why a message cannot be sent */
  check(draft: Draft): Promise<string | undefined>;
  replying(): boolean;
  /** Adds a request below a message, and answers it. */
  enter(draft: Draft, parent: string | null): void;
  regenerate(request: ChatMessage): void;
  answer(request: ChatMessage, soFar?: ChatMessage): void;
  /** other messages are to be shown */
  changed(): void;
}

export function createMessageActions({
  current,
  check,
  replying,
  enter,
  regenerate,
  answer,
  changed,
}: MessageActionParts): MessageActions {
  const requestOf = ({ parent }: ChatMessage): ChatMessage | undefined =>
    current.messages().find(({ id }) => id === parent);
  return {
    async edit(message, content) {
      const { files = [], schema } = message;
      const draft: Draft = { text: content, files, ...(schema !== undefined && { schema }) };
      const problem = await check(draft);
      if (problem) return problem;
      if (replying()) return 'Wait for the reply, or stop it.';
      enter(draft, message.parent);
      return undefined;
    },
    regenerate(message) {
      const request = requestOf(message);
      if (request) regenerate(request);
    },
    continueReply(message) {
      const request = requestOf(message);
      if (request) answer(request, message);
    },
    answer: (message) => answer(message),
    remove(message) {
      if (replying()) return;
      // a reply without its request says nothing
      const replies =
        message.role === 'user'
          ? (childrenOf(current.conversation).get(message.id) ?? []).filter(
              ({ role, deleted }) => role === 'assistant' && !deleted,
            )
          : [];
      const undo = current.remove([message, ...replies]);
      changed();
      find('prompt', HTMLTextAreaElement).focus();
      showToast(replies.length ? 'Message and reply deleted.' : 'Message deleted.', {
        label: 'Undo',
        action() {
          undo();
          changed();
        },
      });
    },
    showVersion(message, by) {
      const all = versions(childrenOf(current.conversation), message);
      const next = all[all.indexOf(message) + by];
      if (!next || replying()) return;
      current.show(next);
      changed();
    },
  };
}
