/** Where a model runs: on a backend, and on another one when that is lost or out of memory. */
import type { Backend, Runner } from '../backend/backend';
import { fail } from '../errors';
import { descend, retreat, type Descent } from './pick';

export interface Pace {
  /** tokens of one prefill call; fixed, because the cut of a prompt shows in the rounding */
  chunk: number;
  /** decode calls under way at a time */
  windows: number;
  /** decode steps of one call, at most */
  longest: number;
}

/** A model on a backend. */
export interface Seat {
  readonly backend: Pick<Backend, 'info' | 'memory' | 'dispose'>;
  readonly runner: Runner;
  readonly pace: Pace;
  /** tokens of prompt and answer together */
  readonly contextLength: number;
}

export interface Place {
  /**
   * Runs a task, which brings the runner to the state it needs. Where the device is lost or out of memory on the way, the model is set up
   * anew and the task begun again; tasks run one after another.
   * @throws what the task throws; what setting up throws, AbortError too: then the next task begins with that
   */
  run<T>(task: (seat: Seat) => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** undefined while it is between two */
  readonly seat: Seat | undefined;
  /** why the model was set up once more, until the task that was disturbed is through */
  readonly cause: string | undefined;
  dispose(): Promise<void>;
}

/** @param settle loads the model into a backend */
export function createPlace(descent: Descent, settle: (backend: Backend, signal?: AbortSignal) => Promise<Seat>): Place {
  let seat: Seat | undefined;
  let cause: string | undefined;
  let begun = false;

  const take = (signal?: AbortSignal): Promise<Seat> =>
    descend(descent, (backend) => {
      if (begun) cause = descent.reasons.at(-1);
      begun = true;
      return settle(backend, signal);
    });

  async function leave(): Promise<void> {
    const left = seat;
    seat = undefined;
    await Promise.resolve(left?.backend.dispose()).catch(() => undefined); // of a lost device nothing more is to be known
  }

  return {
    async run(task, signal) {
      for (;;) {
        const present = (seat ??= await take(signal));
        try {
          const result = await task(present);
          cause = undefined;
          return result;
        } catch (error) {
          const { name } = error as Error;
          if (name !== 'DeviceError' && name !== 'MemoryError') throw error;
          const lost = name === 'DeviceError';
          if (!lost && descent.rungs.every((rung) => rung.name === present.backend.info.name)) outgrown(present.runner.position, error);
          await leave();
          retreat(descent, error as Error, lost ? 'lost' : 'failed');
        }
      }
    },
    get seat() {
      return seat;
    },
    get cause() {
      return cause;
    },
    dispose: leave,
  };
}

/** The state is whole and cannot grow, nor is there another backend: a shorter conversation still goes. */
const outgrown = (positions: number, cause: unknown): never =>
  fail(
    'MemoryError',
    {
      what: 'The conversation has outgrown the memory',
      got: `${positions} tokens, and for more: ${(cause as Error).message}`,
      cure: `Begin a new conversation, or load the model with a contextLength of ${Math.max(SHORTEST_CONTEXT, positions)} or less.`,
    },
    cause,
  );

export const SHORTEST_CONTEXT = 16;
