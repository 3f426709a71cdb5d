/** The model of one element: loaded when it is first needed, and after a question if it is a large download. */
import type { Model, Progress } from '../index';
import { loadOptionsOf } from './element_options';
import { elementError, getEngine } from './engine';
import type { ChatView } from './rivulet_chat_view';
import { useModel, type ModelUse } from './shared_models';
import { untilAborted } from './until_aborted';

/** A larger download begins with a question, and a larger copy of what another tab has in memory; in bytes. */
const ASK_ABOVE = 20_000_000;
const ASK_ABOVE_IN_MEMORY = 300_000_000;

export class ElementModel {
  readonly #element: HTMLElement & { model: string };
  readonly #view: ChatView;
  readonly #tell: (type: string, detail: unknown) => void;
  #use: ModelUse | undefined;
  #loaded: Model | undefined;
  /** the load that is under way, for all calls that wait for the model */
  #loading: Promise<Model> | undefined;
  #loadAbort = new AbortController();

  constructor(element: HTMLElement & { model: string }, view: ChatView, tell: (type: string, detail: unknown) => void) {
    this.#element = element;
    this.#view = view;
    this.#tell = tell;
  }

  get loaded(): Model | undefined {
    return this.#loaded;
  }

  /** All calls wait for the same load. @throws the errors of `load`; an AbortError if the download is not wanted */
  load(): Promise<Model> {
    if (this.#loaded && this.#use) return Promise.resolve(this.#loaded);
    const { signal } = (this.#loadAbort = this.#loading ? this.#loadAbort : new AbortController());
    return (this.#loading ??= this.#open(signal).finally(() => {
      if (!signal.aborted) this.#loading = undefined;
    }));
  }

  async #open(signal: AbortSignal): Promise<Model> {
    if (!this.#element.model)
      throw elementError(
        'RequestError',
        'The element has no model',
        'no attribute model',
        'Write <rivulet-chat model="./model.gguf">, or a hub id.',
      );
    const options = loadOptionsOf(this.#element);
    this.#view.setProgress('Looking for the model');
    await this.#agree(options.hub, signal);
    signal.throwIfAborted();
    const use = (this.#use = useModel(
      this.#element.model,
      options,
      (progress) => this.#progress(progress),
      ({ memory }) => this.#agreeToCopy(memory, signal),
    ));
    try {
      const model = await untilAborted(use.model, signal);
      this.#loaded = model;
      this.#tell('rivulet-ready', model.info);
      return model;
    } catch (error) {
      if (this.#use === use) this.release();
      throw error;
    }
  }

  /** Asks before a large download. @throws an AbortError if the answer is no */
  async #agree(hub: string | undefined, signal: AbortSignal): Promise<void> {
    if (this.#element.getAttribute('download') === 'auto') return;
    const engine = await getEngine();
    // a model whose size is not known, say without a network, is refused or loaded by `load`, which says why
    const room = await engine.modelRoom(this.#element.model, { ...(hub && { hub }), signal }).catch(() => undefined);
    if (!room || room.needed <= ASK_ABOVE || signal.aborted) return;
    this.#view.setProgress(undefined);
    if (
      !(await this.#view.ask(
        `The model is downloaded to this device once: ${Math.round(room.needed / 1e6)} MB.`,
        'Download',
        signal,
      ))
    )
      throw new DOMException('The download was not wanted.', 'AbortError');
  }

  async #agreeToCopy(memory: number, signal: AbortSignal): Promise<boolean> {
    if (memory < ASK_ABOVE_IN_MEMORY) return true;
    this.#view.setProgress(undefined);
    const question = `The model is open elsewhere on this site. A copy here takes ${Math.round(memory / 1e6)} MB of memory more.`;
    return this.#view.ask(question, 'Load a copy', signal);
  }

  #progress(progress: Progress): void {
    this.#tell('rivulet-progress', progress);
    const { phase, bytes, total } = progress;
    const megabytes = (n: number): string => (n / 1e6).toFixed(n < 1e7 ? 1 : 0);
    if (phase === 'ready') this.#view.setProgress(undefined);
    else if (phase === 'download' && total)
      this.#view.setProgress(`Downloading: ${megabytes(bytes ?? 0)} of ${megabytes(total)} MB`, (bytes ?? 0) / total);
    else this.#view.setProgress('Loading the model', bytes && total ? bytes / total : undefined);
  }

  /** The element no longer uses the model; a load that nobody else waits for ends. */
  release(): void {
    this.#loadAbort.abort();
    this.#loading = undefined;
    this.#use?.release();
    this.#use = undefined;
    this.#loaded = undefined;
  }
}
