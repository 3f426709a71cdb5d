/**
 * Reads values of an IndexedDB store in short-lived workers. A browser keeps the serialised form of each value until
 * garbage collection, which on a busy thread comes after the whole model. It is freed when its worker ends. This was
 * measured in Chromium. Other browsers read in this thread, because Firefox may hang in a worker's own `new Worker`.
 *
 * The worker starts from source text, so that it works in any bundle on any static host. It transfers the values
 * without a copy.
 */
const READS_PER_WORKER = 2;
const READ_TIMEOUT_MS = 5000;
const IDLE_MS = 200;

/** An upgrade means that the database does not exist; it must not be created without its store. */
const workerSource = (database: string, store: string): string => `
const opened = new Promise((resolve, reject) => {
  const request = indexedDB.open(${JSON.stringify(database)});
  request.onupgradeneeded = () => request.transaction.abort();
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
onmessage = async ({ data: { read, key } }) => {
  const answer = { read };
  try {
    const transaction = (await opened).transaction(${JSON.stringify(store)});
    const request = transaction.objectStore(${JSON.stringify(store)}).get(key);
    transaction.commit?.(); // as in model_cache.ts
    answer.value = await new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } catch (error) {
    answer.failed = true;
  }
  postMessage(answer, answer.value instanceof ArrayBuffer ? [answer.value] : []);
};
`;

interface Answer {
  read: number;
  value?: unknown;
  failed?: true;
}

interface ReaderWorker {
  worker: Worker;
  readsLeft: number;
  readonly waiting: Map<number, (answer: Answer) => void>;
}

/**
 * A function that reads the value of a key.
 * @param inPlace does the same in this thread, for other browsers and after a worker has failed
 */
export function createIndexedDbWorkerReader(
  database: string,
  store: string,
  inPlace: (key: IDBValidKey) => Promise<unknown>,
): (key: IDBValidKey) => Promise<unknown> {
  // Chromium's engine, in a secure context
  let useWorkers = typeof Worker !== 'undefined' && 'userAgentData' in navigator;
  let current: ReaderWorker | undefined;
  const workers = new Set<ReaderWorker>();
  let url: string | undefined;
  let reads = 0;
  let idle: ReturnType<typeof setTimeout> | undefined;

  function open(): ReaderWorker {
    url ??= URL.createObjectURL(new Blob([workerSource(database, store)], { type: 'text/javascript' }));
    const made: ReaderWorker = { worker: new Worker(url), readsLeft: READS_PER_WORKER, waiting: new Map() };
    made.worker.onmessage = ({ data }: MessageEvent<Answer>) => made.waiting.get(data.read)?.(data);
    made.worker.onerror = () => giveUp(made);
    workers.add(made);
    return made;
  }

  function end(old: ReaderWorker): void {
    if (current === old) current = undefined;
    if (workers.delete(old)) old.worker.terminate();
  }

  function giveUp(gone: ReaderWorker): void {
    useWorkers = false;
    end(gone);
    for (const [read, answer] of gone.waiting) answer({ read, failed: true });
  }

  function ask(key: IDBValidKey): Promise<Answer> {
    clearTimeout(idle);
    const at = (current ??= open());
    if (--at.readsLeft === 0) current = open(); // the next worker starts while this one reads
    const read = reads++;
    return new Promise((resolve) => {
      const timeout = setTimeout(() => giveUp(at), READ_TIMEOUT_MS);
      at.waiting.set(read, (answer) => {
        clearTimeout(timeout);
        at.waiting.delete(read);
        if (at.readsLeft === 0 && at.waiting.size === 0) end(at);
        clearTimeout(idle);
        idle = setTimeout(() => current?.waiting.size === 0 && end(current), IDLE_MS);
        resolve(answer);
      });
      at.worker.postMessage({ read, key });
    });
  }

  return async (key) => {
    if (!useWorkers) return inPlace(key);
    try {
      const { value, failed } = await ask(key);
      return failed ? await inPlace(key) : value;
    } catch {
      useWorkers = false; // the page may not start workers
      return inPlace(key);
    }
  };
}
