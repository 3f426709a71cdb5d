import '../../modules/experts';
import { describe, expect, it } from 'vitest';
import { DTYPES } from '../../tensor/dtype';
import { firstState, type Backend } from '../backend';
import { openReferenceBackend } from '../reference/backend';
import { seededRandom } from '../random_weights';
import { SELF_TEST_GOLDEN, type SelfTestCaseName, type SelfTestOutput } from './self_test_golden';
import { runSelfTestCase, selfTestPlan, selfTestCompileOptions } from './self_test';

const SELF_TEST_CASES = [...Object.keys(DTYPES), 'long', 'window', 'normAdd', 'experts'] as SelfTestCaseName[];

/**
 * Runs a case on the reference.
 * @param noise every number of a vector is off by a random share up to this
 * @param absent a segment of a matrix that becomes all zeros
 */
async function runOnReference(
  testCase: SelfTestCaseName,
  { noise = 0, seed = '', absent = '' } = {},
): Promise<SelfTestOutput> {
  const backend = openReferenceBackend();
  const perturbed = (name: string, values: Float32Array): Float32Array => {
    const next = seededRandom(name + seed);
    return values.map((v) => v * (1 + noise * (next() / 2 ** 31 - 1)));
  };
  const matrix: Backend['matrix'] = (spec) => {
    const { write, finish } = backend.matrix(spec);
    return {
      write: (i, row, bytes) => write(i, row, spec.segments[i].name === absent ? bytes.fill(0) : bytes),
      finish,
    };
  };
  const plan = await selfTestPlan(
    { matrix, vector: (name, values) => backend.vector(name, perturbed(name, values)) },
    testCase,
  );
  return runSelfTestCase(await firstState(backend, plan, selfTestCompileOptions(testCase)), testCase);
}

/** The largest change of a projection if a segment of a matrix is all zeros. */
async function changeWithout(absent: string, testCase: SelfTestCaseName): Promise<number> {
  const { projections } = await runOnReference(testCase, { absent });
  return Math.max(...projections.map((v, i) => Math.abs(v - SELF_TEST_GOLDEN[testCase].projections[i])));
}

describe("the results that the self test wants are the reference's", () => {
  it.each(SELF_TEST_CASES)('%s', async (testCase) => {
    const { projections, drawn } = await runOnReference(testCase);
    const rounded = { projections: projections.map((v) => Number(v.toFixed(4))), drawn };
    const message = `self_test_golden.ts should have ${testCase}: ${JSON.stringify(rounded)}`;
    expect(projections.length, message).toBe(SELF_TEST_GOLDEN[testCase].projections.length);
    expect(drawn, message).toEqual(SELF_TEST_GOLDEN[testCase].drawn);
    projections.forEach((v, i) => expect(v, message).toBeCloseTo(SELF_TEST_GOLDEN[testCase].projections[i], 3));
  });

  // an f16 cache rounds by at most 2^-11
  it.each(SELF_TEST_CASES)('%s: no draw depends on rounding', async (testCase) => {
    for (const seed of ['a', 'b'])
      expect((await runOnReference(testCase, { noise: 2e-3, seed })).drawn).toEqual(SELF_TEST_GOLDEN[testCase].drawn);
  });

  // the tolerance of the self test with an f16 cache is 2e-2
  it.each(['F32', 'Q4_1', 'Q5_0', 'Q4_K', 'Q6_K'] as const)(
    '%s: every linear map changes the result',
    async (testCase) => {
      for (const absent of ['bcx', 'conv_out', 'qk', 'v', 'attention_out', 'w1', 'w2', 'w3'])
        expect(await changeWithout(absent, testCase), absent).toBeGreaterThan(4e-2);
    },
  );

  // without a cache the tolerance is 2e-3
  it('experts: every map of every expert changes the result', async () => {
    for (const absent of ['router', ...['w1', 'w2', 'w3'].flatMap((w) => [0, 1, 2, 3, 4].map((e) => `${w} ${e}`))])
      expect(await changeWithout(absent, 'experts'), absent).toBeGreaterThan(2e-2);
  });
});
