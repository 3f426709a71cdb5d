/** The estimate of a vision encoder beside what WASM memory holds once it has read a tile. */
import '../modules/encoders';
import { expect, test } from 'vitest';
import { ggufBytes, tinyModel } from '../../e2e/tools/tiny';
import { TEXT, tinyEncoder } from '../../e2e/tools/tiny_vision';
import { openWasmBackend } from '../backend/wasm/backend';
import { recordModel } from '../backend/model_plan';
import { planCost } from '../backend/cost';
import { registerArchitecture } from '../model/architecture';
import { LFM2VL } from '../model/lfm2_vl';
import { shapesOf } from '../model/weights';
import { memorySource } from '../store/byte_source';
import { openCheckpoint } from './checkpoint';
import { visionMemory } from './estimate_vision';
import { loadWeights } from './load_weights';
import { createVisionEncoder, readPositions } from './vision_encoder';

registerArchitecture(LFM2VL);

test.each([
  { dtype: 'Q8_0', exact: false },
  { dtype: 'F16', exact: false },
  { dtype: 'F16', exact: true },
] as const)('$dtype, exact: $exact', async ({ dtype, exact }) => {
  const encoder = tinyEncoder({
    hidden: 64,
    ffn: 96,
    projector: 64,
    dtype: (name) => (/patch/.test(name) ? 'F16' : dtype),
  });
  const files = [tinyModel(TEXT), encoder].map((model, i) => memorySource(`${i}.gguf`, ggufBytes(model)));
  const checkpoint = await openCheckpoint(files);
  const backend = await openWasmBackend({ threads: 1, variant: 'simd', exact });
  await backend.reserve(checkpoint.memoryBytes);
  const empty = backend.memory();
  const told = await visionMemory(backend, checkpoint);
  const options = { contextLength: 16, prefillBatch: 16 };
  const text = await planCost(backend, recordModel(checkpoint, shapesOf(checkpoint.weights)), options);
  expect(backend.memory()).toBe(empty);

  const weights = await loadWeights(checkpoint, backend, () => undefined);
  const loaded = backend.memory();
  expect(loaded - empty).toBe(text.weights + told.weights);
  const running = await createVisionEncoder(checkpoint, await readPositions(checkpoint), weights, backend);
  const pixels = new Uint8Array(3 * 512 * 512);
  await running.encode([{ pixels, stride: 512, left: 0, top: 0, width: 32, height: 32 }]);
  expect(backend.memory() - loaded).toBe(told.context);
  running.dispose();
  expect(backend.memory()).toBe(loaded);
  await backend.dispose();
});
