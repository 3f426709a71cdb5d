/** A model that survives the loss of its device: it is loaded again, on the same backend or on the next one. */
import type { Backend, Runner, RunnerBatchSizes } from '../backend/backend';
import { fail } from '../errors';
import { handleBackendFailure, withWorkingBackend, type FallbackState } from './choose_backend';

/** A model whose weights are in a backend and whose plan is compiled. */
export interface ModelOnBackend {
  readonly backend: Pick<Backend, 'info' | 'memory' | 'dispose'>;
  readonly runner: Runner;
  readonly batchSizes: RunnerBatchSizes;
  /** tokens of prompt and answer together */
  readonly contextLength: number;
}

export interface RecoverableModel {
  /**
   * Runs a task that first brings the runner to the state it needs. If the device is lost or out of memory, the model
   * is loaded again and the task starts again. Tasks run one after another.
   * @throws what the task throws, and what loading throws, also AbortError: then the next task loads first
   */
  run<T>(task: (model: ModelOnBackend) => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** undefined while the model is not on any backend */
  readonly current: ModelOnBackend | undefined;
  /** why the model was loaded again, until the interrupted task has ended */
  readonly reloadReason: string | undefined;
  dispose(): Promise<void>;
}

export function createRecoverableModel(
  fallback: FallbackState,
  loadInto: (backend: Backend, signal?: AbortSignal) => Promise<ModelOnBackend>,
): RecoverableModel {
  let current: ModelOnBackend | undefined;
  let reloadReason: string | undefined;
  let wasLoaded = false;

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

  return {
    async run(task, signal) {
      for (;;) {
        const model = (current ??= await load(signal));
        try {
          const result = await task(model);
          reloadReason = undefined;
          return result;
        } catch (error) {
          const { name } = error as Error;
          if (name !== 'DeviceError' && name !== 'MemoryError') throw error;
          const lost = name === 'DeviceError';
          const otherBackend = fallback.candidates.some((candidate) => candidate.name !== model.backend.info.name);
          if (!lost && !otherBackend) failOutgrown(model.runner.position, error);
          await dispose();
          handleBackendFailure(fallback, error as Error, lost ? 'lost' : 'failed');
        }
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
