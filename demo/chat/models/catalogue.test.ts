/** The offers and the estimates of what a token reads, against the files of the published shapes. */
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { randomGgufBytes } from '../../bench/random_gguf';
import { PUBLISHED, QUANTIZATIONS, SHAPES, type Shape } from '../../bench/shapes';
import type { ModelInfo } from '../../../src/index';
import { activeBytes } from './active_bytes';

let catalogue: typeof import('./catalogue');
beforeAll(async () => {
  vi.stubGlobal('document', { baseURI: 'http://localhost/' });
  catalogue = await import('./catalogue');
  vi.unstubAllGlobals();
});

/**
 * SigLIP2 base with the projector of LFM2.5-VL-450M: matrices in Q8_0, patches and positions in F32. 12 layers of 768
 * with 3,072, and 3,072 → 2,560 → 1,024.
 */
const ENCODER_BYTES =
  (12 * (4 * 768 ** 2 + 2 * 768 * 3072) + 2560 * (3072 + 1024)) * (34 / 32) + 4 * (768 ** 2 + 256 * 768);

test('the sizes of the offers follow from the published shapes', () => {
  for (const { name, megabytes, activeMegabytes, pictures } of catalogue.HUB) {
    const text = name.replace('-Instruct', '').replace('VL-450M', '350M');
    const shape = PUBLISHED[text as keyof typeof PUBLISHED];
    const { all, active } = randomGgufBytes(shape, 'Q4_0');
    const { vocabSize, experts }: Shape = SHAPES[shape];
    // a file has its vocabulary beside the weights, about 35 bytes a word
    const rest = megabytes * 1e6 - all - (pictures ? ENCODER_BYTES : 0);
    expect(rest / vocabSize, name).toBeGreaterThan(28);
    expect(rest / vocabSize, name).toBeLessThan(45);
    expect(activeMegabytes, name).toBe(experts && Math.round(active / 1e6));
  }
});

test('a token reads a part of the models in a repository of a mixture of experts', () => {
  expect(catalogue.activeShareIn('LiquidAI/LFM2-8B-A1B-GGUF')).toBeCloseTo(0.194, 3);
  for (const repo of ['LiquidAI/LFM2-2.6B-GGUF', 'LiquidAI/LFM2-8B', 'a/b'])
    expect(catalogue.activeShareIn(repo)).toBe(1);
});

describe('what a token reads', () => {
  const infoOf = (name: keyof typeof SHAPES, bytes: number): Pick<ModelInfo, 'config' | 'bytes'> => ({
    config: { headDim: 64, convLength: 3, normEps: 1e-5, ropeTheta: 1e6, contextLength: 4096, ...SHAPES[name] },
    bytes,
  });

  test('is all of a dense model', () => {
    for (const name of ['350m', 'lfm3-1.7b'] as const) expect(activeBytes(infoOf(name, 1234))).toBe(1234);
  });

  test.each(['8b-a1b', 'lfm2.5-8b-a1b', '24b-a2b'] as const)('of %s is what its file says, about', (name) => {
    for (const quantization of Object.keys(QUANTIZATIONS)) {
      const { all, active } = randomGgufBytes(name, quantization);
      expect(activeBytes(infoOf(name, all)) / active).toBeGreaterThan(0.92);
      expect(activeBytes(infoOf(name, all)) / active).toBeLessThan(1.01);
    }
  });
});
