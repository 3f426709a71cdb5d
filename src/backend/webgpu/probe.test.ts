import { describe, expect, it } from 'vitest';
import { DTYPES } from '../../tensor/dtype';
import type { Backend } from '../backend';
import { openReference } from '../reference/backend';
import { noise } from '../synthetic';
import { GOLDEN } from './golden';
import { fingerprint, probePlan, sizesOf, type Fingerprint, type Subject } from './probe';

const SUBJECTS = [...Object.keys(DTYPES), 'long'] as Subject[];

/**
 * @param unrest the vectors are off by up to this share, each number by another
 * @param absent a segment of a matrix that is all zeros
 */
async function ofReference(subject: Subject, { unrest = 0, seed = '', absent = '' } = {}): Promise<Fingerprint> {
  const backend = openReference();
  const uneasy = (name: string, values: Float32Array): Float32Array => {
    const next = noise(name + seed);
    return values.map((v) => v * (1 + unrest * (next() / 2 ** 31 - 1)));
  };
  const matrix: Backend['matrix'] = (spec) => {
    const { write, finish } = backend.matrix(spec);
    return { write: (i, row, bytes) => write(i, row, spec.segments[i].name === absent ? bytes.fill(0) : bytes), finish };
  };
  const plan = await probePlan({ matrix, vector: (name, values) => backend.vector(name, uneasy(name, values)) }, subject);
  return fingerprint(await backend.compile(plan, sizesOf(subject)), subject);
}

describe("the results that the self test wants are the reference's", () => {
  it.each(SUBJECTS)('%s', async (subject) => {
    const { projections, drawn } = await ofReference(subject);
    const rounded = { projections: projections.map((v) => Number(v.toFixed(4))), drawn };
    const message = `golden.ts should have ${subject}: ${JSON.stringify(rounded)}`;
    expect(projections.length, message).toBe(GOLDEN[subject].projections.length);
    expect(drawn, message).toEqual(GOLDEN[subject].drawn);
    projections.forEach((v, i) => expect(v, message).toBeCloseTo(GOLDEN[subject].projections[i], 3));
  });

  // a cache in halves is off by 2^-11 at most
  it.each(SUBJECTS)('%s: no draw hangs on rounding', async (subject) => {
    for (const seed of ['a', 'b']) expect((await ofReference(subject, { unrest: 2e-3, seed })).drawn).toEqual(GOLDEN[subject].drawn);
  });

  // 2e-2 is what the self test allows a cache in halves
  it.each(['F32', 'Q4_1', 'Q5_0', 'Q4_K', 'Q6_K'] as const)('%s: no map goes unseen', async (subject) => {
    for (const absent of ['bcx', 'conv_out', 'qk', 'v', 'attention_out', 'w1', 'w2', 'w3']) {
      const { projections } = await ofReference(subject, { absent });
      expect(Math.max(...projections.map((v, i) => Math.abs(v - GOLDEN[subject].projections[i]))), absent).toBeGreaterThan(4e-2);
    }
  });
});
