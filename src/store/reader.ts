/**
 * Reads values of an IndexedDB store in a worker that is soon replaced. A browser keeps the serialised form of every value it has given until its
 * collector comes by, and beside hundreds of megabytes of WASM memory, on a busy thread, that is after the whole model. It goes with its worker.
 * So it was measured in Chromium; elsewhere values are read in place, for Firefox may hang in a worker's own `new Worker`.
 *
 * The worker is started from source text, so that any bundle on any static host can have it, and hands the values over without a copy.
 */
const LIFE = 2; // reads of a worker
const PATIENCE = 5000; // milliseconds for a read
const IDLE = 200; // milliseconds

/** An upgrade would mean that the database is not there: it must not be made without its store. */
const source = (database: string, store: string): string => `
const opened = new Promise((resolve, reject) => {
  const request = indexedDB.open(${JSON.stringify(database)});
  request.onupgradeneeded = () => request.transaction.abort();
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
onmessage = async ({ data: { read, key } }) => {
  const answer = { read };
  try {
    const request = (await opened).transaction(${JSON.stringify(store)}).objectStore(${JSON.stringify(store)}).get(key);
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

interface Desk {
  worker: Worker;
  /** reads that it will still take */
  left: number;
  readonly waiting: Map<number, (answer: Answer) => void>;
}

/**
 * A function that reads the value of a key.
 * @param inPlace does the same in this thread: in other browsers, and whenever a worker fails
 */
export function createReader(database: string, store: string, inPlace: (key: IDBValidKey) => Promise<unknown>): (key: IDBValidKey) => Promise<unknown> {
  let able = typeof Worker !== 'undefined' && 'userAgentData' in navigator; // Chromium's engine, in a secure context
  let desk: Desk | undefined;
  const desks = new Set<Desk>();
  let url: string | undefined;
  let reads = 0;
  let idle: ReturnType<typeof setTimeout> | undefined;

  function open(): Desk {
    url ??= URL.createObjectURL(new Blob([source(database, store)], { type: 'text/javascript' }));
    const made: Desk = { worker: new Worker(url), left: LIFE, waiting: new Map() };
    made.worker.onmessage = ({ data }: MessageEvent<Answer>) => made.waiting.get(data.read)?.(data);
    made.worker.onerror = () => giveUp(made);
    desks.add(made);
    return made;
  }

  function end(gone: Desk): void {
    if (desk === gone) desk = undefined;
    if (desks.delete(gone)) gone.worker.terminate();
  }

  function giveUp(gone: Desk): void {
    able = false;
    end(gone);
    for (const [read, answer] of gone.waiting) answer({ read, failed: true });
  }

  function ask(key: IDBValidKey): Promise<Answer> {
    clearTimeout(idle);
    const at = (desk ??= open());
    if (--at.left === 0) desk = open(); // it starts while this one still reads
    const read = reads++;
    return new Promise((resolve) => {
      const late = setTimeout(() => giveUp(at), PATIENCE);
      at.waiting.set(read, (answer) => {
        clearTimeout(late);
        at.waiting.delete(read);
        if (at.left === 0 && at.waiting.size === 0) end(at);
        clearTimeout(idle);
        idle = setTimeout(() => desk?.waiting.size === 0 && end(desk), IDLE);
        resolve(answer);
      });
      at.worker.postMessage({ read, key });
    });
  }

  return async (key) => {
    if (!able) return inPlace(key);
    try {
      const { value, failed } = await ask(key);
      return failed ? await inPlace(key) : value;
    } catch {
      able = false; // no worker may be started here
      return inPlace(key);
    }
  };
}
