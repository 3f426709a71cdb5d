import 'fake-indexeddb/auto';
import { IDBFactory, IDBTransaction } from 'fake-indexeddb';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { newConversation, newId, type Conversation } from './conversation';
import { createConversationStore, type ConversationStore } from './store';

let failures: boolean[];
let name = 0;
const open = (database = `test ${name}`): ConversationStore =>
  createConversationStore({ onFailing: (failing) => failures.push(failing), database });

/** Adds a message to a copy, as a tab does. */
function say(to: Conversation, content: string): Conversation {
  const id = newId();
  to.messages[id] = { id, parent: to.leaf, role: 'user', content, created: Date.now(), revision: 0 };
  return Object.assign(to, { leaf: id, updated: Date.now(), chosen: Date.now() });
}
const texts = (given: Conversation | undefined): string[] =>
  Object.values(given?.messages ?? {})
    .map(({ content }) => content)
    .sort();

beforeEach(() => {
  vi.stubGlobal('indexedDB', new IDBFactory());
  failures = [];
  name++;
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

test('a conversation is written, listed, read, changed and removed', async () => {
  const store = open();
  const made = say({ ...newConversation(), title: 'Hello' }, 'Hello');
  await store.write(made);
  expect(await store.list()).toEqual([{ id: made.id, title: 'Hello', updated: made.updated }]);
  expect(await store.read(made.id)).toEqual(made);
  await store.change(made.id, (stored) => ({ ...stored, title: 'Other', named: 1 }));
  expect(await store.list()).toMatchObject([{ title: 'Other' }]);
  await store.remove(made.id);
  expect(await store.list()).toEqual([]);
  expect(await store.read(made.id)).toBeUndefined();
  expect(failures).toEqual([]);
});

test('a transaction ends without waiting for an answer, so that a frozen tab holds up no other', async () => {
  const store = open();
  const made = say(newConversation(), 'Hello');
  await store.list(); // creates the database
  const begun = vi.spyOn(IDBDatabase.prototype, 'transaction');
  const ended = vi.spyOn(IDBTransaction.prototype, 'commit');
  await store.write(made);
  await store.read(made.id);
  await store.list();
  for await (const group of store.all()) expect(group.length).toBeLessThan(2);
  await store.change(made.id, (stored) => ({ ...stored, title: 'Other', named: 1 }));
  await store.change('not there', (stored) => stored);
  await store.remove(made.id);
  expect(begun.mock.calls.length).toBeGreaterThan(8);
  expect(ended.mock.calls.length).toBe(begun.mock.calls.length);
});

test('two tabs on one conversation, writing at the same time, lose nothing; each is told of the other’s changes', async () => {
  const [left, right] = [open(), open()];
  const told: string[] = [];
  right.onChange(({ id }, byThisTab) => void (byThisTab || told.push(id)));
  const made = say(newConversation(), 'first');
  await left.write(made);
  const [mine, other] = [structuredClone(made), structuredClone(made)];
  const wanted = ['first'];
  const writes: Promise<unknown>[] = [];
  for (let action = 0; action < 100; action++) {
    wanted.push(`message ${action}`);
    if (action % 2) writes.push(left.write(say(mine, `message ${action}`)));
    else writes.push(right.write(say(other, `message ${action}`)));
    if (action % 7 === 0) await writes.at(-1);
  }
  await Promise.all(writes);
  expect(texts(await left.read(made.id))).toEqual(wanted.sort());
  await vi.waitFor(() => expect(told).toContain(made.id));
});

test('tabs on different conversations do not touch each other', async () => {
  const [left, right] = [open(), open()];
  const [mine, other] = [newConversation(), newConversation()];
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => [
      left.write(say(mine, `left ${i}`)),
      right.write(say(other, `right ${i}`)),
    ]).flat(),
  );
  expect(texts(await right.read(mine.id))).toHaveLength(20);
  expect(texts(await left.read(other.id))).toHaveLength(20);
});

test('all conversations come in groups, and damaged records are left out', async () => {
  const store = open();
  for (let i = 0; i < 7; i++) await store.write(say(newConversation(), `text ${i}`));
  const groups: Conversation[][] = [];
  for await (const group of store.all(3)) groups.push(group);
  expect(groups.map(({ length }) => length)).toEqual([0, 3, 3, 1]);
  const [{ id }] = groups.flat();
  await new Promise<void>((resolve, reject) => {
    const opening = indexedDB.open(`test ${name}`);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const writing = opening.result.transaction('conversations', 'readwrite');
      writing.objectStore('conversations').put({ id, messages: 'damaged' }, `conversation/${id}`);
      writing.objectStore('conversations').put(7, 'summary/x');
      writing.oncomplete = () => resolve();
    };
  });
  let found = 0;
  for await (const group of store.all()) found += group.length;
  expect(found).toBe(6);
  expect(await store.read(id)).toBeUndefined();
  expect(await store.list()).toHaveLength(7);
});

describe('where nothing can be stored', () => {
  test('the conversation goes on in memory, and is stored as soon as that works', async () => {
    vi.stubGlobal('indexedDB', {
      open: () => {
        throw new DOMException('blocked', 'SecurityError');
      },
    });
    const store = open();
    const made = say({ ...newConversation(), title: 'T' }, 'kept');
    expect(await store.list()).toEqual([]);
    expect(await store.write(made)).toBe(made);
    expect(failures).toEqual([true]);
    expect(await store.list()).toMatchObject([{ id: made.id }]);
    expect(texts(await store.read(made.id))).toEqual(['kept']);
    let found = 0;
    await expect(
      (async () => {
        for await (const group of store.all()) found += group.length;
      })(),
    ).rejects.toThrow();
    expect(found).toBe(1);
    await store.change(made.id, (stored) => ({ ...stored, title: 'U', named: 1 }));
    expect(await store.list()).toMatchObject([{ title: 'U' }]);

    vi.stubGlobal('indexedDB', new IDBFactory());
    await store.write(say(made, 'later'));
    expect(failures).toEqual([true, false]);
    expect(texts(await open().read(made.id))).toEqual(['kept', 'later']);
  });

  test('storage that was cleared meanwhile gets the whole conversation again', async () => {
    const store = open();
    const made = say(newConversation(), 'one');
    await store.write(made);
    await store.remove(made.id);
    await store.write(say(made, 'two'));
    expect(texts(await store.read(made.id))).toEqual(['one', 'two']);
  });

  test('what cannot be copied is not half stored', async () => {
    const store = open();
    const made = say(newConversation(), 'one');
    await store.write(made);
    const bad = structuredClone(made);
    Object.assign(say(bad, 'two').messages[bad.leaf!], { note: () => undefined });
    await store.write(bad);
    expect(failures).toEqual([true]);
    expect(texts(await open().read(made.id))).toEqual(['one']);
    expect(await open().list()).toHaveLength(1);
  });
});
