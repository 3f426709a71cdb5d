/** Gates against those of transformers (e2e/golden), and what attention weights must be. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { GOLDEN_DIRECTORY } from '../../e2e/tools/golden';
import { inspectModel, type AttentionWeights, type ConvGates } from './inspect_model';

const golden = join(GOLDEN_DIRECTORY, 'dense');
const model = {
  files: readdirSync(join(golden, 'model')).map((name) => new File([readFileSync(join(golden, 'model', name))], name)),
};
const { prompts } = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8')) as {
  prompts: Record<string, number[]>;
};

/** A tensor of activations.safetensors, [T, cols]. */
function activations(name: string): { values: Float32Array; cols: number } {
  const bytes = readFileSync(join(golden, 'activations.safetensors'));
  const length = Number(bytes.readBigUInt64LE(0));
  const {
    shape,
    data_offsets: [from, to],
  } = (
    JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<
      string,
      { shape: number[]; data_offsets: [number, number] }
    >
  )[name];
  const start = bytes.byteOffset + 8 + length;
  return { values: new Float32Array(bytes.buffer.slice(start + from, start + to)), cols: shape.at(-1)! };
}

test('gates are those of conv.in_proj to 1e-3 of the largest; attention rows sum to 1 and do not look ahead', async () => {
  const { ids, tokens, layers } = await inspectModel(model, prompts.T7, {}, () => undefined);
  expect(ids).toEqual(prompts.T7);
  expect(tokens.length).toBe(7);
  expect(layers.map(({ kind, layer }) => `${layer} ${kind}`)).toEqual([
    '0 conv',
    '1 attention',
    '2 attention',
    '3 conv',
  ]);
  for (const { layer, channels, B, C } of layers.filter((one): one is ConvGates => one.kind === 'conv')) {
    const { values, cols } = activations(`model.layers.${layer}.conv.in_proj`);
    expect(cols).toBe(3 * channels);
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    for (let t = 0; t < 7; t++)
      for (let c = 0; c < channels; c++) {
        expect(Math.abs(B[t * channels + c] - values[t * cols + c])).toBeLessThan(1e-3 * largest);
        expect(Math.abs(C[t * channels + c] - values[t * cols + channels + c])).toBeLessThan(1e-3 * largest);
      }
  }
  for (const { heads, weights } of layers.filter((one): one is AttentionWeights => one.kind === 'attention')) {
    expect(weights.length).toBe(heads * 49);
    for (let row = 0; row < heads * 7; row++) {
      const values = [...weights.subarray(row * 7, row * 7 + 7)];
      expect(Math.abs(values.reduce((sum, value) => sum + value, 0) - 1)).toBeLessThan(1e-5);
      expect(values.slice((row % 7) + 1).every((value) => value === 0)).toBe(true);
      expect(values.every((value) => value >= 0)).toBe(true);
    }
  }
});

test('a text that is empty or too long is refused before the weights are read', async () => {
  for (const text of ['', 'word '.repeat(100)])
    await expect(inspectModel(model, text, {}, () => undefined)).rejects.toMatchObject({
      name: 'RequestError',
      wanted: '1 to 64 tokens',
    });
});
