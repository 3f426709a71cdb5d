/**
 * The search in titles and texts. The texts are read at the first search, kept while it lasts, and given up after it.
 */
import type { ChatMessage, Conversation } from './conversation';
import type { ConversationStore } from './store';

export interface Hit {
  id: string;
  /** the words around the first place, where that is not the title */
  around?: { before: string; found: string; after: string };
}

interface Text {
  title: string;
  text: string;
  /** as long as `text`, so that a place in the one is a place in the other */
  lower: string;
}

const BEFORE = 24;
const AFTER = 60;
/** stands between messages: a paragraph separator, which nobody types */
const BETWEEN = '\u2029';

/** Lower case, character by character: some letters become longer in lower case. */
const folded = (text: string): string => {
  const lower = text.toLowerCase();
  return lower.length === text.length
    ? lower
    : text.replace(/./gsu, (character) =>
        character.toLowerCase().length === character.length ? character.toLowerCase() : character,
      );
};

const textOf = ({ content, files = [], deleted }: ChatMessage): string[] =>
  deleted ? [] : [content, ...files.flatMap(({ name, text }) => [name, text])];

export function searchable({ title, messages }: Pick<Conversation, 'title' | 'messages'>): Text {
  const text = Object.values(messages).flatMap(textOf).join(BETWEEN);
  return { title: folded(title), text, lower: folded(text) };
}

/** Every word of the query must occur. @returns undefined if one does not */
export function hitIn(id: string, { title, text, lower }: Text, query: string): Hit | undefined {
  const words = folded(query).split(/\s+/).filter(Boolean);
  if (!words.length || !words.every((word) => title.includes(word) || lower.includes(word))) return undefined;
  const whole = folded(query.trim());
  if (title.includes(whole) || words.every((word) => title.includes(word))) return { id };
  const found = lower.includes(whole) ? whole : (words.find((word) => lower.includes(word)) ?? '');
  const at = lower.indexOf(found);
  const line = (from: number, to: number): string =>
    text.slice(Math.max(0, from), to).replaceAll(BETWEEN, ' · ').replace(/\s+/g, ' ');
  const end = at + found.length;
  return {
    id,
    around: {
      before: `${at > BEFORE ? '…' : ''}${line(at - BEFORE, at)}`,
      found: line(at, end),
      after: `${line(end, end + AFTER)}${end + AFTER < text.length ? '…' : ''}`,
    },
  };
}

export interface Search {
  /** Resolves with undefined when a later search has begun. */
  find(query: string): Promise<Map<string, Hit> | undefined>;
  /** A conversation has changed, or is gone. */
  changed(id: string): void;
  /** Gives up the texts. */
  end(): void;
}

export function createSearch(store: ConversationStore): Search {
  let texts: Map<string, Text> | undefined;
  let reading: Promise<Map<string, Text>> | undefined;
  const stale = new Set<string>();
  let run = 0;

  async function readAll(): Promise<Map<string, Text>> {
    const read = new Map<string, Text>();
    try {
      for await (const group of store.all())
        for (const conversation of group)
          if (conversation.deleted === undefined) read.set(conversation.id, searchable(conversation));
    } catch {
      // the storage is blocked: what is in memory is searched
    }
    return read;
  }

  return {
    async find(query) {
      const mine = ++run;
      const all = (texts ??= await (reading ??= readAll().finally(() => (reading = undefined))));
      for (const id of [...stale]) {
        stale.delete(id);
        const conversation = await store.read(id);
        if (conversation && conversation.deleted === undefined) all.set(id, searchable(conversation));
        else all.delete(id);
      }
      if (mine !== run) return undefined;
      const hits = new Map<string, Hit>();
      for (const [id, text] of all) {
        const hit = hitIn(id, text, query);
        if (hit) hits.set(id, hit);
      }
      return hits;
    },
    changed: (id) => void ((texts ?? reading) && stale.add(id)),
    end() {
      run++;
      texts = undefined;
      stale.clear();
    },
  };
}
