/**
 * The stored results of the check models are those of the reference backend, and the files of made-up weights are what
 * they say.
 */
import { firstState } from '../../src/backend/backend';
import { describe, expect, test } from 'vitest';
import { recordModel } from '../../src/backend/model_plan';
import { openReferenceBackend } from '../../src/backend/reference/backend';
import { openCheckpoint } from '../../src/engine/checkpoint';
import { loadWeights } from '../../src/engine/load_weights';
import { registerArchitecture } from '../../src/model/architecture';
import { LFM2MOE } from '../../src/model/lfm2_moe';
import { blobSource } from '../../src/store/byte_source';
import { CHECK_BOUND, CHECK_PROMPTS, project, relativeError } from './check';
import { CHECK_GOLDEN } from './check_golden';
import { promptTokens } from './prompt';
import { randomGguf, randomGgufBytes } from './random_gguf';
import { QUANTIZATIONS, SHAPES, type Shape } from './shapes';

// that of the side file
registerArchitecture(LFM2MOE);

async function reference(quantization: string): Promise<number[][]> {
  const checkpoint = await openCheckpoint([blobSource(randomGguf('check', quantization))]);
  const backend = openReferenceBackend();
  const weights = await loadWeights(checkpoint, backend, () => undefined);
  const state = await firstState(backend, recordModel(checkpoint, weights), { contextLength: 128, prefillBatch: 128 });
  const all: number[][] = [];
  for (const length of CHECK_PROMPTS) {
    state.rewind(0);
    await state.prefill(Uint32Array.from(promptTokens(length, SHAPES.check.vocabSize)));
    all.push(project(await state.logits(), length));
  }
  return all;
}

describe.each(Object.keys(QUANTIZATIONS))('%s', (quantization) => {
  test('the stored results are those of the reference', async () => {
    const got = await reference(quantization);
    const line = `The reference gives ${JSON.stringify(got.map((p) => p.map((v) => Number(v.toFixed(4)))))}`;
    expect(CHECK_GOLDEN[quantization], line).toHaveLength(CHECK_PROMPTS.length);
    got.forEach((projections, i) =>
      expect(relativeError(CHECK_GOLDEN[quantization][i], projections), line).toBeLessThan(1e-6),
    );
  });

  test('other weights have other results', () => {
    expect(Object.keys(CHECK_GOLDEN)).toHaveLength(Object.keys(QUANTIZATIONS).length);
    for (const [other, golden] of Object.entries(CHECK_GOLDEN)) {
      if (other === quantization) continue;
      CHECK_PROMPTS.forEach((_, i) =>
        expect(relativeError(CHECK_GOLDEN[quantization][i], golden[i])).toBeGreaterThan(20 * CHECK_BOUND),
      );
    }
  });
});

test.each(Object.keys(SHAPES))('the file of %s opens, and its weights have the shape', async (shape) => {
  const wanted: Shape = SHAPES[shape as keyof typeof SHAPES];
  // Node has no file above 4 GiB
  const layers = wanted.layers.slice(0, wanted.experts ? 8 : undefined);
  const file = randomGguf(shape, 'Q4_0', layers.length);
  const { config, bytes, quantization } = await openCheckpoint([blobSource(file)]);
  expect(config).toMatchObject({ ...wanted, layers });
  // half of the pairs turn in full layers
  expect(config.ropeFactors?.filter((factor) => factor === 1).length).toBe(wanted.sliding && wanted.headDim! / 4);
  expect(quantization).toBe(shape === 'tiny' ? 'Q6_K' : 'Q4_0'); // most bytes of `tiny` are its embedding
  expect(file.size).toBeGreaterThan(bytes);
  expect(file.size - bytes).toBeLessThan(3e6); // the header with its vocabulary
  const weights = new Uint8Array(await file.slice(file.size - 4096).arrayBuffer());
  expect(new Set(weights).size).toBeGreaterThan(100);
});

test('a result that is no number is infinitely wrong', () => {
  expect(relativeError([1, 2], [1, NaN])).toBe(Infinity);
  expect(relativeError([1, 2], [1])).toBe(Infinity);
  expect(relativeError([3, 4], [3, 4])).toBe(0);
  expect(relativeError([3, 4], [0, 0])).toBe(1);
});

test('shapes and quantisations that do not exist are named', () => {
  expect(() => randomGguf('9b', 'Q4_0')).toThrow('There is no shape "9b". The shapes are demo,');
  expect(() => randomGguf('350m', 'Q2_K')).toThrow('There is no quantisation "Q2_K".');
});

test('a model is cut to its first layers', async () => {
  const { config } = await openCheckpoint([blobSource(randomGguf('24b-a2b', 'Q4_0', 4))]);
  expect(config.layers).toEqual(['conv', 'conv', 'attention', 'conv']);
  expect(config.experts).toEqual(SHAPES['24b-a2b'].experts);
});

test('of the experts, a token reads the chosen ones', async () => {
  // the factors of RoPE of LFM3 belong to its configuration
  for (const [shape, factors] of [['350m', 0], ['lfm3-1.7b', 256]] as const) {
    const bytes = (await openCheckpoint([blobSource(randomGguf(shape, 'Q4_0'))])).bytes + factors;
    expect(randomGgufBytes(shape, 'Q4_0')).toEqual({ all: bytes, active: bytes });
  } // prettier-ignore
  const { all, active } = randomGgufBytes('8b-a1b', 'Q4_0');
  const experts = (22 * 32 * 3 * 2048 * 1792 * 18) / 32;
  expect(all - active).toBe((experts * 28) / 32);
});
