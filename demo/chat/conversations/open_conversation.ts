/** The conversation that this tab shows: its changes are stored, and changes by other tabs are taken in. */
import {
  branch,
  childrenOf,
  conversationIn,
  endBelow,
  isAncestor,
  merge,
  newConversation,
  newId,
  titleOf,
  versions,
  type ChatMessage,
  type Conversation,
} from './conversation';
import { NEW_CHAT } from './drafts';
import type { ConversationStore } from './store';

export interface OpenConversation {
  readonly conversation: Conversation;
  /** the branch that is shown */
  messages(): ChatMessage[];
  /** Adds a message at the end of the branch, or below `parent`, and shows it. */
  add(message: Omit<ChatMessage, 'id' | 'parent' | 'created' | 'revision'>, parent?: string | null): ChatMessage;
  /** A message has changed. Stored now, or within a second. */
  changed(message: ChatMessage, now?: boolean): void;
  /** Only the state of a tool card has changed. */
  cardChanged(): void;
  /** Shows the branch that goes through this message, or that ends with it. */
  show(message: ChatMessage, asEnd?: boolean): void;
  /** Marks messages as deleted. @returns what takes it back */
  remove(messages: readonly ChatMessage[]): () => void;
  /** Another conversation. @returns false if it is not there */
  open(id: string): Promise<boolean>;
  /** A new one. It is stored with its first message. */
  start(): void;
  /** Stores what is not stored yet. */
  save(): Promise<void>;
  /** Takes in what is stored. */
  reread(): Promise<void>;
}

export interface OpenConversationParts {
  store: ConversationStore;
  /** another tab has changed what is shown */
  changedElsewhere(): void;
  /** another tab has deleted it */
  deletedElsewhere(): void;
}

const SAVE_MS = 1000;
const BACKUP = 'rivulet-chat.unsaved.';
const OPEN = 'rivulet-chat.open';

