/** The rows of the ledger, and the chain of their hashes. */
import { createSha256 } from '../../store/sha256';

/** What is written down. Never a text of a message, a key or an address behind the host. */
export interface LedgerEntry {
  /** 'sent': bytes are about to leave; 'done': a request ended; the others change the ledger's own rules */
  event: 'sent' | 'done' | 'governance' | 'purge';
  /** of the request */
  id?: string;
  source?: string | null;
  outcome?: string;
  policy?: string;
  rule?: string;
  reason?: string;
  model?: string | null;
  endpoint?: string | null;
  host?: string;
  /** 'answered', 'stopped' or the code of the error */
  result?: string;
  promptTokens?: number;
  tokens?: number;
  firstTokenMs?: number | null;
  ms?: number;
  cost?: number;
  joules?: number;
  bytes?: number;
  /** number of replaced texts by kind */
  redacted?: Readonly<Record<string, number>>;
  /** each path and how it ended: 'local late, cloud answered' */
  steps?: string;
  /** of rows about the ledger itself: the hash of the governance file, or what was deleted */
  note?: string;
}

export interface LedgerRow extends LedgerEntry {
  /** counts from 1 without gaps */
  seq: number;
  /** milliseconds since 1970 by the clock of the device */
  time: number;
  /** hash of the row before; of the first row 64 zeros */
  prev: string;
  /** SHA-256 of all other fields, as hexadecimal */
  hash: string;
}

/** Number and hash of a row: of the last one, or of the last one that was deleted. */
export interface LedgerMark {
  seq: number;
  hash: string;
}

export const BEGINNING: LedgerMark = { seq: 0, hash: '0'.repeat(64) };

/** @returns the row behind a mark */
export function chainRow(entry: LedgerEntry, time: number, { seq, hash }: LedgerMark): LedgerRow {
  const row = { ...entry, seq: seq + 1, time, prev: hash };
  return { ...row, hash: hashOfRow(row) };
}

export const hashOfRow = ({ hash: _, ...row }: Omit<LedgerRow, 'hash'> & { hash?: string }): string =>
  sha256Hex(sorted(row));

/** JSON with sorted keys, without fields that are undefined. */
const sorted = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  );

/** of the UTF-8 of a text */
export const sha256Hex = (text: string): string =>
  Array.from(createSha256().update(new TextEncoder().encode(text)).digest(), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');

export interface LedgerCheck {
  valid: boolean;
  rows: number;
  /** what is wrong, with the number of the row */
  problem?: string;
}

/**
 * Whether rows follow each other without a gap and a change.
 * @param anchor the last row that was deleted
 * @param head the last row that must be there
 */
export function checkChain(rows: readonly LedgerRow[], anchor: LedgerMark, head?: LedgerMark): LedgerCheck {
  let last = anchor;
  const wrong = (problem: string): LedgerCheck => ({ valid: false, rows: rows.length, problem });
  for (const row of rows) {
    if (row.seq !== last.seq + 1) return wrong(`row ${last.seq + 1} is missing`);
    if (row.prev !== last.hash) return wrong(`row ${row.seq} does not follow row ${last.seq}`);
    if (row.hash !== hashOfRow(row)) return wrong(`row ${row.seq} was changed`);
    last = row;
  }
  if (head && (head.seq > last.seq || (head.seq === last.seq && head.hash !== last.hash)))
    return wrong(`the rows behind ${last.seq} are missing`);
  const inside = head && rows.find(({ seq }) => seq === head.seq);
  if (inside && inside.hash !== head.hash) return wrong(`row ${head.seq} is another one`);
  return { valid: true, rows: rows.length };
}

const COLUMNS = [
  'seq',
  'time',
  'event',
  'id',
  'source',
  'outcome',
  'policy',
  'rule',
  'reason',
  'model',
  'endpoint',
  'host',
  'result',
  'promptTokens',
  'tokens',
  'firstTokenMs',
  'ms',
  'cost',
  'joules',
  'bytes',
  'redacted',
  'steps',
  'note',
  'prev',
  'hash',
] as const satisfies (keyof LedgerRow)[];

export function toCsv(rows: readonly LedgerRow[]): string {
  const cell = (value: unknown): string => {
    if (value === undefined || value === null) return '';
    const text = typeof value === 'object' ? sorted(value) : String(value);
    // a spreadsheet would run a cell that begins so
    const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const lines = rows.map((row) => COLUMNS.map((name) => cell(row[name])).join(','));
  return [COLUMNS.join(','), ...lines].map((line) => `${line}\r\n`).join('');
}

export const toJsonl = (rows: readonly LedgerRow[]): string => rows.map((row) => `${sorted(row)}\n`).join('');
