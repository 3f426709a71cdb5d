/** Where the golden vectors lie, and the weights of their models (e2e/golden/make/weights.py holds the same rule). */
import { fileURLToPath } from 'node:url';
import { bfloatToFloat, floatToBfloat } from '../../src/tensor/half';
import { generator } from './tiny';

export const GOLDEN_DIRECTORY = fileURLToPath(new URL('../golden', import.meta.url));

/**
 * The weights of a Hugging Face tensor, before any quantisation: nearly normal noise from its name and shape, exact in
 * bfloat16.
 */
export function drawnWeights(name: string, shape: readonly number[]): Float32Array {
  let seed = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 0x01000193);
  const random = generator(seed);
  const noise = (): number => (random() + random() + random() + random() - 2) * Math.sqrt(3);
  const [middle, deviation, scale] = /[qk]_layernorm/.test(name)
    ? [1, 0.35, 1.25]
    : /norm/.test(name)
      ? [1, 0.35, 1]
      : [0, 1, /conv\.conv/.test(name) ? 0.6 : (/embed_tokens/.test(name) ? 1.44 : 1.1) / Math.sqrt(shape.at(-1)!)];
  return Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () =>
    bfloatToFloat(floatToBfloat(scale * (middle + deviation * noise()))),
  );
}
