/** For ops that read both directions: the tokens of a call are split into sequences, and none sees another. */
import { fail } from '../errors';

/**
 * Begin and end of each token's sequence, [T, 2].
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
  const bounds = new Uint32Array(2 * T);
  ends.forEach((end, i) => {
    for (let t = begin(i); t < end; t++) bounds.set([begin(i), end], 2 * t);
  });
  return bounds;
}
