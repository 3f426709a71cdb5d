/** A model that survives the loss of its device: it is loaded again, on the same backend or on the next one. */
import type { Backend, BatchSizes, Program, State } from '../backend/backend';
import { abortError, fail } from '../errors';
import { handleBackendFailure, withWorkingBackend, type FallbackState } from './choose_backend';
import { yieldToEventLoop } from './event_loop';
import { Turns } from './turns';

/** A model whose weights are in a backend and whose plan is compiled. */
export interface ModelOnBackend {
  readonly backend: Pick<Backend, 'info' | 'memory' | 'dispose'>;
  readonly program: Program;
  /** tells programs apart that cannot use each other's states: other weights, kernels, or another build */
  readonly identity: string;
  /** the empty state of the first run, until a conversation takes it */
  unusedState?: State;
  readonly batchSizes: BatchSizes;
  /** tokens of prompt and answer together */
  readonly contextLength: number;
}

/** The right of a task to use the device. */
export interface Turn {
  /** another task waits */
  readonly wanted: boolean;
  /**
   * Lets messages arrive, and other tasks run if they wait. No call of the task may be under way. An abort ends it
   * without the turn: the caller checks its signal.
   * @returns whether it had to wait
   */
  pass(): Promise<boolean>;
}

export interface RecoverableModel {
  /**
   * Runs a task that first brings its state to where it needs it. Several tasks take turns. If the device is lost or
   * out of memory, the model is loaded again, once for all tasks, and each starts again.
   * @param positions of the task's state, for the error if it cannot grow
   * @throws what the task throws, and what loading throws, also AbortError: then the next task loads first
   */
  run<T>(
    task: (model: ModelOnBackend, turn: Turn) => Promise<T>,
    signal?: AbortSignal,
    positions?: () => number,
  ): Promise<T>;
  /** undefined while the model is not on any backend */
  readonly current: ModelOnBackend | undefined;
  /** why the model was loaded again, until the interrupted tasks have ended */
  readonly reloadReason: string | undefined;
  dispose(): Promise<void>;
}

/** Thrown into a task whose model was loaded again during the turn of another task. */
const REPLACED = new Error('The model was loaded again');

/** @param freeMemory frees something that no task uses; false if there is nothing */
export function createRecoverableModel(
  fallback: FallbackState,
  loadInto: (backend: Backend, signal?: AbortSignal) => Promise<ModelOnBackend>,
  freeMemory: (program: Program) => boolean = () => false,
): RecoverableModel {
  const turns = new Turns();
  let current: ModelOnBackend | undefined;
  let reloadReason: string | undefined;
  let wasLoaded = false;
  let tasks = 0;

  const load = (signal?: AbortSignal): Promise<ModelOnBackend> =>
    withWorkingBackend(fallback, (backend) => {
      if (wasLoaded) reloadReason = fallback.reasons.at(-1);
      wasLoaded = true;
      return loadInto(backend, signal);
    });

  async function dispose(): Promise<void> {
    const old = current;
    current = undefined;
    // a lost device may also fail to free its memory
    await Promise.resolve(old?.backend.dispose()).catch(() => undefined);
  }

  /** Makes it possible to start the task again. @throws the error if that is not possible */
  async function recover(error: Error, model: ModelOnBackend, positions: () => number): Promise<void> {
    if (error === REPLACED) return;
    const lost = error.name === 'DeviceError';
    if (!lost && error.name !== 'MemoryError') throw error;
    if (!lost && freeMemory(model.program)) return;
    const otherBackend = fallback.candidates.some((candidate) => candidate.name !== model.backend.info.name);
    if (!lost && !otherBackend) failOutgrown(positions(), error);
    await dispose();
    handleBackendFailure(fallback, error, lost ? 'lost' : 'failed');
  }

  return {
    async run(task, signal, positions = () => 0) {
      let ours = await turns.take(signal);
      if (!ours) throw abortError();
      tasks++;
      try {
        for (;;) {
          const model = (current ??= await load(signal));
          const turn: Turn = {
            get wanted() {
              return turns.wanted;
            },
            async pass() {
              await yieldToEventLoop();
              if (!turns.wanted) return false;
              turns.release();
              ours = await turns.take(signal);
              if (ours && current !== model) throw REPLACED;
              return true;
            },
          };
          try {
            const result = await task(model, turn);
            if (tasks === 1) reloadReason = undefined;
            return result;
          } catch (error) {
            await recover(error as Error, model, positions);
          }
        }
      } finally {
        tasks--;
        if (ours) turns.release();
      }
    },
    get current() {
      return current;
    },
    get reloadReason() {
      return reloadReason;
    },
    dispose,
  };
}

/** The state is intact but cannot grow, and there is no other backend. A shorter conversation still works. */
const failOutgrown = (positions: number, cause: unknown): never =>
  fail(
    'MemoryError',
    {
      what: 'The conversation no longer fits into memory',
      got: `${positions} tokens, then: ${(cause as Error).message}`,
      cure: `Begin a new conversation, or load the model with a contextLength of ${Math.max(MIN_CONTEXT_LENGTH, positions)} or less.`,
    },
    cause,
  );

export const MIN_CONTEXT_LENGTH = 16;
