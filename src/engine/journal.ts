/**
 * What a runner has read, and how it was cut into calls: enough to make its state again on another device, to the last bit. How many tokens
 * are read together shows in the rounding, so that answers are read again as they were made, token by token.
 */
import type { BackendName, Runner } from '../backend/backend';
import { abortError } from '../errors';
import { pause } from './pause';

/** Tokens of one prefill call, or one token of an answer. After a rewind into it, the first `kept` are what counts. */
export interface Span {
  readonly ids: readonly number[];
  readonly kept: number;
}

export interface Journal {
  /** by which backend; another one rounds otherwise anyway, and may read as suits it */
  readonly by?: BackendName;
  readonly spans: readonly Span[];
}

export const EMPTY: Journal = { spans: [] };

export const lengthOf = ({ spans }: Journal): number => spans.reduce((sum, { kept }) => sum + kept, 0);

/** The tokens by position. */
export const tokensOf = ({ spans }: Journal): number[] => spans.flatMap(({ ids, kept }) => (kept === ids.length ? ids : ids.slice(0, kept)));

export const spanOf = (ids: readonly number[]): Span => ({ ids, kept: ids.length });

/** The first `length` tokens. */
export function cut({ by, spans }: Journal, length: number): Journal {
  const left: Span[] = [];
  for (const { ids, kept } of spans) {
    if (length <= 0) break;
    left.push({ ids, kept: Math.min(kept, length) });
    length -= kept;
  }
  return { by, spans: left };
}

/** The same tokens in pieces of `chunk`, for a backend. */
export function recut(journal: Journal, by: BackendName, chunk: number): Journal {
  if (journal.by === by || journal.spans.length === 0) return { by, spans: journal.spans };
  const tokens = tokensOf(journal);
  return { by, spans: Array.from({ length: Math.ceil(tokens.length / chunk) }, (_, i) => spanOf(tokens.slice(i * chunk, (i + 1) * chunk))) };
}

/**
 * Brings a runner to where the journal ends: back, or forward from the state of a new one.
 * @param onRead told after each span that is read how many tokens there are now
 * @returns what the state then holds: nothing, where the runner cannot go back so far
 * @throws AbortError, what the runner throws
 */
export async function restore(runner: Runner, journal: Journal, onRead: (tokens: number) => void, signal?: AbortSignal): Promise<Journal> {
  const length = lengthOf(journal);
  if (runner.position > length && !runner.rewind(length)) {
    runner.rewind(0);
    return { ...journal, spans: [] };
  }
  let end = 0;
  for (const { ids, kept } of journal.spans) {
    end += kept;
    if (end <= runner.position) continue;
    await pause();
    if (signal?.aborted) throw abortError();
    await runner.prefill(Uint32Array.from(ids));
    if (kept < ids.length) runner.rewind(end);
    onRead(end);
  }
  return journal;
}
