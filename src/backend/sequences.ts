/** For ops without a state: the tokens of a call are split into sequences, and none sees another. */
import { fail } from '../errors';

/**
 * For each token, begin and end of the rows that it attends to, and of those that its convolution reads, [T, 4]: those
 * of its sequence.
 * @param ends of the sequences, ascending, the last one T
 * @throws RequestError
 */
export function sequenceBounds(T: number, ends: Uint32Array = Uint32Array.of(T)): Uint32Array<ArrayBuffer> {
  const begin = (i: number): number => ends[i - 1] ?? 0;
  if (ends.at(-1) !== T || ends.some((end, i) => end <= begin(i)))
    fail('RequestError', {
      what: 'The sequences of a call are wrong',
      wanted: `ascending ends, the last one ${T}`,
    });
  const bounds = new Uint32Array(4 * T);
  ends.forEach((end, i) => {
    for (let t = begin(i); t < end; t++) bounds.set([begin(i), end, begin(i), end], 4 * t);
  });
  return bounds;
}
