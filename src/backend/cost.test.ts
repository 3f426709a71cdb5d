import { afterEach, expect, it } from 'vitest';
import { shapePlan, tinyCheckpoint } from '../../e2e/fake_device';
import type { TinyOptions } from '../../e2e/tools/tiny';
import { loadWeights } from '../engine/load_weights';
import { firstState, type Backend } from './backend';
import { planCost } from './cost';
import { recordModel } from './model_plan';
import { openWasmBackend } from './wasm/backend';

let backend: Backend;
afterEach(() => backend.dispose());

const SHAPES: { name: string; exact?: boolean; contextLength: number; shape: TinyOptions }[] = [
  {
    name: 'one layer of each kind, F32, tied',
    contextLength: 64,
    shape: { hidden: 64, ffn: 96, heads: 2, kvHeads: 1, headDim: 32, layers: ['conv', 'attention'] },
  },
  {
    name: 'Q4_0 with Q6_K, untied',
    contextLength: 300,
    shape: {
      dtype: (name) => (name.startsWith('output') || name.endsWith('attn_v') ? 'Q6_K' : 'Q4_0'),
      tied: false,
      layers: ['conv', 'conv', 'attention', 'conv'],
    },
  },
  {
    name: 'exact, biases, an odd width',
    exact: true,
    contextLength: 512,
    shape: { hidden: 40, ffn: 72, heads: 5, kvHeads: 1, headDim: 8, convBias: true, convLength: 4 },
  },
  {
    name: 'attention only, fused, Q8_0, a wide vocabulary',
    contextLength: 513,
    shape: { dtype: 'Q8_0', fused: true, layers: ['attention', 'attention', 'attention'], vocab: 3001 },
  },
];

it.each(SHAPES)(
  'tells what WASM memory holds after a load and with a full context: $name',
  async ({ exact, contextLength, shape }) => {
    const checkpoint = await tinyCheckpoint({ ...shape, contextLength });
    backend = await openWasmBackend({ threads: 1, variant: 'simd', exact });
    await backend.reserve(checkpoint.memoryBytes);
    const empty = backend.memory();
    const options = { contextLength, prefillBatch: 32 };
    const { weights, scratch, state: stateBytes, read } = await planCost(backend, shapePlan(checkpoint), options);
    expect(backend.memory()).toBe(empty);

    const loaded = await loadWeights(checkpoint, backend, () => undefined);
    expect(backend.memory()).toBe(empty + weights);
    expect(read).toBeLessThanOrEqual(weights);
    expect(read === weights).toBe(shape.tied !== false); // then the head reads the table
    const state = await firstState(backend, recordModel(checkpoint, loaded), options);
    for (let at = 0; at < contextLength; at += 32)
      await state.prefill(new Uint32Array(Math.min(32, contextLength - at)));
    expect(backend.memory()).toBe(weights + scratch + stateBytes);
  },
);
