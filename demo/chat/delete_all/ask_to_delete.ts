/** The question before everything is deleted: what goes, and how much it is. */
import { createStore, get } from 'idb-keyval';
import { listModels } from '../../../src/index';
import type { ConversationStore } from '../conversations/store';
import { element } from '../dom';
import { bytes, count } from '../format';
import { ask } from '../models/ask';
import { ownPresets } from '../presets/presets';
import { CONFIRMED, leave } from './leave';

const some = (n: number, one: string, more = `${one}s`): string[] =>
  n > 0 ? [`${count(n)} ${n === 1 ? one : more}`] : [];
const PATIENCE_MS = 2000;
const lengthOf = (list: unknown): number => (Array.isArray(list) ? list.length : 0);

/** Values of a database. One that does not open has none. */
async function valuesOf(database: string, store: string, keys: string[]): Promise<unknown[]> {
  try {
    const opened = createStore(database, store);
    return await Promise.race([
      Promise.all(keys.map((key) => get<unknown>(key, opened))),
      new Promise<unknown[]>((go) => setTimeout(go, PATIENCE_MS, [])),
    ]);
  } catch {
    return [];
  }
}

/** What is stored, a line for each kind. Storage that is blocked has nothing. */
async function stored(
  conversations: Pick<ConversationStore, 'list'>,
): Promise<{ lines: string[]; conversations: number }> {
  const [all, models] = await Promise.all([conversations.list(), listModels().catch(() => [])]);
  const kept = all.filter(({ deleted }) => deleted === undefined).length;
  const modelBytes = models.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
  const [notes = 0, tasks = 0, timers = 0] = (
    await valuesOf('rivulet-chat-tools', 'values', ['notes', 'todos', 'timers'])
  ).map(lengthOf);
  const [measured] = await valuesOf('rivulet-bench', 'results', ['set']);
  let keys: string[] = [];
  try {
    keys = Object.keys(localStorage);
  } catch {
    // the browser blocks it
  }
  const registered = await navigator.serviceWorker?.getRegistration().catch(() => undefined);
  const lines = [
    ...some(kept, 'conversation'),
    ...some(keys.filter((key) => key.startsWith('rivulet-chat.draft.')).length, 'unsent message'),
    ...[[...some(notes, 'note'), ...some(tasks, 'task'), ...some(timers, 'timer')].join(', ')].filter(Boolean),
    ...some(models.length, 'model').map((text) => `${text}, ${bytes(modelBytes)}`),
    ...(keys.some((key) => key.startsWith('rivulet-chat.'))
      ? [['your settings', ...some(ownPresets().length, 'preset')].join(' and ')]
      : []),
    ...(measured ? ['results of the benchmark'] : []),
    ...(registered ? ['the files of this page, with which it opens without a network'] : []),
  ];
  return { lines, conversations: kept };
}

/** Asks, and goes to the page that deletes. */
export async function askToDeleteAll(conversations: Pick<ConversationStore, 'list'>): Promise<void> {
  const { lines, conversations: kept } = await stored(conversations);
  const { usage } = (await navigator.storage?.estimate?.().catch(() => undefined)) ?? {};
  const yes = await ask({
    title: 'Delete everything?',
    body: [
      ...(lines.length
        ? [
            `This page deletes all that it has stored on this device${usage ? `, ${bytes(usage)} in all` : ''}:`,
            element('ul', {}, ...lines.map((line) => element('li', {}, line))),
          ]
        : ['This page finds nothing that it has stored on this device. It looks again, and deletes what it finds.']),
      `This cannot be undone.${kept ? ' To keep a conversation, cancel and export it first.' : ''} Other open tabs of this page stop working.`,
      ...(navigator.onLine === false
        ? ['There is no network now. Without one, the page does not open again after this.']
        : []),
    ],
    yes: 'Delete everything',
    careful: true,
  });
  if (!yes) return;
  try {
    sessionStorage.setItem(CONFIRMED, '1');
  } catch {
    // delete.html asks once more
  }
  leave('');
}
