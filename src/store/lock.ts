/** Web Locks: who may download, who is reading. Where there are none (old browsers, insecure contexts) every call goes ahead at once. */

const manager = (): LockManager | undefined => globalThis.navigator?.locks;

export const readers = (model: string): string => `rivulet:read:${model}`;
export const downloader = (model: string): string => `rivulet:download:${model}`;

/** Runs `work` as the only holder of `name` among all tabs and workers of this origin. @throws AbortError while it waits */
export async function exclusive<T>(name: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const locks = manager();
  return locks ? await locks.request(name, { signal }, work) : await work();
}

/** The same if nobody holds `name` now, else undefined without `work` being run. */
export async function exclusiveNow<T>(name: string, work: () => Promise<T>): Promise<T | undefined> {
  const locks = manager();
  return locks ? await locks.request(name, { ifAvailable: true }, async (lock) => (lock ? await work() : undefined)) : await work();
}

/** Holds `name` together with other sharers until the returned function is called. @throws AbortError while it waits */
export function share(name: string, signal?: AbortSignal): Promise<() => void> {
  const locks = manager();
  if (!locks) return Promise.resolve(() => {});
  return new Promise((resolve, reject) => {
    locks.request(name, { mode: 'shared', signal }, () => new Promise<void>((release) => resolve(release))).catch(reject);
  });
}
