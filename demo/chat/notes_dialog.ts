/** The dialog with the notes, tasks and running timers that tools have left on this device. */
import { element, find } from './dom';
import { explain } from './explain';
import {
  cancelTimer,
  entries,
  removeEntry,
  runningTimers,
  timeOf,
  type Entry,
  type PageHost,
  type Timer,
} from './tools/index';

interface Line {
  text: string;
  /** more about it, in a line of its own */
  detail?: string;
  label: string;
  remove(): Promise<unknown>;
}

/** 'Ends today at 12:41' */
function endOf({ kind, end }: Timer): string {
  const day =
    new Date(end).toDateString() === new Date().toDateString()
      ? 'today'
      : `on ${new Date(end).toLocaleDateString('en', { weekday: 'long' })}`;
  return `${kind === 'timer' ? 'Ends' : 'Rings'} ${day} at ${timeOf(end)}`;
}

export function createNotesDialog(host: PageHost, removed: (entry: Entry) => void): { open(): void } {
  const dialog = find('notes', HTMLDialogElement);
  const status = find('notes-status', HTMLElement);
  const section = (title: string, none: string, lines: Line[]): HTMLElement[] => {
    const items = lines.map(({ text, detail, label, remove }) => {
      const button = element('button', { type: 'button', ariaLabel: `${label}: ${text}` }, label);
      button.addEventListener('click', async () => {
        try {
          await remove();
          await show();
          status.textContent = `${label === 'Delete' ? 'Deleted' : 'Cancelled'}: ${text}`;
        } catch (error) {
          status.textContent = explain(error).text;
        }
        dialog.querySelector<HTMLButtonElement>('.close')?.focus();
      });
      return element(
        'li',
        { className: 'entry' },
        element('div', {}, element('span', { dir: 'auto' }, text), ...(detail ? [element('small', {}, detail)] : [])),
        button,
      );
    });
    return [
      element('h3', {}, title),
      items.length ? element('ul', { ariaLabel: title }, ...items) : element('p', {}, none),
    ];
  };
  const listed = async (list: Entry['list']): Promise<Line[]> =>
    (await entries(host, list)).map((entry) => ({
      text: entry.text,
      label: 'Delete',
      async remove() {
        await removeEntry(host, entry);
        removed(entry);
      },
    }));

  async function show(): Promise<void> {
    const lists = find('notes-lists', HTMLElement);
    try {
      const timers = (await runningTimers(host)).map((timer): Line => ({
        text: timer.title,
        detail: endOf(timer),
        label: 'Cancel',
        remove: () => cancelTimer(host, timer.id),
      }));
      lists.replaceChildren(
        ...section('Notes', 'There are no notes.', await listed('notes')),
        ...section('Tasks', 'There are no tasks.', await listed('todos')),
        ...section('Timers and alarms', 'There are no timers and alarms.', timers),
      );
    } catch (error) {
      lists.replaceChildren(element('p', {}, explain(error).text));
    }
  }

  return {
    open() {
      status.textContent = '';
      if (!dialog.open) dialog.showModal();
      void show();
    },
  };
}
