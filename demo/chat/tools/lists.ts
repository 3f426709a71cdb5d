/** add_note and add_todo: entries that stay on this device until the user removes them. */
import { define, ToolError, type Entry, type PageHost, type PageTool, type Result } from './tool';

const MOST = 1000;

const isEntry = (value: unknown): value is Entry => {
  const { id, list, text, added } = (value ?? {}) as Partial<Entry>;
  return (
    typeof id === 'string' &&
    (list === 'notes' || list === 'todos') &&
    typeof text === 'string' &&
    Number.isFinite(added)
  );
};
const entriesIn = (stored: unknown): Entry[] => (Array.isArray(stored) ? stored.filter(isEntry) : []);

export const entries = async (host: PageHost, list: Entry['list']): Promise<Entry[]> =>
  entriesIn(await host.storage.get(list));

/** False if it is not there any more. */
export async function removeEntry(host: PageHost, { list, id }: Pick<Entry, 'list' | 'id'>): Promise<boolean> {
  let there = false;
  await host.storage.update(list, (old) => {
    const kept = entriesIn(old);
    there = kept.some((entry) => entry.id === id);
    return kept.filter((entry) => entry.id !== id);
  });
  return there;
}

let made = 0;

async function add(host: PageHost, list: Entry['list'], text: string, what: string): Promise<Result> {
  const entry: Entry = {
    list,
    id: `${list}-${host.now().toString(36)}-${(made++).toString(36)}${Math.random().toString(36).slice(2, 8)}`,
    text: text.trim(),
    added: host.now(),
  };
  let count = 0;
  await host.storage.update(list, (old) => {
    const kept = entriesIn(old);
    if (kept.length >= MOST) throw new ToolError(`There are ${MOST} ${what}s already. Remove one first.`);
    count = kept.length + 1;
    return [...kept, entry];
  });
  return {
    value: { saved: true, count },
    brief: 'ok',
    summary: `${what === 'note' ? 'Noted' : 'On your list'}: ${entry.text}`,
    entry,
  };
}

export const addNote: PageTool = {
  definition: define('add_note', 'Save a note', { text: { type: 'string', description: 'Text of the note' } }),
  title: 'Notes',
  icon: 'note',
  changes: 'lasting',
  run: ({ text }, host) => add(host, 'notes', String(text), 'note'),
};

export const addTodo: PageTool = {
  definition: define('add_todo', 'Add a task to the list', {
    task: { type: 'string', description: 'What is to be done' },
  }),
  title: 'Tasks',
  icon: 'task',
  changes: 'lasting',
  run: ({ task }, host) => add(host, 'todos', String(task), 'task'),
};
