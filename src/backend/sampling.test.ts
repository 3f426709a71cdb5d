import { expect, it } from 'vitest';
import { logprobs } from './sampling';

const logits = Float32Array.of(1, 3, -2, 3, 0.5, -Infinity);
const softmax = (v: number): number => Math.log(Math.exp(logits[v]) / logits.reduce((sum, l) => sum + Math.exp(l), 0));

it.each([
  [0, []],
  [1, [1]],
  [3, [1, 3, 0]],
  [20, [1, 3, 0, 4, 2, 5]],
])('logprobs of a choice and the %i most likely', (n, ids) => {
  const { id, logprob, top } = logprobs(logits, 4, n);
  expect(id).toBe(4);
  expect(logprob).toBeCloseTo(softmax(4), 12);
  expect(top.map((one) => one.id)).toEqual(ids);
  for (const one of top.filter((t) => t.id !== 5)) expect(one.logprob).toBeCloseTo(softmax(one.id), 12);
});

it('logprobs of logits beyond the range of exp', () => {
  const { logprob, top } = logprobs(Float32Array.of(5000, 4999), 1, 1);
  expect(logprob).toBeCloseTo(-1 - Math.log(1 + Math.exp(-1)), 12);
  expect(top[0].id).toBe(0);
});
