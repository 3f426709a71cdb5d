/** Deletes what the chat page and the library have stored. Each part is tried, whatever becomes of the others. */

const PREFIX = 'rivulet-chat.';
const DATABASES = [
  'rivulet-chat-conversations',
  'rivulet-chat-pictures',
  'rivulet-chat-tools',
  'rivulet-bench',
  'rivulet',
  'rivulet-devices',
];
/** of the library's locks: a tab that is frozen may still have a model open */
const LOCKS = 'rivulet:';
const PATIENCE_MS = 8000;

const within = <T>(work: Promise<T>): Promise<T> =>
  Promise.race([
    work,
    new Promise<never>((_, reject) => setTimeout(() => reject(new Error('it takes too long')), PATIENCE_MS)),
  ]);
const done = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

function deleteKeys(storage: Storage): void {
  for (const key of Object.keys(storage)) if (key.startsWith(PREFIX)) storage.removeItem(key);
}

/** The database, or undefined if there is none: opening must not create it. */
function open(name: string): Promise<IDBDatabase | undefined> {
  let absent = false;
  const request = indexedDB.open(name);
  request.onupgradeneeded = () => {
    absent = true;
    request.transaction?.abort();
  };
  return done(request).catch((error: unknown) => {
    if (absent) return undefined;
    throw error;
  });
}

/** Emptied first: that works also while another tab has it open. */
async function deleteDatabase(name: string, mayWait: boolean): Promise<void> {
  const database = await open(name);
  if (!database) return;
  try {
    const stores = [...database.objectStoreNames];
    const transaction = stores.length ? database.transaction(stores, 'readwrite') : undefined;
    await Promise.all(stores.map((store) => done(transaction!.objectStore(store).clear())));
  } finally {
    database.close();
  }
  // while another tab has it open, the deletion would wait, and the next visit would wait for the deletion
  if (mayWait) await done(indexedDB.deleteDatabase(name));
}

async function deleteCaches(scope: string): Promise<void> {
  for (const name of await caches.keys()) if (name.startsWith(`rivulet ${scope} `)) await caches.delete(name);
}

/** Copies of weights that the library keeps in the origin private file system. */
async function deletePrivateFiles(): Promise<void> {
  const folder = await navigator.storage?.getDirectory?.().catch(() => undefined); // private windows refuse it
  if (!folder) return;
  for await (const name of folder.keys())
    if (name.startsWith('rivulet-')) await folder.removeEntry(name, { recursive: true });
}

/** @returns what could not be deleted */
export async function deleteStored(): Promise<string[]> {
  const failed: string[] = [];
  const attempt = async (what: string, work: () => unknown): Promise<void> => {
    try {
      await within(Promise.resolve(work()));
    } catch {
      failed.push(what);
    }
  };
  const scope = new URL('./', location.href).href;
  await attempt('the settings and unsent messages', () => deleteKeys(localStorage));
  await attempt('what this tab remembers', () => deleteKeys(sessionStorage));
  const held = (await navigator.locks?.query().catch(() => undefined))?.held ?? [];
  const alone = !held.some(({ name }) => name?.startsWith(LOCKS));
  for (const name of DATABASES) await attempt(`the database “${name}”`, () => deleteDatabase(name, alone));
  await attempt('the copies of experts', deletePrivateFiles);
  // an insecure page has neither
  if ('serviceWorker' in navigator)
    await attempt('the service worker', async () => {
      for (const registration of await navigator.serviceWorker.getRegistrations())
        if (registration.scope === scope) await registration.unregister();
    });
  if ('caches' in globalThis) await attempt('the stored page', () => deleteCaches(scope));
  return failed;
}
