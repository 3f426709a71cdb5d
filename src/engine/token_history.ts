/**
 * The tokens that a state has read, call by call: enough to restore its state on another device, bit for bit. The
 * number of tokens of a call changes the rounding, so an answer is read again as it was made, token by token.
 */
import type { BackendName, State } from '../backend/backend';
import { abortError } from '../errors';

/**
 * The tokens of one prefill call, or one token of an answer. After a rewind into the call only the first `kept` count.
 */
export interface HistoryCall {
  readonly ids: readonly number[];
  readonly kept: number;
}

export interface TokenHistory {
  /** which backend read them; another backend rounds in its own way, so it may read them in other calls */
  readonly backend?: BackendName;
  readonly calls: readonly HistoryCall[];
}

export const EMPTY_HISTORY: TokenHistory = { calls: [] };

export const historyLength = ({ calls }: TokenHistory): number => calls.reduce((sum, { kept }) => sum + kept, 0);

/** The tokens by position. */
export const historyTokens = ({ calls }: TokenHistory): number[] =>
  calls.flatMap(({ ids, kept }) => (kept === ids.length ? ids : ids.slice(0, kept)));

export const historyCall = (ids: readonly number[]): HistoryCall => ({ ids, kept: ids.length });

export const appendToHistory = (history: TokenHistory, calls: readonly HistoryCall[]): TokenHistory => ({
  ...history,
  calls: [...history.calls, ...calls],
});

/** The first `length` tokens. */
export function truncateHistory({ backend, calls }: TokenHistory, length: number): TokenHistory {
  const first: HistoryCall[] = [];
  for (const { ids, kept } of calls) {
    if (length <= 0) break;
    first.push({ ids, kept: Math.min(kept, length) });
    length -= kept;
  }
  return { backend, calls: first };
}

/** The same tokens in calls of `prefillBatch` tokens, if another backend read them. */
export function rebatchHistory(history: TokenHistory, backend: BackendName, prefillBatch: number): TokenHistory {
  if (history.backend === backend || history.calls.length === 0) return { backend, calls: history.calls };
  const tokens = historyTokens(history);
  return {
    backend,
    calls: Array.from({ length: Math.ceil(tokens.length / prefillBatch) }, (_, i) =>
      historyCall(tokens.slice(i * prefillBatch, (i + 1) * prefillBatch)),
    ),
  };
}

/**
 * Brings a state to the end of the history: back by a rewind, or forward by reading what it lacks.
 * @param onRead gets the number of tokens read so far, after each call, and is awaited
 * @returns the history that the state now holds: an empty one if it cannot rewind that far
 * @throws AbortError, what the state throws
 */
export async function syncStateToHistory(
  state: State,
  history: TokenHistory,
  onRead: (tokens: number) => unknown,
  signal?: AbortSignal,
): Promise<TokenHistory> {
  const length = historyLength(history);
  if (state.position > length && !state.rewind(length)) {
    state.rewind(0);
    return { ...history, calls: [] };
  }
  let end = 0;
  for (const { ids, kept } of history.calls) {
    end += kept;
    if (end <= state.position) continue;
    if (signal?.aborted) throw abortError();
    await state.prefill(Uint32Array.from(ids), { signal });
    if (kept < ids.length) state.rewind(end);
    await onRead(end);
  }
  return history;
}
