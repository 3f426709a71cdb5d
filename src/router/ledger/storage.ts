/** Where the ledger's rows are: in IndexedDB, or in memory. */
import { createStore, promisifyRequest, type UseStore } from 'idb-keyval';
import { fail } from '../../errors';
import { BEGINNING, chainRow, type LedgerEntry, type LedgerMark, type LedgerRow } from './rows';

export interface LedgerStorage {
  /** Adds a row behind the last one, as one step that no other tab comes between. */
  append(entry: LedgerEntry, time: number): Promise<LedgerRow>;
  /** @param from the first number; @param count how many at most */
  read(from?: number, count?: number): Promise<LedgerRow[]>;
  /** the last row that was deleted, and the last row */
  marks(): Promise<{ anchor: LedgerMark; head: LedgerMark }>;
  /** Deletes the rows up to this number. */
  remove(upTo: number): Promise<void>;
}

export function createMemoryStorage(): LedgerStorage {
  let rows: LedgerRow[] = [];
  let anchor = BEGINNING;
  return {
    async append(entry, time) {
      const row = chainRow(entry, time, rows.at(-1) ?? anchor);
      rows.push(row);
      return row;
    },
    read: async (from = 0, count = Infinity) => rows.filter(({ seq }) => seq >= from).slice(0, count),
    marks: async () => ({ anchor, head: markOf(rows.at(-1) ?? anchor) }),
    async remove(upTo) {
      anchor = markOf(rows.findLast(({ seq }) => seq <= upTo) ?? anchor);
      rows = rows.filter(({ seq }) => seq > anchor.seq);
    },
  };
}

const markOf = ({ seq, hash }: LedgerMark): LedgerMark => ({ seq, hash });

const HEAD = 'head';
const ANCHOR = 'anchor';
/** Numbers sort before all texts: rows are the keys from 1 on. */
const rowsFrom = (from: number, upTo = Number.MAX_SAFE_INTEGER): IDBKeyRange => IDBKeyRange.bound(from, upTo);

/**
 * Rows in a database of this origin, which the page's tabs share.
 * @throws StorageError from each call if there is no IndexedDB, or it fails
 */
export function createDatabaseStorage(database = 'rivulet-ledger'): LedgerStorage {
  let opened: UseStore | undefined;
  const store = async <T>(mode: IDBTransactionMode, work: (s: IDBObjectStore) => Promise<T>): Promise<T> => {
    try {
      opened ??= createStore(database, 'rows');
      return await opened(mode, work);
    } catch (cause) {
      return fail('StorageError', { what: 'The ledger cannot be stored', got: (cause as Error)?.name }, cause);
    }
  };
  const mark = async (s: IDBObjectStore, name: string): Promise<LedgerMark | undefined> =>
    promisifyRequest(s.get(name) as IDBRequest<LedgerMark | undefined>);
  return {
    append: (entry, time) =>
      store('readwrite', async (s) => {
        const row = chainRow(entry, time, (await mark(s, HEAD)) ?? BEGINNING);
        s.put(row, row.seq);
        s.put(markOf(row), HEAD);
        await promisifyRequest(s.transaction);
        return row;
      }),
    read: (from = 1, count) =>
      store('readonly', (s) => promisifyRequest(s.getAll(rowsFrom(from), count) as IDBRequest<LedgerRow[]>)),
    marks: () =>
      store('readonly', async (s) => {
        const [anchor, head] = await Promise.all([mark(s, ANCHOR), mark(s, HEAD)]);
        return { anchor: anchor ?? BEGINNING, head: head ?? BEGINNING };
      }),
    remove: (upTo) =>
      store('readwrite', async (s) => {
        const last = (await promisifyRequest(s.get(upTo) as IDBRequest<LedgerRow | undefined>)) ?? undefined;
        if (!last) return;
        s.delete(rowsFrom(1, upTo));
        s.put(markOf(last), ANCHOR);
        await promisifyRequest(s.transaction);
      }),
  };
}
