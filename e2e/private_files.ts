/** The origin private file system in Node, as a worker sees it, with its faults. */

export interface PrivateFiles {
  /** navigator.storage */
  storage: object;
  /** bytes that all files together may have */
  quota: number;
  /** names of files that another tab has open */
  lockedElsewhere: Set<string>;
  /** handles read and write no more */
  broken: boolean;
  refusesShared: boolean;
  names(): string[];
  /** the bytes of a file themselves */
  get(name: string): Uint8Array | undefined;
  set(name: string, bytes: Uint8Array): void;
}

const fault = (name: string): DOMException => new DOMException(name, name);

export function createPrivateFiles(): PrivateFiles {
  const all = new Map<string, Uint8Array>();
  const open = new Set<string>();
  const usage = (): number => [...all.values()].reduce((sum, { length }) => sum + length, 0);
  const check = (bytes?: Uint8Array): void => {
    if (files.broken) throw fault('InvalidStateError');
    if (files.refusesShared && bytes && !(bytes.buffer instanceof ArrayBuffer)) throw new TypeError('shared');
  };

  function resize(name: string, length: number): void {
    const before = all.get(name)!;
    if (usage() - before.length + length > files.quota) throw fault('QuotaExceededError');
    const bytes = new Uint8Array(length);
    bytes.set(before.subarray(0, length));
    all.set(name, bytes);
  }

  async function createSyncAccessHandle(name: string): Promise<object> {
    if (open.has(name) || files.lockedElsewhere.has(name)) throw fault('NoModificationAllowedError');
    open.add(name);
    return {
      read(target: Uint8Array, { at }: { at: number }): number {
        check(target);
        const bytes = all.get(name)!.subarray(at, at + target.length);
        target.set(bytes);
        return bytes.length;
      },
      write(source: Uint8Array, { at }: { at: number }): number {
        check(source);
        if (at + source.length > all.get(name)!.length) resize(name, at + source.length);
        all.get(name)!.set(source, at);
        return source.length;
      },
      truncate: (length: number): void => resize(name, length),
      getSize: (): number => all.get(name)!.length,
      close: (): void => void open.delete(name),
    };
  }

  const folder = {
    async getFileHandle(name: string) {
      if (!all.has(name)) all.set(name, new Uint8Array(0));
      return { createSyncAccessHandle: () => createSyncAccessHandle(name) };
    },
    async removeEntry(name: string) {
      if (open.has(name)) throw fault('NoModificationAllowedError');
      if (!all.delete(name)) throw fault('NotFoundError');
    },
    async *keys() {
      yield* [...all.keys()];
    },
  };
  const files: PrivateFiles = {
    storage: { getDirectory: async () => folder, estimate: async () => ({ quota: files.quota, usage: usage() }) },
    quota: 100 * 2 ** 30,
    lockedElsewhere: new Set(),
    broken: false,
    refusesShared: false,
    names: () => [...all.keys()].sort(),
    get: (name) => all.get(name),
    set: (name, bytes) => void all.set(name, bytes),
  };
  return files;
}
