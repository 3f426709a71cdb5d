/** The conversations of the page: the list in the side bar, and what is done with a whole conversation. */
import type { Chat } from '../chat';
import { element, find } from '../dom';
import { formerTurns, keep, type AttachedFile } from '../history';
import { addPictureTexts, pictureTexts } from '../pictures/picture_texts';
import { deleteUnusedPictures, picturesIn } from '../pictures/pictures';
import { showToast } from '../toast';
import { fromTurns, merge, newId, plainTitle, summaryOf, type Conversation, type Summary } from './conversation';
import { draftFiles, keepDraft, keptDraft, NEW_CHAT } from './drafts';
import { fileName, FORMAT, saveFile, toJson, toMarkdown } from './export';
import { ImportError, MOST_BYTES, readConversations } from './import';
import { createConversationList } from './list';
import { forgetUnsaved, lastOpen, recoverUnsaved } from './open_conversation';
import { createSearch } from './search';
import type { ConversationStore } from './store';

export interface Conversations {
  /** Shows the conversation of the last visit. */
  start(): Promise<void>;
  /** Another conversation is shown, or its title is another one. */
  refresh(): void;
  /** Takes out of dropped files those that hold conversations, and imports them. @returns the others */
  importFrom(files: readonly File[]): Promise<File[]>;
}

const UNDO_MS = 10_000;
const CLEAN_AFTER_MS = 30_000;

const filesOf = (conversation?: Conversation): AttachedFile[] =>
  Object.values(conversation?.messages ?? {}).flatMap(({ files = [] }) => files);
/** longer than the undo of another tab can take */
const FORGOTTEN_MS = 10 * 60_000;

export const NOT_STORED =
  'Conversations cannot be saved: the browser’s storage is full or blocked. They stay until this page is closed. Export what you want to keep.';

/** The line that says when nothing can be stored. */
export function createStorageLine(): (failing: boolean) => void {
  const line = element('p', { id: 'storage-problem', className: 'problem', role: 'status', hidden: true });
  find('composer-note', HTMLElement).before(line);
  return (failing) => {
    line.hidden = !failing;
    line.textContent = failing ? NOT_STORED : '';
  };
}

