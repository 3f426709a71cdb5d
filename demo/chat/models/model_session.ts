/** The model of the page: which one answers, loading the next one beside it, and where it runs. */
import {
  forgetConversations,
  load,
  type EstimateOptions,
  type EvictionConsent,
  type Model,
  type Progress,
} from '../../../src/index';
import { element, find } from '../dom';
import { explain, sentence, type Explanation } from '../explain';
import { bytes, count } from '../format';
import { keep } from '../history';
import type { Overrides, Settings } from '../settings';
import { EMBEDDED, EMBEDDED_SAMPLING, firstModel } from './catalogue';
import { choiceOfOffer, type Choice } from './choice';
import { readDevice } from './device';
import { createProgress } from './progress';
import { askToCopy } from './questions';
import { fitTogether } from './recommend';
import type { ReplyMeter } from './reply_meter';
import { whereItRuns } from './where_it_runs';

export interface ModelSession {
  /** the model that answers; absent while the first one is being loaded, and after that failed */
  readonly model: Model | undefined;
  /** the model that answers; while there is none, the one that is being loaded */
  readonly choice: Choice;
  /** the answers of the model can be held to a form */
  readonly constrained: boolean;
  /** the model that is being loaded beside the one that answers */
  readonly next: Choice | undefined;
  /** no model answers yet and one is being loaded, or the model moves to another device */
  readonly busy: boolean;
  /**
   * Loads a model. The present one answers until then, and again if the load fails. @returns whether the new model
   * answers
   */
  open(chosen: Choice): Promise<boolean>;
  /**
   * Loads the model that answers again, if its answers cannot be held to a form, and each later one so that they can.
   * @returns whether they can
   */
  constrain(): Promise<boolean>;
  /** The model that answers has another name and source now: its file was stored. */
  rename(choice: Choice): void;
  cancel(): void;
  /** a reply has ended: no move can go on, and a model that waits can take over */
  endMove(): void;
  /** A conversation was deleted: nothing of its text may stay. */
  forget(): Promise<void>;
  /** The options of a load: from the address, else from the settings. */
  placement(): EstimateOptions;
  /** who chose the backend */
  placedBy(): 'address' | 'settings' | undefined;
  /** the loaded model is the demo model of this page, also when it was opened as a file */
  isDemo(): boolean;
  /** the sampling that suits the loaded model, and the context and threads that it has */
  recommended(): Partial<Record<string, number>>;
}

export interface ModelSessionParts {
  overrides: Overrides;
  settings(): Settings;
  meter: ReplyMeter;
  makeRoom: EvictionConsent;
  announce(text: string): void;
  /** told after each change of `model`, `choice`, `next` or `busy` */
  changed(): void;
  /** a reply is being written */
  replying(): boolean;
  /** told at the beginning of a load */
  opening(): void;
  /** told before the present model goes because there is no memory for two */
  replacing(): void;
  showError(error: unknown, retry: () => void, instead?: Explanation): void;
}

/** A reply that is followed by another one soon need not be saved. */
const SAVE_AFTER_MS = 10_000;

interface Loaded {
  model: Model;
  choice: Choice;
  constrained: boolean;
}

