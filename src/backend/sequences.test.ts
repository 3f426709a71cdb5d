import { describe, expect, it } from 'vitest';
import { sequenceBounds } from './sequences';

describe('the bounds of sequences', () => {
  it('are begin and end for each token, of attention and of convolutions', () => {
    expect([...sequenceBounds(4, Uint32Array.of(1, 4))]).toEqual([
      0,
      1,
      0,
      1,
      ...[1, 2, 3].flatMap(() => [1, 4, 1, 4]),
    ]);
    expect([...sequenceBounds(2)]).toEqual([0, 2, 0, 2, 0, 2, 0, 2]);
  });

  it.each([[[]], [[3]], [[5]], [[4, 4]], [[2, 1, 4]], [[0, 4]]])('refuse the ends %j of four tokens', (ends) => {
    expect(() => sequenceBounds(4, Uint32Array.from(ends))).toThrow(expect.objectContaining({ name: 'RequestError' }));
  });
});
