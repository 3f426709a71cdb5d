import { describe, expect, it } from 'vitest';
import { DTYPES } from '../../tensor/dtype';
import { openReference } from '../reference/backend';
import { noise } from '../synthetic';
import { GOLDEN } from './golden';
import { fingerprint, probePlan, sizesOf, type Fingerprint, type Subject } from './probe';

const SUBJECTS = [...Object.keys(DTYPES), 'long'] as Subject[];

/** @param unrest the vectors are off by up to this share, each number by another */
async function ofReference(subject: Subject, unrest = 0, seed = ''): Promise<Fingerprint> {
  const backend = openReference();
  const uneasy = (name: string, values: Float32Array): Float32Array => {
    const next = noise(name + seed);
    return values.map((v) => v * (1 + unrest * (next() / 2 ** 31 - 1)));
  };
  const plan = await probePlan({ matrix: (spec) => backend.matrix(spec), vector: (name, values) => backend.vector(name, uneasy(name, values)) }, subject);
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
    for (const seed of ['a', 'b']) expect((await ofReference(subject, 2e-3, seed)).drawn).toEqual(GOLDEN[subject].drawn);
  });
});
