/**
 * The conversations of this browser: one record each in IndexedDB, and a summary beside it for the list. Every write is
 * a merge inside one transaction, so that no tab overwrites another. What cannot be stored stays in memory, and is
 * tried again with the next write.
 */
import { createStore, promisifyRequest } from 'idb-keyval';
import { conversationIn, merge, summaryIn, summaryOf, type Conversation, type Summary } from './conversation';

/** Told by another tab, or by this one. */
export interface Change {
  id: string;
  /** the conversation is gone, or marked as deleted */
  deleted?: boolean;
}

export interface ConversationStore {
  /** all summaries, in no order */
  list(): Promise<Summary[]>;
  read(id: string): Promise<Conversation | undefined>;
  /** Merges a copy into the stored one. @returns the union; the copy itself if it cannot be stored */
  write(mine: Conversation): Promise<Conversation>;
  /** Changes a stored conversation, as one step that no other tab comes between. */
  change(id: string, make: (stored: Conversation) => Conversation): Promise<void>;
  remove(id: string): Promise<void>;
  /** all conversations, in groups of at most `count`, so that the page stays responsive */
  all(count?: number): AsyncGenerator<Conversation[]>;
  /** calls the listener for changes by other tabs and by this one */
  onChange(listener: (change: Change, byThisTab: boolean) => void): void;
  /** the last write or read failed: the conversations of this tab are in memory only */
  readonly failing: boolean;
}

const RECORD = 'conversation/';
const SUMMARY = 'summary/';
/** the first key after all that begin with the prefix, which ends in '/' */
const after = (prefix: string): string => `${prefix.slice(0, -1)}0`;
const allOf = (prefix: string): IDBKeyRange => IDBKeyRange.bound(prefix, after(prefix), false, true);
/** A database that does not open in this time counts as blocked. */
const PATIENCE_MS = 10_000;

export interface StoreParts {
  /** told when storing begins to fail, and when it works again */
  onFailing(failing: boolean): void;
  database?: string;
}

