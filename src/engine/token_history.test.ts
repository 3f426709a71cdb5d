import { expect, it } from 'vitest';
import type { State } from '../backend/backend';
import {
  truncateHistory,
  EMPTY_HISTORY,
  historyLength,
  rebatchHistory,
  syncStateToHistory,
  historyCall,
  historyTokens,
  type TokenHistory,
} from './token_history';

/** A state that notes how it is called. */
function noting(position = 0, reach = Infinity): { state: State; calls: string[] } {
  const calls: string[] = [];
  const state = {
    get position() {
      return position;
    },
    async prefill(tokens: Uint32Array) {
      calls.push(`read ${tokens.join()}`);
      position += tokens.length;
    },
    rewind(to: number) {
      calls.push(`back to ${to}`);
      if (to > 0 && position - to > reach) return false;
      position = to;
      return true;
    },
  } as State;
  return { state, calls };
}

const journal: TokenHistory = {
  backend: 'webgpu',
  calls: [historyCall([1, 2, 3, 4]), historyCall([5, 6]), historyCall([7]), historyCall([8])],
};

it('cuts in the middle of a span, and remembers the whole of it', () => {
  expect(historyTokens(truncateHistory(journal, 5))).toEqual([1, 2, 3, 4, 5]);
  expect(truncateHistory(journal, 5).calls.at(-1)).toEqual({ ids: [5, 6], kept: 1 });
  expect([0, 4, 6, 99].map((n) => historyLength(truncateHistory(journal, n)))).toEqual([0, 4, 6, 8]);
  expect(historyTokens(truncateHistory(truncateHistory(journal, 5), 5))).toEqual([1, 2, 3, 4, 5]);
});

it('is cut anew for another backend, not for its own', () => {
  expect(rebatchHistory(journal, 'webgpu', 3)).toEqual(journal);
  expect(rebatchHistory(journal, 'wasm', 3)).toEqual({
    backend: 'wasm',
    calls: [
      [1, 2, 3],
      [4, 5, 6],
      [7, 8],
    ].map(historyCall),
  });
  expect(rebatchHistory(EMPTY_HISTORY, 'wasm', 3)).toEqual({ backend: 'wasm', calls: [] });
});

it.each<[string, number, number, string[]]>([
  ['nothing where the state is there already', 8, 8, []],
  ['a way back', 12, 8, ['back to 8']],
  ['all, as it was read, on a new device', 0, 8, ['read 1,2,3,4', 'read 5,6', 'read 7', 'read 8']],
  ['also what was read and taken back', 0, 5, ['read 1,2,3,4', 'read 5,6', 'back to 5']],
  ['the rest, after an abort', 6, 8, ['read 7', 'read 8']],
])('restores: %s', async (_, position, length, expected) => {
  const { state, calls } = noting(position);
  const told: number[] = [];
  const restored = await syncStateToHistory(state, truncateHistory(journal, length), (tokens) => told.push(tokens));
  expect(calls).toEqual(expected);
  expect(historyLength(restored)).toBe(length);
  expect(state.position).toBe(length);
  expect(told.length).toBe(expected.filter((call) => call.startsWith('read')).length);
});

it('is empty where the state cannot go back so far', async () => {
  const { state, calls } = noting(100, 50);
  expect(await syncStateToHistory(state, journal, () => undefined)).toEqual({ backend: 'webgpu', calls: [] });
  expect(calls).toEqual(['back to 8', 'back to 0']);
});