export function createConversations(store: ConversationStore, chat: () => Chat): Conversations {
  const known = new Map<string, Summary>();
  const search = createSearch(store);
  const list = createConversationList(
    {
      open: (id) =>
        void chat()
          .open(id)
          .then((found) => found || gone(id)),
      rename: (id, title) => void change(id, (stored) => ({ ...stored, title: plainTitle(title), named: Date.now() })),
      remove: (summary) => void remove(summary),
      exportOne: (id, form) => void exportOne(id, form),
      exportAll: () => void exportAll(),
      importFiles: (files) => void importFiles(files),
    },
    search,
  );
  const show = (): void => {
    const { conversation } = chat();
    list.show([...known.values()], conversation.id);
  };

  let reading: Promise<void> | undefined;
  let again = false;
  /** Reads the list anew. Many changes at once are one reading. */
  function read(): Promise<void> {
    again = true;
    return (reading ??= (async () => {
      while (again) {
        again = false;
        const summaries = await store.list();
        known.clear();
        for (const summary of summaries) known.set(summary.id, summary);
      }
      reading = undefined;
      show();
    })());
  }

  store.onChange(({ id, deleted }, byThisTab) => {
    search.changed(id);
    const { conversation } = chat();
    if (byThisTab && !deleted && id === conversation.id && known.has(id)) refresh();
    else void read();
    list.searchAgain();
  });

  /** The conversation that is shown needs no reading, and changes every second while a reply is written. */
  function refresh(): void {
    const { conversation } = chat();
    const before = known.get(conversation.id);
    const now = summaryOf(conversation);
    if (before && (before.title !== now.title || before.updated !== now.updated)) known.set(now.id, now);
    else if (shownId === conversation.id) return;
    shownId = conversation.id;
    show();
  }
  let shownId = '';

  const cannot = (what: string): void => void showToast(`${what} The browser’s storage is full or blocked.`);
  const change = (id: string, make: (stored: Conversation) => Conversation): Promise<void> =>
    chat()
      .save()
      .then(() => store.change(id, make))
      .then(() => chat().reread(id))
      .catch(() => cannot('This cannot be changed.'));

  function gone(id: string): void {
    known.delete(id);
    show();
    showToast('This conversation no longer exists.');
  }

  async function usedPictures(): Promise<Set<string>> {
    const used = new Set(picturesIn(draftFiles()));
    for await (const group of store.all())
      for (const conversation of group) for (const id of picturesIn(filesOf(conversation))) used.add(id);
    return used;
  }
  // reads all conversations: not while the page starts
  setTimeout(() => void deleteUnusedPictures(usedPictures), CLEAN_AFTER_MS);

  async function remove({ id, title }: Summary): Promise<void> {
    const open = chat().conversation.id === id;
    if (open) chat().newChat();
    await chat().save();
    forgetUnsaved(id);
    try {
      await store.change(id, (stored) => ({ ...stored, deleted: Date.now() }));
    } catch {
      return cannot('This cannot be deleted.');
    }
    const forget = setTimeout(async () => {
      const pictures = picturesIn([...filesOf(await store.read(id)), ...keptDraft(id).files]);
      keepDraft(id, { text: '', files: [] });
      await store.remove(id);
      void deleteUnusedPictures(usedPictures, pictures);
    }, 2 * UNDO_MS);
    showToast(`“${title}” was deleted.`, {
      label: 'Undo',
      ms: UNDO_MS,
      action() {
        clearTimeout(forget);
        void store
          .change(id, ({ deleted: _, ...stored }) => stored)
          .then(() => open && chat().open(id))
          .catch(() => cannot('This cannot be restored.'));
      },
    });
  }

  async function saveJson(name: string, all: readonly Conversation[]): Promise<void> {
    const { pictures, left } = await pictureTexts(all.flatMap(filesOf), MOST_BYTES - toJson(all).length);
    saveFile(name, toJson(all, pictures), 'application/json');
    if (left) showToast(`The file has no room for ${left === 1 ? 'one picture' : `${left} pictures`}.`);
  }

  async function exportOne(id: string, form: 'markdown' | 'json'): Promise<void> {
    await chat().save();
    const conversation = await store.read(id);
    if (!conversation) return gone(id);
    if (form === 'json') await saveJson(fileName(conversation.title, 'json'), [conversation]);
    else saveFile(fileName(conversation.title, 'md'), toMarkdown(conversation), 'text/markdown');
  }

  async function exportAll(): Promise<void> {
    await chat().save();
    const all: Conversation[] = [];
    try {
      for await (const group of store.all()) all.push(...group.filter(({ deleted }) => deleted === undefined));
    } catch {
      // what is in memory is exported
    }
    if (!all.length) return void showToast('There is no conversation to export.');
    await saveJson(`Rivulet conversations ${new Date().toISOString().slice(0, 10)}.json`, all);
  }

  /** Adds a conversation of a file. One that is there already is not changed: what differs is added as another one. */
  async function add(given: Conversation): Promise<string> {
    const stored = await store.read(given.id);
    if (!stored || stored.deleted !== undefined) {
      if (stored) await store.remove(given.id);
      await store.write(given);
      return given.id;
    }
    const before = JSON.stringify(stored.messages);
    if (JSON.stringify(merge(structuredClone(stored), given).messages) === before) return stored.id;
    const copy = { ...given, id: newId() };
    await store.write(copy);
    return copy.id;
  }

  async function importFiles(files: readonly File[]): Promise<void> {
    const ids: string[] = [];
    const problems: string[] = [];
    for (const file of files) {
      try {
        let pictures: Record<string, unknown> = {};
        const given = await readConversations(file, (all) => (pictures = all));
        await addPictureTexts(pictures);
        for (const conversation of given) ids.push(await add(conversation));
      } catch (error) {
        problems.push(error instanceof ImportError ? error.message : `${file.name} cannot be read.`);
      }
    }
    await read();
    // the drawer would hide both what is said and what is shown
    const sidebar = find('sidebar', HTMLElement);
    if (sidebar.matches(':popover-open')) sidebar.hidePopover();
    if (problems.length) chat().composer.say(problems.join(' '));
    if (!ids.length) return;
    showToast(ids.length === 1 ? 'One conversation was imported.' : `${ids.length} conversations were imported.`);
    await chat().open(ids[0]);
  }

  return {
    refresh,
    async start() {
      await recoverUnsaved(store).catch(() => undefined);
      const former = formerTurns();
      if (former.length) {
        await store.write(fromTurns(former, Date.now()));
        if (!store.failing) keep('turns', undefined);
      }
      await read();
      for (const { id, deleted } of [...known.values()])
        if (deleted !== undefined && Date.now() - deleted > FORGOTTEN_MS) void store.remove(id);
      const last = lastOpen();
      const newest = [...known.values()]
        .filter(({ deleted }) => deleted === undefined)
        .sort((a, b) => b.updated - a.updated)[0];
      const id = last ?? newest?.id;
      if (id !== undefined && id !== NEW_CHAT) await chat().open(id, true);
      show();
    },
    async importFrom(files) {
      const ours: File[] = [];
      for (const file of files) {
        const start = await file
          .slice(0, 200)
          .text()
          .catch(() => '');
        if (start.includes(`"${FORMAT}"`) || start.startsWith('<!-- rivulet conversation')) ours.push(file);
      }
      if (ours.length) await importFiles(ours);
      return files.filter((file) => !ours.includes(file));
    },
  };
}
