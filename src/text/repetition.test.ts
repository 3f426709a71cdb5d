import { expect, it } from 'vitest';
import { createRepetitionDetector } from './repetition';

/** The number of tokens after which the detector tells, or undefined. */
function toldAfter(ids: Iterable<number>): number | undefined {
  const repeats = createRepetitionDetector();
  let n = 0;
  for (const id of ids) {
    n++;
    if (repeats(id)) return n;
  }
  return undefined;
}

const times = (n: number, run: number[]): number[] => Array.from({ length: n }, () => run).flat();
const run = (length: number): number[] => Array.from({ length }, (_, i) => 1000 + ((i * 7919) % 501));

it.each([
  [1, 128],
  [2, 128],
  [5, 128],
  [16, 128],
  [17, 136],
  [64, 512],
])('a run of %d tokens is told after %d, also behind a text', (length, wanted) => {
  expect(toldAfter(times(600, run(length)))).toBe(wanted);
  const text = run(300).map((id) => id + 3000);
  expect(toldAfter([...text, ...times(600, run(length))])).toBe(300 + wanted);
});

it('tells nothing of longer runs, of runs with a change, or of text', () => {
  expect(toldAfter(times(50, run(65)))).toBeUndefined();
  expect(toldAfter(run(5000).map((id, i) => id + i))).toBeUndefined();
  const counted = Array.from({ length: 400 }, (_, i) => [5, 6, 7, 2000 + i]).flat(); // "item 1, item 2 …"
  expect(toldAfter(counted)).toBeUndefined();
  const rare = times(40, run(10)).map((id, i) => (i % 100 === 99 ? 1 : id));
  expect(toldAfter(rare)).toBeUndefined();
});
