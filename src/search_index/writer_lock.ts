/** One tab writes to an index, until it closes it or is closed itself. Without Web Locks revisions alone decide. */

export interface WriterLock {
  /** @returns whether this tab may write */
  take(): Promise<boolean>;
  release(): void;
}

export function createWriterLock(name: string): WriterLock {
  const locks = globalThis.navigator?.locks as LockManager | undefined;
  let release: (() => void) | undefined;
  return {
    async take() {
      if (!locks || release) return true;
      return new Promise<boolean>((resolve, reject) => {
        locks
          .request(`rivulet-search-index:${name}`, { ifAvailable: true }, (lock) => {
            resolve(lock !== null);
            return lock ? new Promise<void>((end) => (release = end)) : undefined;
          })
          .catch(reject);
      });
    },
    release() {
      release?.();
      release = undefined;
    },
  };
}
