/**
 * Web Locks between tabs: one downloads a model, several read it. Without Web Locks (old browsers, insecure contexts)
 * calls run at once.
 *
 * A frozen tab keeps its locks. So those who wait for a lock ping its holders, and break it if none answers. The broken
 * holder goes on when it resumes, as in browsers without locks: chunks carry hashes, so that two writers cannot damage
 * a model.
 */
const PING_MS = 2000;
/** 8 s without an answer: a worker that is alive answers within milliseconds */
const MAX_UNANSWERED = 3;

const manager = (): LockManager | undefined => globalThis.navigator?.locks;

export const readLockName = (model: string): string => `rivulet:read:${model}`;
export const downloadLockName = (model: string): string => `rivulet:download:${model}`;

/** Runs `work` while this lock is held. @throws AbortError while it waits */
async function withLock<T>(name: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  const locks = manager();
  if (!locks) return await work();
  const channel = new BroadcastChannel(name);
  let working: Promise<T> | undefined;
  let unanswered = 0;
  // 1 asks the holders, 0 is their answer
  channel.onmessage = ({ data }) => {
    if (!data) unanswered = 0;
    else if (working) channel.postMessage(0);
  };
  const timer = setInterval(() => {
    if (working) return;
    channel.postMessage(1);
    // the next in the queue gets a broken lock
    if (++unanswered > MAX_UNANSWERED) void locks.request(name, { steal: true }, () => void (unanswered = 0));
  }, PING_MS);
  try {
    return await locks.request(name, options, () => (working = work()));
  } catch (error) {
    if (working) return await working;
    throw error;
  } finally {
    clearInterval(timer);
    channel.close();
  }
}

/** Runs `work` while no other tab or worker of this origin holds `name`. @throws AbortError while it waits */
export const withExclusiveLock = <T>(name: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> =>
  withLock(name, { signal }, work);

/** Runs `work`, which is short, if `name` is free now; otherwise returns undefined. */
export async function tryExclusiveLock<T>(name: string, work: () => Promise<T>): Promise<T | undefined> {
  const locks = manager();
  return locks
    ? await locks.request(name, { ifAvailable: true }, async (lock) => (lock ? await work() : undefined))
    : await work();
}

/**
 * Holds `name` as one of several readers until the returned function is called. Its promise resolves when the browser
 * has released the lock, which is later than the call: only then can another call get it. @throws AbortError while it
 * waits
 */
export const acquireSharedLock = (name: string, signal?: AbortSignal): Promise<() => Promise<void>> =>
  new Promise((resolve, reject) => {
    const held = withLock(
      name,
      { mode: 'shared', signal },
      () => new Promise<void>((release) => resolve(() => (release(), held))),
    ).catch(reject);
  });

const loadedLockName = (model: string): string => `rivulet:loaded:${model}:`;

/** Tells other tabs that this worker has a model in memory, as long as it lives. */
export const announceModel = (model: string, memory: number): unknown =>
  manager()
    ?.request(loadedLockName(model) + memory, { mode: 'shared' }, () => new Promise(() => undefined))
    .catch(() => undefined); // a sandboxed page has no locks

/** Where a model is in memory on this site, in all tabs. */
export interface ModelCopies {
  /** how often */
  count: number;
  /** bytes of the largest of them; about so much takes another one */
  memory: number;
}

export async function copiesOf(model: string): Promise<ModelCopies> {
  const { held = [] } =
    (await manager()
      ?.query()
      .catch(() => undefined)) ?? {};
  const bytes = held.map(({ name }) => Number(name!.split(loadedLockName(model))[1])).filter(Boolean);
  return { count: bytes.length, memory: Math.max(0, ...bytes) };
}
