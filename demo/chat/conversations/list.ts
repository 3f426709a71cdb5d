/**
 * The list of conversations in the side bar: the newest first, in groups by day, with a search, a menu for each, and
 * import and export of all.
 */
import { element, find } from '../dom';
import { icon, iconButton } from '../icons';
import type { Conversation, Summary } from './conversation';
import type { Hit, Search } from './search';

export interface ListActions {
  open(id: string): void;
  rename(id: string, title: string): void;
  remove(summary: Summary): void;
  exportOne(id: string, form: 'markdown' | 'json'): void;
  exportAll(): void;
  importFiles(files: File[]): void;
}

export interface ConversationList {
  show(summaries: readonly Summary[], openId: string): void;
  /** A conversation has changed: a search that is shown is done again. */
  searchAgain(): void;
}

const FIRST = 80;
const SEARCH_MS = 150;
const DAY_MS = 86_400_000;

/** 'Today', 'Yesterday', 'Earlier'. By the calendar, not by 24 hours. */
export function dayWord(time: number, now: number): 'Today' | 'Yesterday' | 'Earlier' {
  const today = new Date(now).setHours(0, 0, 0, 0);
  if (time >= today) return 'Today';
  // at noon, so that a day of 23 or 25 hours does not matter
  return time >= new Date(today - DAY_MS / 2).setHours(0, 0, 0, 0) ? 'Yesterday' : 'Earlier';
}

export function createConversationList(actions: ListActions, search: Search): ConversationList {
  const list = find('conversation-list', HTMLUListElement);
  const field = find('conversation-search', HTMLInputElement);
  const none = find('conversation-none', HTMLElement);
  let summaries: readonly Summary[] = [];
  let openId = '';
  let hits: Map<string, Hit> | undefined;
  let length = FIRST;
  let renaming: string | undefined;

  const menu = createMenu();

  function conversationItem(summary: Summary): HTMLLIElement {
    const { id, title } = summary;
    const shown = element('span', { className: 'conversation-title', dir: 'auto' }, title);
    const around = hits?.get(id)?.around;
    const open = element('button', { type: 'button', className: 'conversation-open', title }, shown);
    if (around)
      open.append(
        element(
          'span',
          { className: 'conversation-hit', dir: 'auto' },
          around.before,
          element('mark', {}, around.found),
          around.after,
        ),
      );
    if (id === openId) open.ariaCurrent = 'true';
    open.addEventListener('click', () => actions.open(id));
    const more = iconButton('ellipsis', `Options for “${title}”`, () =>
      menu.open(more, [
        ['pencil', 'Rename', () => rename(summary)],
        ['file-text', 'Export as Markdown', () => actions.exportOne(id, 'markdown')],
        ['file-json', 'Export as JSON', () => actions.exportOne(id, 'json')],
        ['trash-2', 'Delete', () => actions.remove(summary)],
      ]),
    );
    more.ariaHasPopup = 'menu';
    const item = element(
      'li',
      { className: 'conversation' },
      open,
      element('span', { className: 'conversation-actions' }, more),
    );
    item.dataset.id = id;
    return item;
  }

  function rename({ id, title }: Summary): void {
    const item = itemOf(id);
    if (!item) return;
    renaming = id;
    const input = element('input', {
      type: 'text',
      value: title,
      maxLength: 200,
      ariaLabel: `New name for “${title}”`,
      className: 'conversation-rename',
    });
    const end = (save: boolean, byKey: boolean): void => {
      if (renaming !== id) return;
      renaming = undefined;
      const name = input.value.trim();
      if (save && name && name !== title) actions.rename(id, name);
      render();
      if (byKey) focusOn(id);
    };
    input.addEventListener('keydown', (event) => {
      if (event.isComposing || (event.key !== 'Enter' && event.key !== 'Escape')) return;
      event.preventDefault();
      event.stopPropagation();
      end(event.key === 'Enter', true);
    });
    input.addEventListener('blur', () => end(true, false));
    item.replaceChildren(input);
    input.focus();
    input.select();
  }

  const itemOf = (id: string): HTMLElement | null => list.querySelector<HTMLElement>(`[data-id="${CSS.escape(id)}"]`);
  const focusOn = (id: string): void => itemOf(id)?.querySelector<HTMLElement>('.conversation-open')?.focus();

  function render(): void {
    if (renaming !== undefined) return;
    const focused = document.activeElement?.closest<HTMLElement>('#conversation-list li')?.dataset.id;
    const place = [...list.querySelectorAll<HTMLElement>('.conversation')].findIndex(
      ({ dataset }) => dataset.id === focused,
    );
    const found = hits ? summaries.filter(({ id }) => hits?.has(id)) : summaries;
    const now = Date.now();
    const lines: HTMLElement[] = [];
    let group = '';
    for (const summary of found.slice(0, length)) {
      const word = dayWord(summary.updated, now);
      if (word !== group) lines.push(element('li', { className: 'conversation-group' }, (group = word)));
      lines.push(conversationItem(summary));
    }
    if (found.length > length) {
      const more = element(
        'button',
        { type: 'button', className: 'conversation-more' },
        `Show ${Math.min(FIRST * 2, found.length - length)} more`,
      );
      more.addEventListener('click', () => {
        const at = length;
        length += FIRST * 2;
        render();
        list.querySelectorAll<HTMLElement>('.conversation-open')[at]?.focus();
      });
      lines.push(element('li', {}, more));
    }
    list.replaceChildren(...lines);
    if (focused && itemOf(focused)) focusOn(focused);
    // the line that had the focus is gone: the next one gets it
    else if (focused)
      (
        [...list.querySelectorAll<HTMLElement>('.conversation-open')].at(Math.min(place, found.length - 1)) ?? field
      ).focus();
    none.hidden = !hits || found.length > 0;
    none.textContent = hits && !found.length ? 'No conversation contains these words.' : '';
  }

  let typing: ReturnType<typeof setTimeout> | undefined;
  const searchNow = async (): Promise<void> => {
    const query = field.value.trim();
    if (!query) {
      search.end();
      hits = undefined;
      return render();
    }
    const found = await search.find(query);
    if (!found) return;
    hits = found;
    render();
  };
  field.addEventListener('input', () => {
    clearTimeout(typing);
    length = FIRST;
    typing = setTimeout(() => void searchNow(), field.value ? SEARCH_MS : 0);
  });
  field.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !field.value) return;
    event.stopPropagation();
    field.value = '';
    field.dispatchEvent(new Event('input'));
  });

  const file = element('input', {
    type: 'file',
    accept: '.json,.md,.markdown,application/json,text/markdown',
    multiple: true,
    hidden: true,
    ariaLabel: 'Conversations to import',
  });
  file.addEventListener('change', () => {
    const files = [...(file.files ?? [])];
    file.value = '';
    if (files.length) actions.importFiles(files);
  });
  const tool = (name: 'upload' | 'download', label: string, act: () => void): HTMLButtonElement => {
    const button = element('button', { type: 'button' }, icon(name), label);
    button.addEventListener('click', act);
    return button;
  };
  const exportAll = tool('download', 'Export all', actions.exportAll);
  const tools = element(
    'p',
    { className: 'conversation-tools' },
    tool('upload', 'Import', () => file.click()),
    exportAll,
    file,
  );
  find('conversation-list', HTMLUListElement).closest('nav')?.append(tools);

  return {
    show(given, open) {
      summaries = given
        .filter(({ deleted }) => deleted === undefined)
        .sort((a, b) => b.updated - a.updated || (a.id < b.id ? -1 : 1));
      openId = open;
      exportAll.hidden = summaries.length === 0;
      render();
    },
    searchAgain: () => void (hits && searchNow()),
  };
}

