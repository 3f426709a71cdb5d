import { describe, expect, it } from 'vitest';
import { DTYPES, type Dtype } from '../../tensor/dtype';
import { openReference } from '../reference/backend';
import { GOLDEN } from './golden';
import { fingerprint, probePlan } from './probe';

describe("the results that the self test wants are the reference's", () => {
  it.each(Object.keys(DTYPES) as Dtype[])('%s', async (dtype) => {
    const backend = openReference();
    const { plan } = await probePlan(backend, dtype);
    const { projections, drawn } = await fingerprint(await backend.compile(plan, { contextLength: 64, chunk: 16 }));
    const rounded = { projections: projections.map((v) => Number(v.toFixed(4))), drawn };
    const message = `golden.ts should have ${dtype}: ${JSON.stringify(rounded)}`;
    expect(drawn, message).toEqual(GOLDEN[dtype].drawn);
    projections.forEach((v, i) => expect(v, message).toBeCloseTo(GOLDEN[dtype].projections[i], 3));
  });
});
