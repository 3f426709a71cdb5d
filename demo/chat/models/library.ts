/**
 * The models of this device and of the hub, and what can be done with them. The dialog, the lines of the downloads and
 * the offers show it.
 */
import { importModel, listModels, modelRoom, type CachedModel } from '../../../src/index';
import { explain, type Explanation } from '../explain';
import { bytes } from '../format';
import { showToast } from '../toast';
import { firstModel, HUB, includedModels, type Offer } from './catalogue';
import { choiceNamed, choiceOf, choiceOfOffer, offerNamed, type Choice } from './choice';
import { createDeletions } from './deletions';
import { readDevice } from './device';
import { sortFiles } from './dropped_files';
import { createDownloads, type Download, type Downloads } from './downloads';
import { listEntries, type Entry } from './entries';
import type { ModelSession } from './model_session';
import { ASKED_BYTES, askToDelete, askToDownload, askToMakeRoom } from './questions';
import { checkReachable } from './reach';
import { recommend, type Device } from './recommend';
import { isStoredCopy } from './stored_copy';

export interface ModelLibrary {
  entries(): Entry[];
  downloads: Downloads;
  device(): Device;
  /**
   * The one for this device, if any fits. It is settled when the first model is ready or has failed, and then stays for
   * the visit.
   */
  recommended(): { offer?: Offer; settled: boolean };
  /** why this page can store nothing, where that is so */
  storageProblem(): Explanation | undefined;
  /** Reads the storage again. */
  refresh(): Promise<void>;
  /** Asks before a large download, and starts it. */
  download(model: Pick<Download, 'source' | 'name'>): Promise<void>;
  use(entry: Pick<Entry, 'name' | 'source' | 'id' | 'bytes' | 'offer'>): Promise<void>;
  /** Deletes a stored model; it can be undone for a while. */
  remove(entry: Entry): Promise<void>;
  /**
   * Loads a model from files, stores an exported one, and attaches other files to the message.
   * @param accepted told when there is a model among them. It is given where only a model is asked for: then other
   * files are not attached
   */
  openFiles(files: readonly File[], accepted?: () => void): Promise<void>;
  /** Stores the file that the model in use was opened from. */
  keepFile(): Promise<void>;
  /**
   * Loads what the page begins with: the model of the address, the one that was used last, else the one of the first
   * visit.
   */
  begin(last: unknown): Promise<void>;
  onChange(listener: () => void): void;
  /** The model that answers is another one. */
  changed(): void;
}

export interface ModelLibraryParts {
  session: ModelSession;
  /** the model and the hub of the page's address */
  overrides: { model?: string; hub?: string };
  announce(text: string): void;
  showProblem(problem: Explanation): void;
  /** gets the files that are no models */
  attach(files: File[]): void;
}

const UNDO_MS = 10_000;