export function createModelSession({
  overrides,
  settings,
  meter,
  makeRoom,
  announce,
  changed,
  replying,
  opening,
  replacing,
  showError,
}: ModelSessionParts): ModelSession {
  let present: Loaded | undefined;
  /** what answered last, where it had to go for the sake of the next; it comes back if that fails */
  let former: Choice | undefined;
  let next: Choice | undefined;
  let loading: AbortController | undefined;
  /** the model is being loaded again on another device */
  let moving = false;
  /** models are loaded with the side file that holds answers to a form */
  let constraints = false;
  let replyEnded = (): void => undefined;

  // a conversation goes on after a reload without being read again; where it cannot be saved, it is read
  let saving: ReturnType<typeof setTimeout> | undefined;
  const save = (): void => {
    clearTimeout(saving);
    if (!replying()) void present?.model.saveConversations().catch(() => undefined);
  };
  document.addEventListener('visibilitychange', () => document.hidden && save());

  const progressShown = createProgress(announce);
  const note = find('loading-note', HTMLElement);
  const refresh = (): void => {
    find('loading', HTMLElement).hidden = loading === undefined && !moving;
    find('model-name', HTMLElement).textContent = session.choice.name;
    changed();
  };

  /** The GPU was lost or memory ran out, and the model is loaded again. The reply waits for it. */
  const showMove = ({ model, choice }: Loaded, progress: Progress): void => {
    moving = progress.phase !== 'ready';
    progressShown(choice.name, progress);
    if (!moving) {
      showAbout(model);
      announce('The model is ready again.');
    }
    refresh();
  };

  const placement = (): EstimateOptions => ({
    backend: overrides.backend ?? settings().backend,
    contextLength: overrides.contextLength ?? settings().contextLength,
    threads: overrides.threads ?? settings().threads,
    allowSoftware: overrides.allowSoftware,
    hub: overrides.hub,
  });
  const placedBy = (): ReturnType<ModelSession['placedBy']> =>
    overrides.backend ? 'address' : settings().backend !== 'auto' ? 'settings' : undefined;

  const loadOne = async (choice: Choice, mine: AbortController): Promise<Loaded> => {
    let loaded: Loaded | undefined = undefined;
    const constrained = constraints || settings().holdCalls === true;
    const model = await load(choice.source, {
      ...placement(),
      makeRoom,
      saveConversations: true,
      // the one that is replaced here is a copy, too
      confirmCopy: ({ count, memory }) =>
        count === Number(present?.choice.name === choice.name) || askToCopy(choice.name, memory),
      constraints: constrained,
      signal: mine.signal,
      onProgress: (progress) => {
        if (loaded && present === loaded) showMove(loaded, progress);
        else if (loading === mine && !loaded) progressShown(choice.name, progress);
      },
    });
    loaded = { model: meter.watch(model), choice, constrained };
    return loaded;
  };

  /** Frees the present model. It is loaded again if what follows fails. */
  const makeWay = async (chosen: Choice): Promise<void> => {
    if (!present) return;
    const { model, choice } = present;
    replacing();
    former = choice;
    present = undefined;
    moving = false;
    find('about', HTMLDetailsElement).hidden = true;
    note.textContent =
      choice.name === chosen.name
        ? `This device has not the memory for two models, so ${choice.name} was unloaded first.`
        : `This device has not the memory for two models, so ${choice.name} was unloaded first. It comes back if ${chosen.name} cannot be loaded.`;
    announce(note.textContent);
    refresh();
    await model.unload();
  };

  const takeOver = async (loaded: Loaded, mine: AbortController): Promise<void> => {
    if (present && replying()) {
      note.textContent = `${loaded.choice.name} is ready. It takes over when this reply has ended.`;
      await new Promise<void>((resolve) => {
        replyEnded = resolve;
        mine.signal.addEventListener('abort', () => resolve());
      });
      mine.signal.throwIfAborted();
    }
    const old = present;
    present = loaded;
    former = undefined;
    moving = false;
    // its worker answers a while after the next one has begun
    void old?.model.unload();
  };

  const open = async (chosen: Choice): Promise<boolean> => {
    opening();
    loading?.abort();
    const mine = new AbortController();
    loading = mine;
    next = chosen;
    // the same model is loaded again with other settings, or because it has stopped
    note.textContent =
      present && present.choice.name !== chosen.name
        ? `${present.choice.name} goes on answering until ${chosen.name} is ready.`
        : '';
    progressShown(chosen.name, { phase: 'resolve', bytes: 0, total: 0, rate: 0 });
    announce(`Loading ${chosen.name}.`);
    refresh();
    let loaded: Loaded | undefined;
    try {
      if (
        present &&
        chosen.bytes !== undefined &&
        !fitTogether(readDevice(present.model), [chosen.bytes, present.model.info.bytes])
      )
        await makeWay(chosen);
      if (loading === mine)
        loaded = await loadOne(chosen, mine).catch(async (error: unknown) => {
          if (!present || loading !== mine || !(error instanceof Error && error.name === 'MemoryError')) throw error;
          await makeWay(chosen);
          return loadOne(chosen, mine);
        });
      if (loading !== mine || !loaded) return (void loaded?.model.unload(), false);
      await takeOver(loaded, mine);
      if (typeof chosen.source === 'string') keep('model', loaded.model.info.id);
      showAbout(loaded.model);
      announce(`${chosen.name} is ready.`);
      return true;
    } catch (error) {
      if (loaded) void loaded.model.unload();
      if (loading === mine) await fallBack(chosen, error, mine);
      return false;
    } finally {
      if (loading === mine) {
        loading = next = undefined;
        refresh();
      }
    }
  };

  /** The load has failed or was cancelled: the model before it answers, or the one of the first visit. */
  const fallBack = async (chosen: Choice, error: unknown, mine: AbortController): Promise<void> => {
    const cancelled = error instanceof Error && error.name === 'AbortError';
    const back = former ?? (present || chosen.source === firstModel().source ? undefined : choiceOfOffer(firstModel()));
    const { title, text, details } = explain(error, placement().backend);
    const goesOn = present ? `${present.choice.name} goes on answering.` : back ? `${back.name} answers instead.` : '';
    const told: Explanation = {
      title: cancelled ? 'Cancelled' : `${title}: ${chosen.name}`,
      text: [cancelled ? `${chosen.name} was not loaded.` : text, goesOn].filter(Boolean).join(' '),
      details,
    };
    showError(error, () => void open(chosen), goesOn ? told : undefined);
    if (present || !back) return;
    const again = new AbortController();
    if (loading !== mine) return;
    loading = again;
    next = back;
    note.textContent = '';
    refresh();
    try {
      const loaded = await loadOne(back, again);
      if (loading !== again) return void loaded.model.unload();
      present = loaded;
      former = undefined;
      showAbout(loaded.model);
      announce(`${back.name} is ready again.`);
    } catch (reason) {
      if (loading === again) showError(reason, () => void open(back));
    } finally {
      if (loading === again) {
        loading = next = undefined;
        refresh();
      }
    }
  };

  const showAbout = ({ info }: Model): void => {
    const { backend } = info;
    const { name, bytes: size = info.bytes } = session.choice;
    const threads = backend.threads === 1 ? '1 thread' : `${backend.threads} threads`;
    find('about-summary', HTMLElement).textContent =
      `Running ${{ webgpu: `with WebGPU: ${backend.device}`, wasm: `on the CPU, ${threads}`, reference: 'on the reference backend' }[backend.name]}`;
    find('about-why', HTMLElement).textContent = `${whereItRuns(backend, placedBy())}.`;
    find('about-model', HTMLElement).textContent =
      `${name}, ${bytes(size)}. It reads up to ${count(info.contextLength)} tokens of a conversation.`;
    find('about-technical', HTMLElement).textContent =
      `Quantisation: ${info.quantization}. Backend: ${{ webgpu: 'WebGPU', wasm: 'WASM', reference: 'reference' }[backend.name]}, ${backend.device}. Kernels: ${backend.variant}.`;
    find('about-notes', HTMLUListElement).replaceChildren(
      ...info.notes.map((text) => element('li', {}, sentence(text))),
    );
    find('about', HTMLDetailsElement).hidden = false;
  };

  const isDemo = (): boolean =>
    present !== undefined && (present.choice.source === EMBEDDED.source || present.model.info.name === EMBEDDED.name);
  const session: ModelSession = {
    get model() {
      return present?.model;
    },
    get choice() {
      return present?.choice ?? next ?? former ?? choiceOfOffer(firstModel());
    },
    get constrained() {
      return present?.constrained === true;
    },
    get next() {
      return present && next;
    },
    get busy() {
      return (loading !== undefined && !present) || moving;
    },
    open,
    async constrain() {
      constraints = true;
      if (present && !present.constrained) await open(next ?? present.choice);
      return session.constrained;
    },
    rename(choice) {
      if (!present) return;
      present.choice = choice;
      keep('model', choice.source);
      showAbout(present.model);
      refresh();
    },
    cancel: () => loading?.abort(),
    async forget() {
      clearTimeout(saving);
      await present?.model.forgetConversations().catch(() => undefined);
      await forgetConversations().catch(() => undefined); // of other models
    },
    endMove() {
      moving = false;
      replyEnded();
      clearTimeout(saving);
      saving = setTimeout(save, SAVE_AFTER_MS);
      refresh();
    },
    placement,
    placedBy,
    isDemo,
    recommended: () => ({
      ...present?.model.info.sampling,
      ...(isDemo() && EMBEDDED_SAMPLING),
      ...(present && { contextLength: present.model.info.contextLength, threads: present.model.info.backend.threads }),
    }),
  };
  return session;
}
