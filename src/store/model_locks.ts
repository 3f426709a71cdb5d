/** Web Locks between tabs: one downloads a model, several read it. Without Web Locks (old browsers, insecure contexts) calls run at once. */

const manager = (): LockManager | undefined => globalThis.navigator?.locks;

export const readLockName = (model: string): string => `rivulet:read:${model}`;
export const downloadLockName = (model: string): string => `rivulet:download:${model}`;

/** Runs `work` while no other tab or worker of this origin holds `name`. @throws AbortError while it waits */
export async function withExclusiveLock<T>(name: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const locks = manager();
  return locks ? await locks.request(name, { signal }, work) : await work();
}

/** Runs `work` if `name` is free now; otherwise returns undefined. */
export async function tryExclusiveLock<T>(name: string, work: () => Promise<T>): Promise<T | undefined> {
  const locks = manager();
  return locks ? await locks.request(name, { ifAvailable: true }, async (lock) => (lock ? await work() : undefined)) : await work();
}

/** Holds `name` as one of several readers until the returned function is called. @throws AbortError while it waits */
export function acquireSharedLock(name: string, signal?: AbortSignal): Promise<() => void> {
  const locks = manager();
  if (!locks) return Promise.resolve(() => {});
  return new Promise((resolve, reject) => {
    locks.request(name, { mode: 'shared', signal }, () => new Promise<void>((release) => resolve(release))).catch(reject);
  });
}
