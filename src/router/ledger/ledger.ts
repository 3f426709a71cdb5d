/** The ledger: what was asked where, what it cost and what left the device. Rows are only added. */
import { createFigures, type LedgerFigures } from './figures';
import {
  checkChain,
  toCsv,
  toJsonl,
  type LedgerCheck,
  type LedgerEntry,
  type LedgerMark,
  type LedgerRow,
} from './rows';
import { createDatabaseStorage, type LedgerStorage } from './storage';

const DAY_MS = 86_400_000;

export interface Ledger {
  /** Adds a row; rows are added in the order of the calls. @throws StorageError */
  append(entry: LedgerEntry): Promise<LedgerRow>;
  /** rows in order. @param from the first number */
  rows(from?: number, count?: number): Promise<LedgerRow[]>;
  /** what the rows say, in memory; complete when `ready` is */
  readonly figures: LedgerFigures;
  /** the rows of earlier visits are read. It never rejects: `failing` says that they could not be */
  readonly ready: Promise<void>;
  /** the last read or write failed */
  readonly failing: boolean;
  /** the last row. Kept elsewhere, it shows later whether the end of the ledger was cut off (`verify`) */
  head(): Promise<LedgerMark>;
  /** Whether rows are missing or were changed since they were added. */
  verify(head?: LedgerMark): Promise<LedgerCheck>;
  export(format: 'jsonl' | 'csv'): Promise<Blob>;
  /**
   * Deletes the rows that are older; the rest can still be verified. A row says that it was done.
   * @returns how many rows went
   */
  purge(days: number): Promise<number>;
}

export interface LedgerOptions {
  /** the database of this origin if it is not given */
  storage?: LedgerStorage;
  /** milliseconds since 1970 */
  wall?: () => number;
}

/** Opens the ledger of this origin, or one over a storage of its own. */
export function createLedger({
  storage = createDatabaseStorage(),
  wall = () => Date.now(),
}: LedgerOptions = {}): Ledger {
  const figures = createFigures();
  let failing = false;
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = turn.then(work, work).then(
      (value) => {
        failing = false;
        return value;
      },
      (error) => {
        failing = true;
        throw error;
      },
    );
    turn = done.catch(() => undefined);
    return done;
  };
  const append = (entry: LedgerEntry): Promise<LedgerRow> => {
    const time = wall();
    return inTurn(async () => {
      const row = await storage.append(entry, time);
      figures.add(row);
      return row;
    });
  };
  const ready = inTurn(async () => {
    for (const row of await storage.read()) figures.add(row);
  }).catch(() => undefined);
  return {
    append,
    rows: (from, count) => inTurn(() => storage.read(from, count)),
    figures,
    ready,
    get failing() {
      return failing;
    },
    head: async () => (await inTurn(() => storage.marks())).head,
    verify: (given) =>
      inTurn(async () => {
        const { anchor, head } = await storage.marks();
        const rows = await storage.read(anchor.seq + 1);
        const own = checkChain(rows, anchor, head);
        return own.valid && given ? checkChain(rows, anchor, given) : own;
      }),
    async export(format) {
      const rows = await inTurn(() => storage.read());
      return format === 'csv'
        ? new Blob([toCsv(rows)], { type: 'text/csv' })
        : new Blob([toJsonl(rows)], { type: 'application/jsonl' });
    },
    async purge(days) {
      const before = wall() - days * DAY_MS;
      const rows = await inTurn(() => storage.read());
      // up to the first row that stays: a gap in the middle could not be verified
      const kept = rows.findIndex(({ time }) => time >= before);
      const old = kept < 0 ? rows : rows.slice(0, kept);
      const last = old.at(-1);
      if (!last) return 0;
      await append({ event: 'purge', note: `rows up to ${last.seq}, older than ${days} days` });
      await inTurn(() => storage.remove(last.seq));
      return old.length;
    },
  };
}
