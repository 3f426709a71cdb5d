/**
 * A file with parts of a model as a backend packs them, in the origin private file system: a worker reads it in place
 * and at once, while a part of a stored Blob comes through other processes. It is a copy, written as parts are read:
 * what is missing or damaged is read from the model again. Layout, little-endian:
 *
 *   0       MAGIC, 8 bytes, and the key, 32 bytes: a file with another key is emptied
 *   4096    a row of 40 bytes for each part: the page of 4096 bytes where it begins and its bytes (u32 each; 0: not
 *           there), and its checksum. A row is written after its part
 *   then    the parts, each from a whole page on, in the order in which they were written
 */
import { quickChecksum } from './checksum';
import { openModelCache, swapFileName, SWAP_FILES } from './model_cache';
import { equalBytes } from './sha256';
import { freeStorageBytes } from './storage_space';

const MAGIC = 'RIVSWAP1';
const PAGE = 4096;
const ROW = 40;
/** Bytes that stay free for downloads and conversations. */
const RESERVE = 1 << 30;

const pages = (bytes: number): number => Math.ceil(bytes / PAGE);

export class SwapFile {
  readonly #handle: FileSystemSyncAccessHandle;
  readonly #rows: Uint8Array<ArrayBuffer>;
  readonly #numbers: Uint32Array;
  /** the first free page, and how many the file may have */
  #next: number;
  #most: number;
  #closed = false;
  /** the browser takes no shared memory */
  #copies = false;
  /** parts that were written or checked since the file was opened: only their number is checked again */
  readonly #checked = new Set<number>();

  constructor(handle: FileSystemSyncAccessHandle, rows: Uint8Array<ArrayBuffer>, next: number, most: number) {
    this.#handle = handle;
    this.#rows = rows;
    this.#numbers = new Uint32Array(rows.buffer);
    this.#next = next;
    this.#most = most;
  }

  #row = (part: number): [page: number, bytes: number] => [
    this.#numbers[(part * ROW) / 4],
    this.#numbers[(part * ROW) / 4 + 1],
  ];

  /** Fills `bytes` with a part. @returns false if it is not there, is damaged, or has another length */
  read(part: number, bytes: Uint8Array): boolean {
    const [page, length] = this.#row(part);
    if (this.#closed || !length || length !== bytes.length) return false;
    try {
      const whole = this.#transfer('read', bytes, page * PAGE) === length;
      if (whole && (this.#checked.has(part) || this.#matches(part, bytes))) {
        this.#checked.add(part);
        return true;
      }
    } catch {
      this.close(); // the file is gone
    }
    this.#numbers.fill(0, (part * ROW) / 4, (part * ROW) / 4 + 2);
    return false;
  }

  #matches(part: number, bytes: Uint8Array): boolean {
    const sum = quickChecksum(bytes);
    return sum !== undefined && equalBytes(sum, this.#rows.subarray(part * ROW + 8, (part + 1) * ROW));
  }

  /** Keeps a part, if there is room: nothing depends on it. */
  write(part: number, bytes: Uint8Array): void {
    const page = this.#next; // never over another part: the row of one that was damaged may name any page
    const end = page + pages(bytes.length);
    const sum = quickChecksum(bytes);
    if (this.#closed || !sum || end > this.#most) return;
    try {
      if (this.#transfer('write', bytes, page * PAGE) !== bytes.length) throw new Error('too short');
      const row = this.#rows.subarray(part * ROW, (part + 1) * ROW);
      this.#numbers.set([page, bytes.length], (part * ROW) / 4);
      row.set(sum, 8);
      this.#handle.write(row, { at: PAGE + part * ROW });
      this.#next = end;
      this.#checked.add(part);
    } catch {
      this.#most = 0; // the storage is full: what is there stays
    }
  }

  #transfer(call: 'read' | 'write', bytes: Uint8Array, at: number): number {
    if (!this.#copies)
      try {
        return this.#handle[call](bytes as Uint8Array<ArrayBuffer>, { at });
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        this.#copies = true;
      }
    const copy = call === 'read' ? new Uint8Array(bytes.length) : bytes.slice();
    const count = this.#handle[call](copy, { at });
    if (call === 'read') bytes.set(copy);
    return count;
  }

  /** Lets others open or delete the file. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handle.close();
  }
}

/** a worker has one: when a model is loaded again after a loss, the former one is still open */
let latest: SwapFile | undefined;

/**
 * The swap file of a model, which no other tab can open meanwhile.
 * @param key SHA-256 of all that its parts depend on
 * @param parts how many there are at most
 * @param bytes of all parts, about
 * @throws what the browser throws where there is no such storage, or where another tab has the file open
 */
export async function openSwapFile(
  model: string,
  key: Uint8Array,
  { parts, bytes }: { parts: number; bytes: number },
): Promise<SwapFile> {
  const folder = await navigator.storage.getDirectory();
  await deleteOrphans(folder);
  latest?.close();
  const file = await folder.getFileHandle(swapFileName(model), { create: true });
  const handle = await file.createSyncAccessHandle();
  try {
    const first = 1 + pages(parts * ROW);
    const head = new Uint8Array(PAGE);
    head.set(new TextEncoder().encode(MAGIC));
    head.set(key, MAGIC.length);
    const rows = new Uint8Array(parts * ROW);
    const found = new Uint8Array(PAGE);
    handle.read(found, { at: 0 });
    // some versions of Safari answer these calls later
    if (!equalBytes(found, head) || handle.read(rows, { at: PAGE }) !== rows.length) {
      await handle.truncate(0);
      handle.write(rows.fill(0), { at: PAGE });
      handle.write(head, { at: 0 });
    }
    const size = await handle.getSize();
    const numbers = new Uint32Array(rows.buffer);
    let next = first;
    for (let i = 0; i < numbers.length; i += ROW / 4) {
      const [page, length] = numbers.subarray(i, i + 2);
      if (page < first || page * PAGE + length > size) numbers.fill(0, i, i + 2);
      else next = Math.max(next, page + pages(length));
    }
    const needed = Math.max(0, bytes - (next - first) * PAGE) + RESERVE;
    const free = (await freeStorageBytes(needed)) ?? Infinity;
    return (latest = new SwapFile(handle, rows, next, next + Math.floor((free - RESERVE) / PAGE)));
  } catch (error) {
    handle.close();
    throw error;
  }
}

/** Files whose models were deleted while a frozen tab had them open. */
async function deleteOrphans(folder: FileSystemDirectoryHandle): Promise<void> {
  const models = (await (await openModelCache())?.manifests()) ?? [];
  const known = new Set(models.map(({ id }) => swapFileName(id)));
  for await (const name of folder.keys())
    if (name.startsWith(SWAP_FILES) && !known.has(name)) await folder.removeEntry(name).catch(() => undefined);
}
