/** The dialog of the models: those on this device, those of the hub, an address, files, and how full the storage is. */
import { estimate, exportModel, pinModel, verifyModel } from '../../../src/index';
import { element, find } from '../dom';
import { explain, explained, type Explanation } from '../explain';
import { bytes } from '../format';
import { lazy } from '../lazy';
import { choiceNamed, offerNamed } from './choice';
import { describeEstimate } from './describe';
import { learnFromEstimate } from './device';
import type { Entry } from './entries';
import type { ModelLibrary } from './library';
import { createCard, type Card } from './model_card';
import type { ModelSession } from './model_session';
import { checkReachable } from './reach';

export interface Picker {
  open(): void;
  /** Shows what went wrong, if the dialog is open. @returns whether it is */
  showProblem(problem: Explanation): boolean;
}

export function createPicker({
  session,
  library,
  announce,
}: {
  session: ModelSession;
  library: ModelLibrary;
  announce(text: string): void;
}): Picker {
  const dialog = find('models', HTMLDialogElement);
  const kept = find('models-kept', HTMLUListElement);
  const hub = find('models-hub', HTMLUListElement);
  const problem = find('models-problem', HTMLElement);

  /** Shows in `output` what the model needs of this device. One at a time: a second call cancels the first. */
  let looking: AbortController | undefined;
  const look = async (source: string, name: string, output: HTMLElement): Promise<void> => {
    looking?.abort();
    const mine = (looking = new AbortController());
    output.textContent = `Checking ${name}…`;
    try {
      const { hub: host, ...placement } = session.placement();
      await checkReachable(source, { ...(host && { hub: host }), signal: mine.signal });
      const result = await estimate(source, { ...placement, ...(host && { hub: host }), signal: mine.signal });
      learnFromEstimate(result);
      show();
      output.textContent = describeEstimate(result);
    } catch (error) {
      output.replaceChildren(...(mine.signal.aborted ? [] : explained(explain(error, session.placement().backend))));
    }
  };

  /** Says in `output` how a call on a stored model ends. */
  const run = async (output: HTMLElement, doing: string, work: () => Promise<string>): Promise<void> => {
    output.textContent = doing;
    try {
      output.textContent = await work();
    } catch (error) {
      output.replaceChildren(...explained(explain(error)));
    }
    await library.refresh();
  };
  const verify = (id: string, output: HTMLElement): Promise<void> =>
    run(output, 'Verifying…', async () => {
      const { ok } = await verifyModel(id);
      if (ok) return 'No damage found.';
      return /[/:]/.test(id)
        ? 'Damaged. Resume the download to repair it.'
        : 'Damaged. Delete it, and open the file again.';
    });
  const save = (id: string, name: string, output: HTMLElement): Promise<void> =>
    run(output, 'Preparing the file…', async () => {
      const href = URL.createObjectURL(await exportModel(id));
      const file = `${name.replace(/\.gguf$/i, '')}.rivulet`;
      element('a', { href, download: file }).click();
      setTimeout(() => URL.revokeObjectURL(href), 60_000);
      return `The browser saves ${file}. Drop it on this page in another browser to use it there.`;
    });

  const cards = new Map<string, Card>();
  const cardOf = (key: string): Card => {
    let card = cards.get(key);
    if (!card) {
      card = createCard({
        use(entry) {
          dialog.close();
          void library.use(entry);
        },
        download: ({ source, name }) => void (source && library.download({ source, name })),
        pause: ({ source }) => source && library.downloads.pause(source),
        discard: ({ source }) => void (source && library.downloads.discard(source)),
        look: ({ source, name }, output) => void (source && look(source, name, output)),
        keepFile: () => void library.keepFile(),
        async pin({ id, pinned, name }) {
          if (!id) return;
          await pinModel(id, !pinned);
          await library.refresh();
          announce(pinned ? `${name} may be deleted automatically.` : `${name} is never deleted automatically.`);
        },
        verify: ({ id }, output) => void (id && verify(id, output)),
        save: ({ id, name }, output) => void (id && save(id, name, output)),
        remove: (entry) => void library.remove(entry),
      });
      cards.set(key, card);
    }
    return card;
  };

  const place = (list: HTMLUListElement, entries: Entry[]): void => {
    const items = entries.map((entry) => {
      const card = cardOf(entry.key);
      card.update(entry, library.device(), library.storageProblem() === undefined);
      return card.item;
    });
    // moved only where the order changes, because a move takes the focus away
    if (items.length !== list.children.length || items.some((item, i) => list.children[i] !== item)) {
      const focused = document.activeElement;
      list.replaceChildren(...items);
      if (focused instanceof HTMLElement && list.contains(focused)) focused.focus();
    }
  };

  const persist = element('button', { type: 'button' }, 'Ask the browser to keep them');
  persist.addEventListener('click', async () => {
    const granted = await navigator.storage.persist().catch(() => false);
    announce(
      granted
        ? 'The browser keeps the stored models.'
        : 'The browser did not agree. It may delete stored models when space is short.',
    );
    await showStorage(granted ? '' : ' The browser did not agree.');
  });
  const storage = element('span');
  find('models-storage', HTMLElement).append(storage, persist);
  const showStorage = async (also = ''): Promise<void> => {
    const blocked = library.storageProblem();
    const used = library.entries().reduce((sum, { there }) => sum + there, 0);
    const persisted = (await navigator.storage?.persisted?.().catch(() => undefined)) ?? undefined;
    const { quota, usage } = (await navigator.storage?.estimate?.().catch(() => undefined)) ?? {};
    const free = quota !== undefined && usage !== undefined ? `, ${bytes(Math.max(0, quota - usage))} free` : '';
    persist.hidden = blocked !== undefined || persisted !== false;
    storage.textContent = blocked
      ? `This window stores no models. ${blocked.text}`
      : `Stored models: ${bytes(used)}${free}. ${persisted ? 'The browser keeps them until you delete them.' : 'The browser may delete them when space is short.'}${also}`;
    const line = document.getElementById('storage-line');
    if (line) line.textContent = blocked ? 'Nothing is stored' : `${bytes(used)} stored${free}`;
  };

  function show(): void {
    const entries = library.entries();
    const keys = new Set(entries.map(({ key }) => key));
    for (const key of cards.keys()) if (!keys.has(key)) cards.delete(key);
    place(
      kept,
      entries.filter(({ place: where }) => where !== 'hub'),
    );
    place(
      hub,
      entries.filter(({ place: where }) => where === 'hub'),
    );
  }
  let frame = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  library.onChange(() => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (dialog.open) show();
    });
    // a running download changes ten times a second
    timer ??= setTimeout(() => {
      timer = undefined;
      void showStorage();
    }, 500);
  });

  const address = find('address', HTMLInputElement);
  const output = find('address-estimate', HTMLElement);
  const files = find('address-files', HTMLElement);
  find('models-address', HTMLFormElement).addEventListener('submit', async (event) => {
    event.preventDefault();
    const entered = address.value.trim();
    if (!entered) return;
    looking?.abort();
    const { signal } = (looking = new AbortController());
    problem.replaceChildren();
    files.replaceChildren();
    output.textContent = `Looking for ${choiceNamed(entered).name}…`;
    const list = await lazy(() => import('./repo_list'));
    const source = await list?.showRepo(entered, files, {
      device: library.device,
      hub: session.placement().hub ?? 'https://huggingface.co',
      signal,
      download: (from, name) => void library.download({ source: from, name: offerNamed(from)?.name ?? name }),
      look: (from, name, result) => void look(from, name, result),
    });
    if (source) await library.download({ source, name: choiceNamed(source).name });
    if (!signal.aborted) output.textContent = '';
  });
  find('address-look', HTMLButtonElement).addEventListener('click', () => {
    const source = address.value.trim();
    if (!address.reportValidity() || !source) return;
    void look(source, choiceNamed(source).name, output);
  });
  dialog.addEventListener('close', () => {
    looking?.abort();
    output.textContent = '';
  });
  const file = find('file', HTMLInputElement);
  file.addEventListener('change', async () => {
    const files = [...(file.files ?? [])];
    file.value = '';
    if (!files.length) return;
    problem.replaceChildren();
    await library.openFiles(files, () => dialog.close());
  });

  return {
    open() {
      problem.replaceChildren();
      show();
      if (!dialog.open) dialog.showModal();
      void library.refresh();
    },
    showProblem(given) {
      if (!dialog.open) return false;
      problem.replaceChildren(element('strong', {}, given.title), ...explained(given));
      problem.scrollIntoView({ block: 'nearest' });
      return true;
    },
  };
}
