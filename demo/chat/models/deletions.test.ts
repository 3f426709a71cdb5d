import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createDeletions } from './deletions';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function parts(erase: (id: string) => Promise<void> = () => Promise.resolve()) {
  const erased: string[] = [];
  const failures: string[] = [];
  const deletions = createDeletions({
    ms: 1000,
    changed: vi.fn(),
    failed: (id, error) => failures.push(`${id}: ${(error as Error).message}`),
    erase: (id) => erase(id).then(() => void erased.push(id)),
  });
  return { deletions, erased, failures };
}

test('a model leaves the list at once and the storage after the time to undo', async () => {
  const { deletions, erased } = parts();
  deletions.remove('a');
  deletions.remove('a');
  expect(deletions.ids()).toEqual(['a']);
  await vi.advanceTimersByTimeAsync(999);
  expect(erased).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect([erased, deletions.ids()]).toEqual([['a'], []]);
  expect(deletions.undo('a')).toBe(false);
});

test('undone, it stays', async () => {
  const { deletions, erased } = parts();
  deletions.remove('a');
  expect(deletions.undo('a')).toBe(true);
  await vi.advanceTimersByTimeAsync(5000);
  expect([erased, deletions.ids()]).toEqual([[], []]);
});

test('while it is being deleted it is too late; a failure is told and the model is there again', async () => {
  let fail: (error: Error) => void = () => undefined;
  const { deletions, failures } = parts(() => new Promise((_, reject) => (fail = reject)));
  deletions.remove('a');
  await vi.advanceTimersByTimeAsync(1000);
  expect(deletions.undo('a')).toBe(false);
  expect(deletions.ids()).toEqual(['a']);
  fail(new Error('in use'));
  await vi.advanceTimersByTimeAsync(0);
  expect([failures, deletions.ids()]).toEqual([['a: in use'], []]);
});
