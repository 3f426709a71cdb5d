/**
 * A conversation: a tree of messages, because every edit and every new reply is a branch. Two copies of it merge
 * without loss.
 */
import { isObject, isText, oneOf, turnIn, type Fields, type Turn } from '../history';

/** How a reply ended: by itself, at the length limit, by the user, after too many rounds of tools, or by an error. */
export type Finish = (typeof FINISHES)[number];
const FINISHES = ['stop', 'length', 'abort', 'repetition', 'rounds', 'failed'] as const;

export interface ChatMessage extends Turn {
  id: string;
  parent: string | null;
  /** milliseconds since 1970 */
  created: number;
  /** number of changes: of two copies, the one with more is newer */
  revision: number;
  /** name of the model that wrote the reply */
  model?: string;
  /** absent while a reply is being written, and after its page was closed in the middle */
  finish?: Finish;
  deleted?: true;
}

export interface Conversation {
  id: string;
  title: string;
  /** when the user chose the title */
  named?: number;
  created: number;
  /** when the last message was added */
  updated: number;
  messages: Record<string, ChatMessage>;
  /** the last message of the branch that is shown */
  leaf: string | null;
  /** when the branch was chosen */
  chosen: number;
  /** when it was deleted: for a short time this can be undone */
  deleted?: number;
}

/** What the list shows of a conversation. */
export type Summary = Pick<Conversation, 'id' | 'title' | 'updated' | 'deleted'>;

const ID = /^[\w-]{1,64}$/;
const isId = (value: unknown): value is string => isText(value) && ID.test(value) && !(value in Object.prototype);
const isTime = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 && value < 1e15;

