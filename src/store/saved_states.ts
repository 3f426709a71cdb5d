/**
 * States of conversations on disk: a few, of all models together, so that a text need not be read again after a visit.
 */
import { get, promisifyRequest, type UseStore } from 'idb-keyval';
import { fail } from '../errors';
import { keysWithin, openModelCache, requireModelCache } from './model_cache';
import { withExclusiveLock } from './model_locks';
import { formatMegabytes, freeStorageBytes } from './storage_space';

/** Most bytes of all saved states: four conversations of 4096 tokens with a model of 350M parameters. */
export const SAVED_STATE_BYTES = 256 << 20;

/** What is known of a saved state without its bytes. */
export interface SavedStateRecord {
  /** id of the model, with which it is deleted */
  model: string;
  id: string;
  /** only a program with the same text can use it */
  identity: string;
  layout: string;
  /** tokens that it has read, call by call: [ids, number of them that still count] */
  calls: [Uint32Array, number][];
  /** the backend that read them */
  backend: string;
  bytes: number;
  /** milliseconds since 1970 */
  lastUsed: number;
}

/** Those of a model; damaged records are deleted. Empty without storage. */
export async function listSavedStates(model?: string): Promise<SavedStateRecord[]> {
  const cache = await openModelCache();
  const all = await cache
    ?.store('readonly', (s) => promisifyRequest<unknown[]>(s.getAll(keysWithin('state'))))
    .catch(() => []);
  return (all ?? []).filter(isRecord).filter((record) => model === undefined || record.model === model);
}

interface StateReader {
  read: () => { layout: string; pieces: AsyncIterable<Uint8Array> };
  /** `lastForgotten` when the save began: nothing is stored where conversations were forgotten since */
  since?: unknown;
}

/**
 * Stores a state; the least recently used ones go for it, and those in `replaced`.
 * @param bytes about how many there are
 * @returns false if nothing was stored, because conversations were forgotten since the save began
 * @throws StorageError before any work if it is larger than all may be, or than what is free
 */
export async function storeState(
  record: Omit<SavedStateRecord, 'layout' | 'bytes' | 'lastUsed'>,
  bytes: number,
  { read, since }: StateReader,
  replaced: readonly SavedStateRecord[],
  budget = SAVED_STATE_BYTES,
): Promise<boolean> {
  const failTooLarge = (wanted: number): never =>
    fail('StorageError', {
      what: 'The conversation is too large to be saved',
      got: formatMegabytes(bytes),
      wanted: `at most ${formatMegabytes(wanted)}`,
      cure: 'It is read again from its text when it goes on.',
    });
  if (bytes > budget) failTooLarge(budget);
  const { store } = await requireModelCache();
  return withExclusiveLock('rivulet:states', async () => {
    for (const one of replaced) await deleteState(store, one);
    const others = (await listSavedStates()).sort((a, b) => a.lastUsed - b.lastUsed);
    let stored = others.reduce((sum, other) => sum + other.bytes, 0);
    for (const other of others) {
      if (stored + bytes <= budget) break;
      await deleteState(store, other);
      stored -= other.bytes;
    }
    const free = await freeStorageBytes(bytes);
    if (free !== undefined && free < bytes) failTooLarge(free);
    const { layout, pieces } = read();
    const blobs: Blob[] = [];
    for await (const piece of pieces) blobs.push(new Blob([piece as Uint8Array<ArrayBuffer>]));
    const saved: SavedStateRecord = { ...record, layout, bytes: bytesOf(blobs), lastUsed: Date.now() };
    if ((await lastForgotten()) !== since) return false;
    await putState(store, saved, blobs);
    return true;
  });
}

/** The pieces of a state; undefined if it is damaged or gone. Then, or if `use` fails, it is deleted. */
export async function useSavedState<T>(
  record: SavedStateRecord,
  use: (pieces: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T | undefined> {
  const store = (await openModelCache())?.store;
  try {
    const blobs = store && (await get<unknown>(keyOf('pieces', record), store));
    if (Array.isArray(blobs) && blobs.every((blob) => blob instanceof Blob) && bytesOf(blobs) === record.bytes) {
      const used = await use(readBlobs(blobs));
      record.lastUsed = Date.now();
      await putState(store!, record).catch(() => undefined); // a full disk must not prevent reading
      return used;
    }
  } catch (error) {
    // the device's fault, not the state's
    if (['DeviceError', 'MemoryError'].includes((error as Error).name)) throw error;
  }
  if (store) await deleteState(store, record).catch(() => undefined);
  return undefined;
}

/**
 * Deletes what is saved of conversations.
 * @param model its id as listModels() gives it; by default of all models
 * @throws StorageError
 */
export async function forgetConversations(model?: string): Promise<void> {
  const store = (await openModelCache())?.store;
  if (!store) return;
  const within = model === undefined ? [] : [model];
  await withExclusiveLock('rivulet:states', () =>
    store('readwrite', (s) => {
      for (const kind of ['state', 'pieces']) s.delete(keysWithin(kind, ...within));
      s.put(Math.random(), FORGOTTEN); // a save that runs sees that it is another one
      return promisifyRequest(s.transaction);
    }),
  );
}

/** Of the last time that conversations were forgotten, in any tab: another value is another time. */
const FORGOTTEN = 'forgotten';
export const lastForgotten = async (): Promise<unknown> => {
  const store = (await openModelCache())?.store;
  return store && get<unknown>(FORGOTTEN, store);
};

type StateId = Pick<SavedStateRecord, 'model' | 'id'>;

const keyOf = (kind: 'state' | 'pieces', { model, id }: StateId): string[] => [kind, model, id];

const putState = (store: UseStore, state: SavedStateRecord, pieces?: Blob[]): Promise<void> =>
  store('readwrite', (s) => {
    s.put(state, keyOf('state', state));
    if (pieces) s.put(pieces, keyOf('pieces', state));
    return promisifyRequest(s.transaction);
  });

const deleteState = (store: UseStore, state: StateId): Promise<void> =>
  store('readwrite', (s) => {
    s.delete(keyOf('state', state));
    s.delete(keyOf('pieces', state));
    return promisifyRequest(s.transaction);
  });

const bytesOf = (blobs: readonly Blob[]): number => blobs.reduce((sum, { size }) => sum + size, 0);

async function* readBlobs(blobs: readonly Blob[]): AsyncGenerator<Uint8Array> {
  for (const blob of blobs) yield new Uint8Array(await blob.arrayBuffer());
}

/** What is stored is input too: another version or damage may have changed it. */
function isRecord(value: unknown): value is SavedStateRecord {
  const r = value as Partial<SavedStateRecord> | undefined;
  return (
    [r?.model, r?.id, r?.identity, r?.layout, r?.backend].every((text) => typeof text === 'string') &&
    [r!.bytes, r!.lastUsed].every((n) => Number.isSafeInteger(n) && n! >= 0) &&
    Array.isArray(r!.calls) &&
    r!.calls.every(
      (call) =>
        Array.isArray(call) &&
        call[0] instanceof Uint32Array &&
        Number.isInteger(call[1]) &&
        call[1] > 0 &&
        call[1] <= call[0].length,
    )
  );
}