export function createConversationStore({
  onFailing,
  database = 'rivulet-chat-conversations',
}: StoreParts): ConversationStore {
  let records: ReturnType<typeof createStore> | undefined;
  /** what could not be stored */
  const memory = new Map<string, Conversation>();
  const listeners: ((change: Change, byThisTab: boolean) => void)[] = [];
  let failing = false;
  const setFailing = (now: boolean): void => {
    if (failing === now) return;
    failing = now;
    onFailing(now);
  };

  const channel = typeof BroadcastChannel === 'undefined' ? undefined : new BroadcastChannel(database);
  channel?.addEventListener('message', ({ data }: MessageEvent<Change>) => {
    if (typeof data?.id === 'string') tell(data, false);
  });
  function tell(change: Change, byThisTab: boolean): void {
    if (byThisTab) channel?.postMessage(change);
    for (const listener of listeners) listener(change, byThisTab);
  }

  /** Runs a transaction. A connection that the browser has closed is opened once more. */
  async function transact<T>(
    mode: IDBTransactionMode,
    work: (store: IDBObjectStore) => T | PromiseLike<T>,
  ): Promise<T> {
    const attempt = async (): Promise<T> => {
      // createStore throws where IndexedDB is forbidden, and remembers a failed opening
      records ??= createStore(database, 'conversations');
      let late: ReturnType<typeof setTimeout> | undefined;
      const patience = new Promise<never>((_, reject) => {
        late = setTimeout(() => reject(new Error('the database does not open')), PATIENCE_MS);
      });
      try {
        return await Promise.race([records(mode, work), patience]);
      } finally {
        clearTimeout(late);
      }
    };
    return attempt().catch((error: unknown) => {
      if (!(error instanceof DOMException && error.name === 'InvalidStateError')) throw error;
      records = undefined;
      return attempt();
    });
  }

  /**
   * A transaction whose requests are all made by `work` itself. A tab that is frozen before it hears of an answer
   * cannot end a transaction, and other tabs would wait for it.
   */
  const atOnce: typeof transact = (mode, work) =>
    transact(mode, (store) => {
      const done = work(store);
      store.transaction.commit?.();
      return done;
    });

  /** One transaction that reads, changes and writes. `make` gets what is stored, and returns undefined to leave it. */
  const update = (
    id: string,
    make: (stored: Conversation | undefined) => Conversation | undefined,
  ): Promise<Conversation | undefined> =>
    transact('readwrite', async (store) => {
      const made = await new Promise<Conversation | undefined>((resolve, reject) => {
        const reading = store.get(RECORD + id);
        reading.onerror = () => reject(reading.error);
        // the writes are requested in this callback: later the transaction would have ended
        reading.onsuccess = () => {
          try {
            const next = make(conversationIn(reading.result));
            if (next) {
              store.put(next, RECORD + id);
              store.put(summaryOf(next), SUMMARY + id);
            }
            store.transaction.commit?.(); // as in `atOnce`
            resolve(next);
          } catch (error) {
            store.transaction.abort();
            reject(error);
          }
        };
      });
      await finished(store.transaction);
      return made;
    });

  async function write(mine: Conversation): Promise<Conversation> {
    try {
      const union = await update(mine.id, (stored) => (stored ? merge(mine, stored) : mine));
      memory.delete(mine.id);
      setFailing(memory.size > 0);
      tell({ id: mine.id }, true);
      return union ?? mine;
    } catch {
      memory.set(mine.id, mine);
      setFailing(true);
      tell({ id: mine.id }, true);
      return mine;
    }
  }

  return {
    get failing() {
      return failing;
    },
    async list() {
      const summaries = new Map<string, Summary>();
      try {
        for (const value of await atOnce('readonly', (store) => promisifyRequest(store.getAll(allOf(SUMMARY))))) {
          const summary = summaryIn(value);
          if (summary) summaries.set(summary.id, summary);
        }
      } catch {
        setFailing(true);
      }
      for (const conversation of memory.values()) summaries.set(conversation.id, summaryOf(conversation));
      return [...summaries.values()];
    },
    async read(id) {
      const mine = memory.get(id);
      try {
        const stored = conversationIn(await atOnce('readonly', (store) => promisifyRequest(store.get(RECORD + id))));
        return mine && stored ? merge(mine, stored) : (mine ?? stored);
      } catch {
        setFailing(true);
        return mine;
      }
    },
    write,
    async change(id, make) {
      const mine = memory.get(id);
      if (mine) {
        await write(make(mine));
        return;
      }
      const made = await update(id, (stored) => stored && make(stored));
      if (made) tell({ id, ...(made.deleted !== undefined && { deleted: true }) }, true);
    },
    async remove(id) {
      memory.delete(id);
      setFailing(failing && memory.size > 0);
      await atOnce('readwrite', (store) => {
        store.delete(RECORD + id);
        store.delete(SUMMARY + id);
        return finished(store.transaction);
      }).catch(() => undefined); // the mark of deletion stays, and the next visit tries again
      tell({ id, deleted: true }, true);
    },
    async *all(count = 20) {
      yield [...memory.values()];
      let from = RECORD;
      for (;;) {
        const range = IDBKeyRange.bound(from, after(RECORD), true, true);
        const values = await atOnce('readonly', (store) => promisifyRequest(store.getAll(range, count)));
        const keys = await atOnce('readonly', (store) => promisifyRequest(store.getAllKeys(range, count)));
        if (keys.length === 0) return;
        from = String(keys.at(-1));
        yield values
          .map((value) => conversationIn(value))
          .filter((found): found is Conversation => found !== undefined && !memory.has(found.id));
      }
    },
    onChange: (listener) => void listeners.push(listener),
  };
}

const finished = (transaction: IDBTransaction): Promise<void> =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = transaction.onerror = () =>
      reject(transaction.error ?? new Error('the transaction was aborted'));
  });
