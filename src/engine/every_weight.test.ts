/**
 * No weight gets lost between the file and the kernels: without any of them a model does not open, does not run, or
 * computes something else.
 */
import '../modules/experts';
import { describe, expect, test } from 'vitest';
import { ggufBytes, tinyModel, type TinyModel, type TinyOptions } from '../../e2e/tools/tiny';
import { firstState, type Backend } from '../backend/backend';
import { recordModel } from '../backend/model_plan';
import { openReferenceBackend } from '../backend/reference/backend';
import { openWasmBackend } from '../backend/wasm/backend';
import { mapLeaves } from '../model/weights';
import { memorySource } from '../store/byte_source';
import { openCheckpoint, type Checkpoint } from './checkpoint';
import { loadWeights } from './load_weights';

const SMALL: TinyOptions = {
  hidden: 64,
  ffn: 96,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  layers: ['conv', 'attention'],
  vocab: 280,
};
/** The second layer has experts. */
const EXPERTS: TinyOptions = {
  ...SMALL,
  experts: { count: 4, top: 2, ffnSize: 32, denseLayers: 1, normalise: true, scale: 1.5 },
};
/** Every weight that a model may have. */
const WHOLE: TinyOptions = { ...SMALL, tied: false, convBias: true };

const open = (model: TinyModel): Promise<Checkpoint> => openCheckpoint([memorySource('tiny.gguf', ggufBytes(model))]);

async function logitsOf(checkpoint: Checkpoint, backend: Backend): Promise<Float32Array> {
  await backend.reserve(4 << 20);
  const weights = await loadWeights(checkpoint, backend, () => undefined);
  const state = await firstState(backend, recordModel(checkpoint, weights), { contextLength: 16, prefillBatch: 16 });
  await state.prefill(Uint32Array.of(5, 9, 2, 77));
  return state.logits();
}

const difference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);

describe.each<[string, () => Backend | Promise<Backend>]>([
  ['reference', openReferenceBackend],
  ['wasm', () => openWasmBackend({ threads: 1, variant: 'simd', exact: true })],
])('%s', (_, openBackend) => {
  test.each([
    ['q, k and v apart', WHOLE],
    ['in one', { ...WHOLE, fused: true }],
    ['with experts', { ...EXPERTS, tied: false, convBias: true }],
  ])('a leaf of the tree: %s', async (__, options) => {
    const checkpoint = await open(tinyModel(options));
    const wanted = await logitsOf(checkpoint, await openBackend());
    const leaves: string[] = [];
    mapLeaves(
      checkpoint.weights,
      ({ name }) => void leaves.push(name),
      ({ name }) => void leaves.push(name),
    );
    expect(leaves.length).toBe(3 + 11 + 9 + ('experts' in options ? 2 : 0));
    for (const lost of leaves) {
      const keep = <L extends { name: string }>(leaf: L): L | undefined => (leaf.name === lost ? undefined : leaf);
      const weights = mapLeaves(checkpoint.weights, keep, keep) as Checkpoint['weights'];
      const got = await logitsOf({ ...checkpoint, weights }, await openBackend()).catch(() => undefined);
      // a load refuses a model whose logits are no numbers
      if (got?.every(Number.isFinite)) expect(difference(wanted, got), lost).toBeGreaterThan(1e-3);
    }
  });

  test('an optional tensor of the file', async () => {
    const model = tinyModel(WHOLE);
    const wanted = await logitsOf(await open(model), await openBackend());
    const optional = model.tensors.filter(({ name }) => /bias|^output\./.test(name));
    expect(optional.length).toBe(4);
    for (const lost of optional) {
      const got = await logitsOf(
        await open({ ...model, tensors: model.tensors.filter((tensor) => tensor !== lost) }),
        await openBackend(),
      );
      expect(difference(wanted, got), lost.name).toBeGreaterThan(1e-3);
    }
  });
});

test.each([
  ['q, k and v apart', SMALL, 2 + 8 + 11],
  ['in one', { ...SMALL, fused: true }, 2 + 8 + 9],
  ['with experts', EXPERTS, 2 + 8 + 13],
])('a file without one of the others does not open: %s', async (_, options, count) => {
  const model = tinyModel(options);
  expect(model.tensors.length).toBe(count);
  for (const lost of model.tensors) {
    if (lost.name.includes('exp_probs_b')) continue; // a model may have none
    const wanted = lost.name.replace('attn_qkv', 'attn_q'); // its parts would do
    await expect(
      open({ ...model, tensors: model.tensors.filter((tensor) => tensor !== lost) }),
      lost.name,
    ).rejects.toThrow(`(GGUF: ${wanted})`);
  }
});