/** One menu for all conversations, beside the button that opened it. */
function createMenu(): {
  open(anchor: HTMLElement, entries: [Parameters<typeof icon>[0], string, () => void][]): void;
} {
  const menu = element('div', { id: 'conversation-menu', role: 'menu', popover: 'auto', ariaLabel: 'Conversation' });
  // inside the side bar: as a drawer it would close when a popover outside it opens
  find('conversation-list', HTMLUListElement).closest('aside')?.append(menu);
  menu.addEventListener('keydown', (event) => {
    const buttons = [...menu.querySelectorAll('button')];
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1, Tab: NaN }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (Number.isNaN(to)) menu.hidePopover();
    else buttons[(to + buttons.length) % buttons.length]?.focus();
  });
  return {
    open(anchor, entries) {
      menu.replaceChildren(
        ...entries.map(([name, label, act]) => {
          const button = element('button', { type: 'button', role: 'menuitem' }, icon(name), label);
          button.addEventListener('click', () => {
            menu.hidePopover();
            act();
          });
          return button;
        }),
      );
      menu.showPopover();
      const [near, size] = [anchor.getBoundingClientRect(), menu.getBoundingClientRect()];
      const within = (at: number, length: number, whole: number): number =>
        Math.max(8, Math.min(at, whole - length - 8));
      menu.style.inset = 'auto';
      menu.style.left = `${within(near.right - size.width, size.width, innerWidth)}px`;
      menu.style.top = `${within(near.bottom + size.height > innerHeight ? near.top - size.height : near.bottom, size.height, innerHeight)}px`;
      menu.querySelector('button')?.focus();
    },
  };
}

/** The title of the conversation that is shown, in the page and in the browser's tab. */
export function showTitle({ title, messages }: Conversation): void {
  const empty = Object.keys(messages).length === 0;
  find('conversation-title', HTMLElement).textContent = empty ? 'New chat' : title;
  document.title = empty ? 'Rivulet chat' : `${title} – Rivulet`;
}