export function createModelLibrary({
  session,
  overrides,
  announce,
  showProblem,
  attach,
}: ModelLibraryParts): ModelLibrary {
  const { hub } = overrides;
  const listeners = new Set<() => void>();
  const changed = (): void => listeners.forEach((listener) => listener());
  let stored: CachedModel[] = [];
  let problem: Explanation | undefined;

  const refresh = async (): Promise<void> => {
    try {
      stored = await listModels();
      problem = undefined;
    } catch (error) {
      stored = [];
      problem = explain(error);
    }
    changed();
  };
  // other tabs store and delete too
  const channel = typeof BroadcastChannel === 'undefined' ? undefined : new BroadcastChannel('rivulet-chat.models');
  channel?.addEventListener('message', () => void refresh());
  const refreshAll = async (): Promise<void> => {
    await refresh();
    channel?.postMessage('changed');
  };

  const downloads = createDownloads({
    ...(hub && { hub }),
    makeRoom: askToMakeRoom,
    changed,
    announce,
    done({ name }) {
      void refreshAll();
      announce(`${name} is stored on this device.`);
    },
  });

  const deletions = createDeletions({
    ms: UNDO_MS + 1000,
    changed: () => void refreshAll(),
    failed: (id, error) => {
      const { title, text, details } = explain(error);
      showProblem({ title: `${choiceNamed(id).name} was not deleted. ${title}`, text, details });
    },
  });

  const device = (): Device => readDevice(session.model);
  let firstTried = false;
  let settled: { offer?: Offer } | undefined;
  // what is measured on a busy machine varies, so it is decided once in a visit; before the first model is ready, the
  // backend is not known
  const recommended = (): { offer?: Offer; settled: boolean } => {
    const now = settled ?? { offer: recommend(HUB, device()) };
    if (firstTried || session.model) settled = now;
    return { ...now, settled: settled !== undefined };
  };
  const entries = (): Entry[] => {
    const { model, choice } = session;
    const best = recommended();
    return listEntries({
      included: includedModels(),
      hub: HUB,
      stored,
      downloads: downloads.list(),
      ...(model && {
        inUse: {
          name: choice.name,
          id: stored.some(({ id }) => id === choice.source) ? String(choice.source) : model.info.id,
          bytes: model.info.bytes,
          file: typeof choice.source !== 'string',
        },
      }),
      ...(best.settled && best.offer && { recommended: best.offer }),
      deleted: deletions.ids(),
      nameOf: (id) => choiceNamed(id).name,
    });
  };

  const use: ModelLibrary['use'] = async ({ name, source, id, bytes: size, offer }) => {
    if (!source) return;
    if (id && !includedModels().some((each) => each.source === source)) {
      await refresh();
      // else it would be downloaded without a question
      if (!stored.some((model) => model.id === id && model.complete))
        return showProblem({
          title: `${name} is not on this device any more`,
          text: `The browser or another tab has deleted it. ${session.choice.name} goes on answering. Download ${name} again to use it.`,
        });
    }
    for (const download of downloads.list())
      if (download.state === 'done' && (download.source === source || download.id === id))
        downloads.dismiss(download.source);
    const known = size || stored.find((model) => model.id === id)?.bytes || (offer && offer.megabytes * 1e6);
    await session.open({ name, source: id ?? source, ...(known && { bytes: known }) });
    await refreshAll();
  };

  const free = async (): Promise<number | undefined> => {
    const { quota, usage } = await navigator.storage.estimate().catch(() => ({ quota: undefined, usage: undefined }));
    return quota === undefined || usage === undefined ? undefined : Math.max(0, quota - usage);
  };

  /** What a download needs, and whether the user wants it. Sources that the page does not know are looked at first. */
  const agreed = async ({ source, name }: Pick<Download, 'source' | 'name'>): Promise<{ id?: string } | undefined> => {
    const offer = offerNamed(source);
    const saveData = device().saveData;
    const common = {
      name,
      source,
      ...(offer && { offer }),
      ...(hub && { hub }),
      saveData,
      unstored: problem !== undefined,
    };
    if (offer) {
      if (navigator.onLine === false && !hub) await checkReachable(source);
      const room = await free();
      const yes = await askToDownload({
        ...common,
        needed: offer.megabytes * 1e6,
        ...(offer.about && { about: true }),
        ...(room !== undefined && { free: room }),
      });
      return yes ? {} : undefined;
    }
    await checkReachable(source, { ...(hub && { hub }) });
    const room = await modelRoom(source, { ...(hub && { hub }) });
    const yes =
      room.needed < ASKED_BYTES ||
      (await askToDownload({ ...common, needed: room.needed, ...(room.free !== undefined && { free: room.free }) }));
    return yes ? { id: room.id } : undefined;
  };

  const download: ModelLibrary['download'] = async ({ source, name }) => {
    const model = { source, name };
    let id: string | undefined;
    for (const each of deletions.ids()) if (isStoredCopy(each, source)) deletions.undo(each);
    try {
      const begun =
        downloads.list().some((each) => each.source === source) ||
        entries().some((entry) => entry.source === source && entry.state === 'part');
      const answer = begun ? {} : await agreed(model);
      if (!answer) return;
      ({ id } = answer);
    } catch (error) {
      const { title, text, details } = explain(error);
      return showProblem({ title: `${model.name} cannot be downloaded. ${title}`, text, details });
    }
    // where nothing can be stored, it is used from memory
    if (problem) return void (await session.open(choiceNamed(model.source)));
    await downloads.start({ ...model, ...(id && { id }) });
    await refreshAll();
  };

  const remove: ModelLibrary['remove'] = async ({ id, name, inUse }) => {
    if (!id) return;
    const first = firstModel();
    if (inUse) {
      if (!(await askToDelete(name, first.name))) return;
      if (!(await session.open(choiceOfOffer(first)))) return;
    }
    deletions.remove(id);
    showToast(`${name} was deleted.`, {
      label: 'Undo',
      ms: UNDO_MS,
      action() {
        if (!deletions.undo(id)) return void showToast(`It is too late: ${name} is deleted.`);
        announce(`${name} is kept.`);
        if (inUse) void use({ name, source: id, id, bytes: 0 });
      },
    });
  };

  /** Stores a file. Two files of one name are two models. */
  const store = async (file: File): Promise<string> => {
    const taken = new Set((await listModels()).filter(({ bytes: size }) => size !== file.size).map(({ id }) => id));
    let { name } = file;
    for (let n = 2; taken.has(name); n++) name = file.name.replace(/(\.gguf)?$/i, ` (${n})$1`);
    announce(`Storing ${file.name}.`);
    return importModel(name === file.name ? file : new File([file], name));
  };

  const openFiles: ModelLibrary['openFiles'] = async (files, accepted) => {
    const { model, exported, others } = await sortFiles(files);
    if (model || exported) accepted?.();
    const attached = others.filter(({ attachable }) => attachable && !accepted).map(({ file }) => file);
    const problems = others.filter(({ file }) => !attached.includes(file)).map(({ problem: text }) => text);
    if (problems.length)
      showProblem({
        title: problems.length === 1 ? 'A file cannot be used' : 'Some files cannot be used',
        text: problems.join(' '),
      });
    if (attached.length) attach(attached);
    try {
      if (exported) {
        const id = await store(exported);
        await refreshAll();
        return await use({ ...choiceNamed(id), source: id, id, bytes: 0 });
      }
    } catch (error) {
      return showProblem(explain(error));
    }
    if (!model) return;
    const choice = choiceOf(model);
    if (!(await session.open(choice))) return;
    changed();
    if (model.length === 1)
      showToast(`${choice.name} runs from the file. A reload forgets it.`, {
        label: 'Keep on this device',
        action: () => void keepFile(),
        ms: 15_000,
      });
  };

  const keepFile: ModelLibrary['keepFile'] = async () => {
    const { source, name } = session.choice;
    if (typeof source !== 'object' || !('file' in source) || !(source.file instanceof File)) return;
    try {
      showToast(`Storing ${name}…`, { ms: 60_000 });
      const id = await store(source.file);
      session.rename({ name: choiceNamed(id).name, source: id, bytes: source.file.size });
      await refreshAll();
      showToast(`${name} is stored on this device.`);
    } catch (error) {
      const { title, text, details } = explain(error);
      showToast(`${name} was not stored.`);
      showProblem({ title: `${name} was not stored. ${title}`, text, details });
    }
  };

  const begin: ModelLibrary['begin'] = async (last) => {
    await loadFirst(last);
    firstTried = true;
    // a first visit has stored its model
    await refresh();
  };
  const loadFirst = async (last: unknown): Promise<void> => {
    await refresh();
    // a file that was opened with the page comes first
    if (session.model || session.busy) return;
    const wanted = overrides.model;
    if (!wanted) {
      const kept = stored.find(({ id, complete }) => complete && id === last);
      return void (await session.open(kept ? choiceNamed(kept.id, kept.bytes) : choiceOfOffer(firstModel())));
    }
    const choice: Choice = choiceNamed(wanted);
    // one attempt: a stored model needs no network, and for any other the next line finds out what is wrong
    const room = await modelRoom(wanted, { ...(hub && { hub }), policy: { attempts: 1 } }).catch(() => undefined);
    try {
      if (!room) await checkReachable(wanted, { ...(hub && { hub }) });
    } catch (error) {
      const { title, text, details } = explain(error);
      showProblem({
        title: `${choice.name} cannot be loaded. ${title}`,
        text: `${text} ${firstModel().name} answers instead.`,
        details,
      });
      return void (await session.open(choiceOfOffer(firstModel())));
    }
    // a small or stored model is loaded, and a failure is told by the load
    if (!room || room.needed < ASKED_BYTES)
      return void (await session.open({ ...choice, ...(room && { bytes: room.bytes }) }));
    const begun = session.open(choiceOfOffer(firstModel()));
    announce(`The address asks for ${choice.name}, ${bytes(room.needed)}.`);
    await Promise.all([begun, download({ source: wanted, name: choice.name })]);
  };

  return {
    entries,
    downloads,
    device,
    recommended,
    storageProblem: () => problem,
    refresh,
    download,
    use,
    remove,
    openFiles,
    keepFile,
    begin,
    onChange: (listener) => void listeners.add(listener),
    changed,
  };
}
