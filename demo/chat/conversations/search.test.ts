import { expect, test } from 'vitest';
import { newConversation, type Conversation } from './conversation';
import { dayWord } from './list';
import { createSearch, hitIn, searchable } from './search';
import type { ConversationStore } from './store';

const conversation = (id: string, title: string, ...contents: string[]): Conversation => ({
  ...newConversation(),
  id,
  title,
  messages: Object.fromEntries(
    contents.map((content, i) => [
      `m${i}`,
      { id: `m${i}`, parent: i ? `m${i - 1}` : null, role: 'user', content, created: i, revision: 0 },
    ]),
  ),
});
const find = (given: Conversation, query: string): ReturnType<typeof hitIn> =>
  hitIn(given.id, searchable(given), query);

test('titles and texts, in any case, every word; with the words around', () => {
  const given = conversation('c', 'Packing list', 'What do I need for a week\nin Lisbon in November?');
  expect(find(given, 'PACKING')).toEqual({ id: 'c' });
  expect(find(given, 'lisbon')?.around).toEqual({
    before: '…do I need for a week in ',
    found: 'Lisbon',
    after: ' in November?',
  });
  expect(find(given, 'week lisbon')?.around?.found).toBe('week');
  expect(find(given, 'list november')?.around?.found).toBe('November');
  expect(find(given, 'porto')).toBeUndefined();
  expect(find(given, '  ')).toBeUndefined();
});

test('a dot stands between the end of a message and the next one', () => {
  expect(find(conversation('c', 'x', 'is it over, please', 'The timer runs.'), 'timer')?.around?.before).toBe(
    'is it over, please · The ',
  );
});

test('letters that become longer in lower case do not shift the words', () => {
  const given = conversation('c', 'x', 'İİİ straße here');
  expect(find(given, 'straße')?.around?.found).toBe('straße');
});

test('deleted messages are not found, attached files are', () => {
  const given = conversation('c', 'x', 'secret', 'open');
  given.messages.m0.deleted = true;
  given.messages.m1.files = [{ name: 'notes.txt', text: 'in a file' }];
  expect(find(given, 'secret')).toBeUndefined();
  expect(find(given, 'in a file')).toBeDefined();
  expect(find(given, 'notes.txt')).toBeDefined();
});

test('1,000 conversations: a later search is quick, and what has changed is found anew', async () => {
  const all = Array.from({ length: 1000 }, (_, i) =>
    conversation(
      `c${i}`,
      `Title ${i}`,
      ...Array.from({ length: 20 }, (_, m) => `message ${m} of conversation ${i} ${'with some words '.repeat(10)}`),
    ),
  );
  let reads = 0;
  const store = {
    async *all() {
      reads++;
      yield all;
    },
    read: async (id: string) => all.find((each) => each.id === id),
  } as unknown as ConversationStore;
  const search = createSearch(store);
  expect((await search.find('conversation 77'))?.has('c77')).toBe(true);
  const before = process.cpuUsage();
  expect((await search.find('nothing like it'))?.size).toBe(0);
  const { user } = process.cpuUsage(before);
  expect(user / 1000).toBeLessThan(300);
  all[5].messages.m0.content = 'nothing like it';
  search.changed('c5');
  expect([...((await search.find('nothing like it'))?.keys() ?? [])]).toEqual(['c5']);
  expect(reads).toBe(1);
  // an earlier search that ends later is not shown
  const other = createSearch(store);
  const [early, late] = await Promise.all([other.find('title'), other.find('title 9')]);
  expect(early).toBeUndefined();
  expect(late?.size).toBeGreaterThan(0);
});

test('days are those of the calendar', () => {
  const now = new Date(2026, 2, 10, 0, 30).getTime();
  const at = (day: number, hour: number): string => dayWord(new Date(2026, 2, day, hour).getTime(), now);
  expect([at(10, 0), at(9, 23), at(9, 0), at(8, 23), at(1, 1)]).toEqual([
    'Today',
    'Yesterday',
    'Yesterday',
    'Earlier',
    'Earlier',
  ]);
});
