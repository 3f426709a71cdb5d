import { expect, it } from 'vitest';
import { fakeDevice, shapePlan, tinyCheckpoint } from '../../../e2e/fake_device';
import { loadWeights } from '../../engine/load_weights';
import { forward } from '../../model/lfm2';
import type { Matrix } from '../../model/ops';
import type { Backend } from '../backend';
import { recordPlan } from '../plan';
import { precompilePipelines } from './precompile';
import { wholeBuffer, type Dispatch, type GpuWeightVector } from './dispatch';
import { createMatrixWriter } from './repack';
import { createWebGpuRunner } from './runner';

/** Adds the pipelines that a fake device is asked for to a set. */
const noteIn = (pipelines: Set<string>) => ({ sources, constants }: Pick<Dispatch, 'sources' | 'constants'>): void => void pipelines.add(JSON.stringify([sources, constants]));

it.each([
  { subgroups: true, limit: 2 ** 30, tuning: { rows: 8 as const } },
  { subgroups: false, limit: 2 ** 14, tuning: { rows: 8 as const, span: 128 as const } }, // splits matrices into several parts
])('compiles exactly the pipelines that the runner needs, except those of the draws: subgroups $subgroups, bindings of $limit bytes', async (device) => {
  const checkpoint = await tinyCheckpoint({ hidden: 64, ffn: 96, heads: 2, kvHeads: 1, headDim: 32, vocab: 280, layers: ['conv', 'attention', 'conv'], contextLength: 8192 });
  const sizes = { contextLength: 2048, prefillBatch: 64 };

  const ahead = new Set<string>();
  await precompilePipelines(fakeDevice(device, noteIn(ahead)), shapePlan(checkpoint), sizes, true);

  const wanted = new Set<string>();
  const opened = fakeDevice(device, noteIn(wanted));
  const backend = {
    matrix: (spec: Matrix) => createMatrixWriter(opened, spec),
    vector: (name: string, values: Float32Array) => ({ name, length: values.length, region: wholeBuffer({ size: values.byteLength } as GPUBuffer) }) as GpuWeightVector,
  };
  const weights = await loadWeights(checkpoint, backend as unknown as Backend, () => undefined);
  await createWebGpuRunner(opened, recordPlan((op) => forward(op, checkpoint.config, weights)), sizes, true);
  const forDraws = /"(process_logits|argmax|softmax_histogram|sample|mark_prompt)"/;
  expect([...ahead].sort()).toEqual([...wanted].filter((key) => !forDraws.test(key)).sort());
  expect(ahead.size).toBeGreaterThan(20);
});
