import 'fake-indexeddb/auto';
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createLedger, type Ledger } from './ledger';
import { percentile } from './figures';
import { checkChain, sha256Hex, type LedgerRow } from './rows';
import { createDatabaseStorage, createMemoryStorage, type LedgerStorage } from './storage';

const DAY = 86_400_000;
let databases = 0;
const STORAGES: [string, () => LedgerStorage][] = [
  ['memory', createMemoryStorage],
  ['IndexedDB', () => createDatabaseStorage(`ledger-${databases++}`)],
];
const done = (more: object = {}) => ({
  event: 'done' as const,
  id: 'a',
  source: 'cloud',
  endpoint: 'e',
  result: 'answered',
  steps: 'cloud e: answered',
  ...more,
});

it('hashes as others do', () => {
  for (const text of ['', 'abc', 'ü'.repeat(1000)])
    expect(sha256Hex(text)).toBe(createHash('sha256').update(text).digest('hex'));
});

describe.each(STORAGES)('a ledger in %s', (_, storageOf) => {
  const filled = async (n = 6): Promise<{ ledger: Ledger; storage: LedgerStorage; tick: (ms: number) => void }> => {
    let wall = 1e12;
    const storage = storageOf();
    const ledger = createLedger({ storage, wall: () => wall });
    for (let i = 0; i < n; i++) {
      await ledger.append(done({ id: `r${i}`, cost: 1, promptTokens: 10, tokens: 5 }));
      wall += DAY;
    }
    return { ledger, storage, tick: (ms) => (wall += ms) };
  };

  it('is a chain in which a missing and a changed row show', async () => {
    const { ledger } = await filled();
    const rows = await ledger.rows();
    expect(rows.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await ledger.verify()).toEqual({ valid: true, rows: 6 });
    const start = { seq: 0, hash: '0'.repeat(64) };
    const head = await ledger.head();
    const without = (i: number): LedgerRow[] => rows.filter((_row, at) => at !== i);
    for (let i = 0; i < 6; i++) expect(checkChain(without(i), start, head).valid).toBe(false);
    const changed = rows.map((row) => (row.seq === 3 ? { ...row, cost: 0 } : row));
    expect(checkChain(changed, start, head)).toMatchObject({ valid: false, problem: 'row 3 was changed' });
    expect(checkChain(rows.slice(0, 4), start, head)).toMatchObject({
      valid: false,
      problem: 'the rows behind 4 are missing',
    });
  });

  it('deletes what is old, and the rest can be verified', async () => {
    const { ledger } = await filled();
    const before = await ledger.head();
    expect(await ledger.purge(3)).toBe(3);
    const rows = await ledger.rows();
    expect(rows.map(({ seq, event }) => [seq, event])).toEqual([
      [4, 'done'],
      [5, 'done'],
      [6, 'done'],
      [7, 'purge'],
    ]);
    expect(await ledger.verify()).toEqual({ valid: true, rows: 4 });
    expect(await ledger.verify(before)).toMatchObject({ valid: true });
    expect(await ledger.verify({ ...before, hash: 'f'.repeat(64) })).toMatchObject({ valid: false });
    expect(await ledger.purge(3)).toBe(0);
    await ledger.append(done());
    expect(await ledger.verify()).toEqual({ valid: true, rows: 5 });
  });

  it('is written by two at once', async () => {
    const { ledger, storage } = await filled(0);
    const other = createLedger({ storage });
    await Promise.all(Array.from({ length: 20 }, (_one, i) => (i % 2 ? ledger : other).append(done())));
    expect(await ledger.verify()).toEqual({ valid: true, rows: 20 });
  });

  it('is exported as JSON lines and as CSV', async () => {
    const { ledger } = await filled(2);
    await ledger.append(done({ endpoint: '=HYPERLINK("x"),y', redacted: { email: 2 } }));
    const lines = (await (await ledger.export('jsonl')).text()).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as LedgerRow)).toEqual(await ledger.rows());
    const csv = (await (await ledger.export('csv')).text()).trim().split('\r\n');
    expect(csv).toHaveLength(4);
    expect(csv[3]).toContain(`"'=HYPERLINK(""x""),y"`);
    expect(csv[3]).toContain('"{""email"":2}"');
  });

  it('knows times and costs, also those of an earlier visit', async () => {
    let wall = 1e12;
    const storage = storageOf();
    const first = createLedger({ storage, wall: () => wall });
    for (let i = 1; i <= 100; i++) {
      await first.append(done({ firstTokenMs: i, cost: 0.5, promptTokens: 100, tokens: 10 }));
      wall += DAY / 50;
    }
    const { figures, ready } = createLedger({ storage, wall: () => wall });
    await ready;
    expect(figures.times('cloud e')).toEqual({ answers: 100, p50: 50, p95: 95, p99: 99 });
    expect(figures.day(wall)).toMatchObject({ cost: 24.5, cloudTokens: 49 * 110 });
    expect(percentile([3, 1, 2], 0.5)).toBe(2);
  });
});

it('says that it fails, and goes on', async () => {
  const storage = createMemoryStorage();
  let broken = true;
  const ledger = createLedger({
    storage: {
      ...storage,
      append: async (...row) => (broken ? Promise.reject(new Error('full')) : storage.append(...row)),
    },
  });
  await expect(ledger.append(done())).rejects.toThrow('full');
  expect(ledger.failing).toBe(true);
  broken = false;
  await ledger.append(done());
  expect([ledger.failing, (await ledger.verify()).rows]).toEqual([false, 1]);
});
