import { expect, test } from 'vitest';
import { addNote, addTodo, entries, removeEntry } from './lists';
import { memoryHost } from './memory_host';
import { LONGEST_SPEECH, named, navigate, readAloud, searchPage, setTheme, setVolume, zoom } from './page_tools';
import type { PageTool, Result } from './tool';

const summary = async (tool: PageTool, given: Record<string, unknown>, host = memoryHost()): Promise<string> =>
  ((await tool.run(given, host)) as Result).summary;

test('names are found by their words', () => {
  const names = ['Models on this device', 'Settings', 'Chat', 'Chat history'];
  expect(
    ['settings', 'the Settings section', 'CHAT', 'history', 'models', 'this device'].map((name) => named(names, name)),
  ).toEqual(['Settings', 'Settings', 'Chat', 'Chat history', 'Models on this device', 'Models on this device']);
  for (const name of ['', '!', 'set', 'prices', '__proto__', 'x'.repeat(10_000)])
    expect(named(names, name)).toBeUndefined();
  expect(named(['Old chat', 'New chat'], 'chat')).toBeUndefined();
});

test.each<[string, string]>([
  ['dark', 'dark'],
  ['Dark mode', 'dark'],
  ['the light theme', 'light'],
  ['SYSTEM', 'system'],
  ['night', 'dark'],
  ['auto', 'system'],
  ['Dunkelmodus', 'dark'],
  ['dunklen Modus', 'dark'],
  ['hell', 'light'],
])('theme %s', async (given, theme) => {
  const host = memoryHost();
  await setTheme.run({ theme: given }, host);
  expect(host.log).toEqual([`theme ${theme}`]);
});

test('a theme that is not there is told with those that are', async () => {
  for (const theme of ['ocean', 'constructor', ''])
    await expect((async () => setTheme.run({ theme }, memoryHost()))()).rejects.toThrow(
      `There is no theme "${theme}". The themes are: light, dark, system.`,
    );
});

test('volume and text size have bounds, and say what was before', async () => {
  const host = memoryHost();
  expect(setVolume.run({ percent: 30 }, host)).toEqual({
    value: { percent: 30, before: 50 },
    brief: 'ok',
    summary: 'The volume of this page is 30 percent.',
  });
  expect(zoom.run({ percent: 150 }, host)).toEqual({
    value: { percent: 150, before: 100 },
    brief: 'ok',
    summary: 'The text size is 150 percent.',
  });
  expect(await summary(setVolume, { percent: 0 }, host)).toBe('The sounds of this page are off.');
  expect(host.log).toEqual(['volume 30', 'zoom 150', 'volume 0']);
  for (const percent of [-1, 101, Number.NaN, Infinity])
    expect(() => setVolume.run({ percent }, host)).toThrow(/It can be 0 to 100 percent/);
  for (const percent of [49, 201, 0]) expect(() => zoom.run({ percent }, host)).toThrow(/It can be 50 to 200 percent/);
  expect(host.log).toHaveLength(3);
});

test('search counts places', async () => {
  expect(await summary(searchPage, { query: 'be' })).toBe('“be” is in 2 places on this page.');
  expect(await summary(searchPage, { query: 'or' })).toBe('“or” is in one place on this page.');
  expect(await summary(searchPage, { query: 'tea' })).toBe('“tea” is nowhere on this page.');
  await expect(summary(searchPage, { query: 'x'.repeat(201) })).rejects.toThrow(/At most 200/);
});

test('sections are opened, unknown ones are told', async () => {
  const host = memoryHost();
  expect(await summary(navigate, { section: 'models' }, host)).toBe('Here is: Models on this device.');
  expect(await summary(navigate, { section: 'die Einstellungen' }, host)).toBe('Here is: Settings.');
  expect(await summary(navigate, { section: 'preferences' }, host)).toBe('Here is: Settings.');
  expect(host.log).toEqual(['open Models on this device', 'open Settings', 'open Settings']);
  await expect(summary(navigate, { section: 'prices' }, host)).rejects.toThrow(
    'There is no section "prices". The sections are: Models on this device, Settings, Chat.',
  );
});

test('reading aloud', async () => {
  const host = memoryHost();
  for (const section of [
    'last answer',
    'the last answer',
    'your reply',
    'previous message',
    'letzte Antwort',
    'deine letzte Antwort',
  ])
    expect(await summary(readAloud, { section }, host)).toBe('Reading aloud: last answer.');
  expect(new Set(host.log)).toEqual(new Set(['speak An answer.']));
  await expect(summary(readAloud, { section: 'Settings' }, host)).rejects.toThrow(
    'There is no text to read in: Settings.',
  );
  await expect(summary(readAloud, { section: 'prices' }, host)).rejects.toThrow(
    'There is no part "prices" to read. The parts are: last answer, Settings.',
  );
  await expect(
    summary(readAloud, { section: 'last answer' }, memoryHost(undefined, { speak: async () => 'no voice' })),
  ).rejects.toThrow(/No voice is installed/);
  const long = memoryHost(undefined, { textOf: () => 'x'.repeat(9000) });
  await summary(readAloud, { section: 'last answer' }, long);
  expect(long.log).toEqual([`speak ${'x'.repeat(LONGEST_SPEECH)}`]);
});

test('notes and tasks are kept, and taken back', async () => {
  const host = memoryHost();
  const { entry } = (await addNote.run({ text: ' the code is 1234 ' }, host)) as Result;
  expect(await summary(addNote, { text: 'buy milk' }, host)).toBe('Noted: buy milk');
  expect(await summary(addTodo, { task: 'water the plants' }, host)).toBe('On your list: water the plants');
  const reloaded = host.again();
  expect((await entries(reloaded, 'notes')).map(({ text }) => text)).toEqual(['the code is 1234', 'buy milk']);
  expect((await entries(reloaded, 'todos')).map(({ text }) => text)).toEqual(['water the plants']);
  expect(await removeEntry(reloaded, entry!)).toBe(true);
  expect(await removeEntry(reloaded, entry!)).toBe(false);
  expect((await entries(host, 'notes')).map(({ text }) => text)).toEqual(['buy milk']);
});

test('notes written at once are all kept; damaged storage is an empty list', async () => {
  const host = memoryHost();
  host.stored.set('notes', { not: 'a list' });
  await Promise.all(Array.from({ length: 10 }, (_, i) => addNote.run({ text: `note ${i}` }, host)));
  expect(new Set((await entries(host, 'notes')).map(({ id }) => id)).size).toBe(10);
});
