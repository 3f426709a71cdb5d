/** The model of the page: which one it is, loading it, and where it runs. */
import { listModels, load, type EstimateOptions, type EvictionRequest, type Model, type Progress } from '../../../src/index';
import { element, find } from '../dom';
import { sentence, type Explanation } from '../explain';
import { bytes, count } from '../format';
import { keep } from '../history';
import type { Overrides, Settings } from '../settings';
import { EMBEDDED, EMBEDDED_SAMPLING } from './catalogue';
import { choiceNamed, type Choice } from './picker';
import { createProgress } from './progress';

export interface ModelSession {
  /** absent while a model is being loaded, and after that failed */
  readonly model: Model | undefined;
  readonly choice: Choice;
  /** a model is being loaded, or moves to another device */
  readonly busy: boolean;
  /** Replaces the loaded model. */
  open(chosen: Choice): Promise<void>;
  cancel(): void;
  /** a reply has ended: no move can go on */
  endMove(): void;
  /** The options of a load: from the address, else from the settings. */
  placement(): EstimateOptions;
  /** the loaded model is the demo model of this page, also when it was opened as a file */
  isDemo(): boolean;
  /** the sampling that suits the loaded model */
  recommended(): Partial<Record<string, number>>;
}

export interface ModelSessionParts {
  overrides: Overrides;
  settings(): Settings;
  announce(text: string): void;
  /** told after each change of `model`, `choice` or `busy` */
  changed(): void;
  /** told before the present model goes */
  replacing(): void;
  showError(error: unknown, retry: () => void, download?: Explanation): void;
}

export function createModelSession({ overrides, settings, announce, changed, replacing, showError }: ModelSessionParts): ModelSession {
  let model: Model | undefined;
  let choice = choiceNamed(EMBEDDED.source);
  let loading: AbortController | undefined;
  /** the model is being loaded again on another device */
  let moving = false;

  const progressShown = createProgress(announce);
  const showProgress = (progress: Progress): void => progressShown(choice.name, progress);
  const refresh = (): void => {
    find('loading', HTMLElement).hidden = loading === undefined && !moving;
    find('model-name', HTMLElement).textContent = choice.name;
    changed();
  };

  /** The GPU was lost or memory ran out, and the model is loaded again. The reply waits for it. */
  const showMove = (progress: Progress): void => {
    moving = progress.phase !== 'ready';
    showProgress(progress);
    if (!moving && model) {
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

  const open = async (chosen: Choice): Promise<void> => {
    replacing();
    loading?.abort();
    const mine = new AbortController();
    loading = mine;
    choice = chosen;
    find('about', HTMLDetailsElement).hidden = true;
    showProgress({ phase: 'resolve', bytes: 0, total: 0, rate: 0 });
    announce(`Loading ${chosen.name}.`);
    let total = 0;
    const former = model;
    model = undefined;
    moving = false;
    refresh();
    let opened: Model | undefined;
    try {
      await former?.unload();
      opened = await load(chosen.source, {
        ...placement(),
        makeRoom,
        signal: mine.signal,
        onProgress: (progress) => {
          if (progress.phase === 'download') total = progress.total;
          if (loading === mine) showProgress(progress);
          else if (opened && model === opened) showMove(progress);
        },
      });
      if (loading !== mine) return void opened.unload();
      model = opened;
      if (typeof chosen.source === 'string') keep('model', opened.info.id);
      showAbout(opened);
      announce(`${chosen.name} is ready.`);
    } catch (error) {
      if (loading !== mine) return;
      showError(error, () => void open(chosen), await cancelledDownload(error, total));
    } finally {
      if (loading === mine) {
        loading = undefined;
        refresh();
      }
    }
  };

  const showAbout = ({ info }: Model): void => {
    const { backend } = info;
    const where = {
      webgpu: `with WebGPU: ${backend.device}`,
      wasm: `on the CPU, ${backend.threads === 1 ? '1 thread' : `${backend.threads} threads`}`,
      reference: 'on the reference backend',
    }[backend.name];
    const model = `${info.name}: ${info.quantization}, ${bytes(info.bytes)}, context of ${count(info.contextLength)} tokens`;
    const technical = `Backend: ${{ webgpu: 'WebGPU', wasm: 'WASM', reference: 'reference' }[backend.name]}, ${backend.device}. Kernels: ${backend.variant}.`;
    find('about-summary', HTMLElement).textContent = `Running ${where}`;
    find('about-model', HTMLElement).textContent = [...(choice.source === EMBEDDED.source ? [EMBEDDED.description] : []), `${model}.`, technical].join(' ');
    find('about-notes', HTMLUListElement).replaceChildren(...backend.notes.map((note) => element('li', {}, sentence(note))));
    find('about', HTMLDetailsElement).hidden = false;
  };

  const isDemo = (): boolean => model !== undefined && (choice.source === EMBEDDED.source || model.info.name === EMBEDDED.name);
  return {
    get model() {
      return model;
    },
    get choice() {
      return choice;
    },
    get busy() {
      return loading !== undefined || moving;
    },
    open,
    cancel: () => loading?.abort(),
    endMove() {
      moving = false;
      refresh();
    },
    placement,
    isDemo,
    recommended: () => ({ ...model?.info.sampling, ...(isDemo() && EMBEDDED_SAMPLING) }),
  };
}

/** Asks before anything is deleted. */
function makeRoom({ id, needed, free, victims }: EvictionRequest): boolean {
  const names = victims.map((victim) => `${choiceNamed(victim.id).name} (${bytes(victim.bytes)}, last used ${victim.lastUsed.toLocaleDateString()})`).join(', ');
  const room = free === undefined ? '' : `, and ${bytes(free)} is free`;
  return confirm(`Storing ${choiceNamed(id).name} on this device needs ${bytes(needed)}${room}. Delete ${names} to make room?`);
}

/** What a cancelled download leaves behind, where it is known. */
async function cancelledDownload(error: unknown, total: number): Promise<Explanation | undefined> {
  if (!(error instanceof Error && error.name === 'AbortError') || total === 0) return undefined;
  const models = await listModels().catch(() => []);
  const part = models.find((stored) => !stored.complete && stored.bytes === total);
  return part && { title: 'Download cancelled', text: `${bytes(part.storedBytes)} of ${bytes(total)} are kept. The download continues from there.` };
}