export function createOpenConversation({
  store,
  changedElsewhere,
  deletedElsewhere,
}: OpenConversationParts): OpenConversation {
  let conversation = newConversation();
  /** copies to be stored, by id */
  const waiting = new Map<string, Conversation>();
  /** ids of messages that have changed since they were stored */
  let unsaved = new Set<string>();
  let saving: Promise<void> | undefined;
  let savedAt = 0;
  let late: ReturnType<typeof setTimeout> | undefined;

  const remember = (id: string): void => {
    try {
      sessionStorage.setItem(OPEN, id);
    } catch {
      // the next reload shows the newest conversation
    }
  };

  /** Takes in another copy. @returns whether messages, branch or title are others now */
  function adopt(other: Conversation): boolean {
    const { messages, leaf, title } = conversation;
    Object.assign(conversation, merge(conversation, other));
    // another tab's choice of a branch is its own; what was added below this branch is shown
    if (!isAncestor(conversation, leaf, conversation.leaf)) conversation.leaf = leaf;
    const same = (id: string): boolean => messages[id] === conversation.messages[id];
    return (
      title !== conversation.title || leaf !== conversation.leaf || !Object.keys(conversation.messages).every(same)
    );
  }

  function save(): Promise<void> {
    clearTimeout(late);
    late = undefined;
    // an empty conversation is not stored
    if (Object.keys(conversation.messages).length) waiting.set(conversation.id, conversation);
    if (waiting.size && !saving) saving = writeAll();
    return saving ?? Promise.resolve();
  }

  async function writeAll(): Promise<void> {
    // what is set again while it is written comes once more
    for (const next of waiting.values()) {
      waiting.delete(next.id);
      const mine = unsaved;
      unsaved = new Set();
      savedAt = Date.now();
      const union = await store.write(next);
      if (store.failing) for (const id of mine) unsaved.add(id);
      if (union.id !== conversation.id) continue;
      if (union.deleted !== undefined && conversation.deleted === undefined) deletedElsewhere();
      else if (union !== conversation && adopt(union)) changedElsewhere();
    }
    saving = undefined;
  }

  function changed(message: ChatMessage, now = false): void {
    message.revision++;
    unsaved.add(message.id);
    if (now || Date.now() - savedAt >= SAVE_MS) void save();
    else late ??= setTimeout(() => void save(), SAVE_MS);
  }

  store.onChange(({ id, deleted }, byThisTab) => {
    if (byThisTab || id !== conversation.id) return;
    if (deleted) return deletedElsewhere();
    void reread().then(changedElsewhere);
  });
  async function reread(): Promise<void> {
    const stored = await store.read(conversation.id);
    if (stored?.id === conversation.id) adopt(stored);
  }

  /**
   * A transaction that begins while the page closes may not end: localStorage keeps a copy that the next visit takes
   * in.
   */
  const backup = (): void => {
    if (unsaved.size === 0) return;
    const messages = Object.fromEntries(
      [...unsaved].filter((id) => conversation.messages[id]).map((id) => [id, conversation.messages[id]]),
    );
    try {
      localStorage.setItem(BACKUP + conversation.id, JSON.stringify({ ...conversation, messages }));
    } catch {
      // the copy of the last second is all there is
    }
    void save();
  };
  window.addEventListener('pagehide', backup);
  document.addEventListener('freeze', backup);
  document.addEventListener(
    'visibilitychange',
    () => document.visibilityState === 'hidden' && unsaved.size > 0 && void save(),
  );

  const open = (next: Conversation): void => {
    if (unsaved.size || late) void save();
    conversation = next;
    unsaved = new Set();
    for (const message of Object.values(next.messages)) if (message.deleted) wipe(message);
    remember(Object.keys(next.messages).length ? next.id : NEW_CHAT);
  };

  const shown = (): ChatMessage[] => branch(conversation);
  return {
    get conversation() {
      return conversation;
    },
    messages: shown,
    add(given, parent = conversation.leaf) {
      const now = Date.now();
      // the clock may have been put back: a child is never older than its parent
      const created = Math.max(now, parent === null ? 0 : (conversation.messages[parent]?.created ?? 0) + 1);
      const message: ChatMessage = { ...given, id: newId(), parent, created, revision: 0 };
      conversation.messages[message.id] = message;
      conversation.leaf = message.id;
      conversation.chosen = conversation.updated = now;
      conversation.title = titleOf(conversation);
      remember(conversation.id);
      changed(message, true);
      return message;
    },
    changed,
    cardChanged: () => void save(),
    show(message, asEnd = false) {
      conversation.leaf = asEnd ? message.id : endBelow(conversation, message.id);
      conversation.chosen = Date.now();
      void save();
    },
    remove(messages) {
      const { leaf } = conversation;
      for (const message of messages) {
        message.deleted = true;
        changed(message);
      }
      // another version of what was deleted takes its place, if nothing is shown below it
      const gone = messages.find(({ id }) => isAncestor(conversation, id, leaf));
      const other =
        gone && shown().at(-1)?.id === gone.parent
          ? versions(childrenOf(conversation), gone).findLast(({ id }) => id !== gone.id)
          : undefined;
      if (other) conversation.leaf = endBelow(conversation, other.id);
      conversation.title = titleOf(conversation);
      conversation.chosen = Date.now();
      const { id } = conversation;
      const copies = messages.map((message) => ({ ...message }));
      void save();
      const restore = (to: Conversation): Conversation => {
        for (const { deleted: _, ...copy } of copies)
          to.messages[copy.id] = { ...copy, revision: (to.messages[copy.id]?.revision ?? copy.revision) + 1 };
        return Object.assign(to, { leaf, chosen: Date.now(), title: titleOf(to) });
      };
      return () => {
        if (conversation.id !== id) return void store.change(id, restore);
        restore(conversation);
        for (const { id } of copies) unsaved.add(id);
        void save();
      };
    },
    async open(id) {
      const found = await store.read(id);
      if (!found || found.deleted !== undefined) return false;
      open(found);
      return true;
    },
    start: () => open(newConversation()),
    save,
    reread,
  };
}

/** Takes in what pages that were closed could not store. */
export async function recoverUnsaved(store: ConversationStore): Promise<void> {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(BACKUP));
  for (const key of keys) {
    let given: unknown;
    try {
      given = JSON.parse(localStorage.getItem(key) ?? 'null');
    } catch {
      // damaged: nothing to take in
    }
    const stored = await store.read(key.slice(BACKUP.length));
    const copy = conversationIn(given, stored?.messages);
    if (copy && stored?.deleted === undefined) await store.write(stored ? merge(stored, copy) : copy);
    if (!store.failing) localStorage.removeItem(key);
  }
}

/** A deleted message keeps its place in the tree, and nothing else. */
function wipe(message: ChatMessage): void {
  if (!message.content && !message.steps && !message.files) return;
  message.content = '';
  for (const name of ['steps', 'files', 'note', 'offer', 'schema', 'json'] as const) delete message[name];
  message.revision++;
}

/** The conversation that this tab showed before a reload, or NEW_CHAT. */
export function lastOpen(): string | undefined {
  try {
    return sessionStorage.getItem(OPEN) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Nothing of a conversation that the user deletes may come back. */
export function forgetUnsaved(id: string): void {
  try {
    localStorage.removeItem(BACKUP + id);
  } catch {
    // nothing was stored
  }
}