/** crypto.randomUUID is missing on plain http. */
export const newId = (): string =>
  [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

export function newConversation(now = Date.now()): Conversation {
  return { id: newId(), title: '', created: now, updated: now, messages: {}, leaf: null, chosen: now };
}

// Storage and files hold anything: what is not valid is left out.

function messageIn(given: unknown): ChatMessage | undefined {
  const turn = turnIn(given);
  if (!turn) return undefined;
  const { id, parent, created, revision, model, finish, deleted } = given as Fields<ChatMessage>;
  if (!isId(id)) return undefined;
  const end = oneOf(FINISHES, finish);
  return {
    ...turn,
    id,
    parent: isId(parent) ? parent : null,
    created: isTime(created) ? created : 0,
    revision: isTime(revision) ? revision : 0,
    ...(isText(model) && { model: model.slice(0, 200) }),
    ...(end && { finish: end }),
    ...(deleted === true && { deleted }),
  };
}

/** @param known messages beside the given ones that may be parents */
export function conversationIn(given: unknown, known: Record<string, ChatMessage> = {}): Conversation | undefined {
  const { id, title, named, created, updated, messages, leaf, chosen, deleted } = (
    isObject(given) ? given : {}
  ) as Fields<Conversation>;
  if (!isId(id) || !isObject(messages)) return undefined;
  const valid: Record<string, ChatMessage> = {};
  for (const value of Object.values(messages)) {
    const message = messageIn(value);
    if (message) valid[message.id] = message;
  }
  for (const message of Object.values(valid))
    if (message.parent !== null && !valid[message.parent] && !known[message.parent]) message.parent = null;
  for (const broken of parentCycles(valid)) valid[broken].parent = null;
  const conversation: Conversation = {
    id,
    title: isText(title) ? plainTitle(title) : '',
    created: isTime(created) ? created : 0,
    updated: isTime(updated) ? updated : 0,
    messages: valid,
    leaf: isId(leaf) && valid[leaf] ? leaf : null,
    chosen: isTime(chosen) ? chosen : 0,
    ...(isTime(named) && { named }),
    ...(isTime(deleted) && { deleted }),
  };
  return { ...conversation, leaf: conversation.leaf ?? newestLeaf(conversation), title: titleOf(conversation) };
}

export function summaryIn(given: unknown): Summary | undefined {
  const { id, title, updated, deleted } = (isObject(given) ? given : {}) as Fields<Summary>;
  return isId(id) && isText(title)
    ? { id, title: plainTitle(title), updated: isTime(updated) ? updated : 0, ...(isTime(deleted) && { deleted }) }
    : undefined;
}

export const summaryOf = ({ id, title, updated, deleted }: Conversation): Summary => ({
  id,
  title,
  updated,
  ...(deleted !== undefined && { deleted }),
});

/** One message of each circle of parents. */
export function parentCycles(messages: Record<string, Pick<ChatMessage, 'parent'>>): string[] {
  const done = new Set<string>();
  const found: string[] = [];
  for (const start of Object.keys(messages)) {
    const way = new Set<string>();
    let at: string | null = start;
    while (at !== null && messages[at] && !done.has(at) && !way.has(at)) {
      way.add(at);
      at = messages[at].parent;
    }
    if (at !== null && way.has(at)) found.push(at);
    for (const id of way) done.add(id);
  }
  return found;
}

// The title.

const TITLE_LENGTH = 60;
/** Control characters, and those that reverse the text after them. */
const UNSHOWN = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu;

export const plainTitle = (text: string): string =>
  shortened(text.slice(0, 1000).replace(UNSHOWN, ' ').replace(/\s+/g, ' ').trim(), 200);

/** The first words, up to a length. */
export function shortened(text: string, length: number): string {
  if (text.length <= length) return text;
  const cut = text.slice(0, length);
  const words = /^(.{20,})\s\S*$/su.exec(cut)?.[1] ?? cut.replace(/[\ud800-\udbff]$/, '');
  return `${words}…`;
}

/** The name that the user gave, else the first words of the first message. */
export function titleOf(conversation: Conversation): string {
  if (conversation.named !== undefined && conversation.title) return conversation.title;
  const first = Object.values(conversation.messages)
    .filter(({ role, deleted }) => role === 'user' && !deleted)
    .reduce<ChatMessage | undefined>(
      (earliest, message) => (!earliest || before(message, earliest) ? message : earliest),
      undefined,
    );
  const text = first && (first.content.trim() || first.files?.[0]?.name);
  return text ? shortened(plainTitle(text), TITLE_LENGTH) : conversation.title || 'New chat';
}

// The tree.

const before = (a: ChatMessage, b: ChatMessage): boolean =>
  a.created < b.created || (a.created === b.created && a.id < b.id);

/** The children of every message, the oldest first; those of null are the beginnings. */
export function childrenOf({ messages }: Conversation): Map<string | null, ChatMessage[]> {
  const children = new Map<string | null, ChatMessage[]>();
  for (const message of Object.values(messages)) {
    const list = children.get(message.parent);
    if (list) list.push(message);
    else children.set(message.parent, [message]);
  }
  for (const list of children.values()) list.sort((a, b) => (before(a, b) ? -1 : 1));
  return children;
}

/** The messages from the beginning to this one, deleted ones among them. */
function lineTo({ messages }: Conversation, leaf: string | null): ChatMessage[] {
  const line: ChatMessage[] = [];
  for (let at = leaf; at !== null && messages[at]; at = messages[at].parent) line.push(messages[at]);
  return line.reverse();
}

/** The branch that is shown. */
export const branch = (conversation: Conversation): ChatMessage[] =>
  lineTo(conversation, conversation.leaf).filter(({ deleted }) => !deleted);

export const isAncestor = (conversation: Conversation, ancestor: string | null, id: string | null): boolean =>
  ancestor === null || lineTo(conversation, id).some((message) => message.id === ancestor);

/** The end of the branch below a message: at every fork the newest way. */
export function endBelow(conversation: Conversation, from: string | null): string | null {
  const children = childrenOf(conversation);
  let at = from;
  for (;;) {
    const below = children.get(at) ?? [];
    const next = below.findLast(({ deleted }) => !deleted) ?? below.at(-1);
    if (!next) return at;
    at = next.id;
  }
}

const newestLeaf = (conversation: Conversation): string | null => endBelow(conversation, null);

/** The versions of a message: what the user or the model wrote at the same place. */
export const versions = (
  children: Map<string | null, ChatMessage[]>,
  { id, parent, role }: ChatMessage,
): ChatMessage[] =>
  (children.get(parent) ?? []).filter((message) => message.id === id || (message.role === role && !message.deleted));

// Merging.

/** Card states are not counted as changes of a message: each is set once. */
function takeCardStates(to: ChatMessage, from: ChatMessage): void {
  to.steps?.forEach(({ calls }, s) =>
    calls.forEach((call, c) => {
      const other = from.steps?.[s]?.calls[c];
      if (!other || other.name !== call.name) return;
      if (other.undone) call.undone = true;
      if (other.ended && !call.ended) call.ended = other.ended;
    }),
  );
}

const size = (message: ChatMessage): number =>
  message.content.length + (message.reasoning?.length ?? 0) + (message.steps?.length ?? 0);

/** @returns `mine` itself, unless the other copy is newer */
function newer(mine: ChatMessage, other: ChatMessage): ChatMessage {
  const ahead =
    other.revision - mine.revision ||
    Number(other.finish !== undefined) - Number(mine.finish !== undefined) ||
    size(other) - size(mine) ||
    Number(other.content > mine.content);
  const [chosen, left] = ahead > 0 ? [other, mine] : [mine, other];
  takeCardStates(chosen, left);
  return chosen;
}

/** The union of two copies. Message objects of `mine` stay the same objects where they are not older. */
export function merge(mine: Conversation, other: Conversation): Conversation {
  const messages: Record<string, ChatMessage> = { ...mine.messages };
  for (const message of Object.values(other.messages))
    messages[message.id] = messages[message.id] ? newer(messages[message.id], message) : message;
  const titled = (other.named ?? 0) > (mine.named ?? 0) ? other : mine;
  const shown = other.chosen > mine.chosen ? other : mine;
  const merged: Conversation = {
    id: mine.id,
    title: titled.title,
    ...(titled.named !== undefined && { named: titled.named }),
    created: Math.min(mine.created, other.created),
    updated: Math.max(mine.updated, other.updated),
    messages,
    leaf: shown.leaf,
    chosen: shown.chosen,
    ...(other.deleted !== undefined && { deleted: other.deleted }),
  };
  merged.title = titleOf(merged);
  return merged;
}

/**
 * The conversation of a version of this page that kept only one. Its ids are always the same, so that two tabs do not
 * make two of it.
 */
export function fromTurns(turns: readonly Turn[], now: number): Conversation {
  const messages = turns.map((turn, i): ChatMessage => ({
    ...turn,
    id: `first-${i}`,
    parent: i ? `first-${i - 1}` : null,
    created: now + i,
    revision: 0,
    ...(turn.role === 'assistant' && { finish: 'stop' }),
  }));
  const conversation: Conversation = {
    id: 'first',
    title: '',
    created: now,
    updated: now,
    messages: Object.fromEntries(messages.map((message) => [message.id, message])),
    leaf: messages.at(-1)?.id ?? null,
    chosen: now,
  };
  return { ...conversation, title: titleOf(conversation) };
}
