import { expect, it, vi } from 'vitest';
import { tinyGguf } from '../../../e2e/tools/tiny';
import { openCheckpoint } from '../../engine/checkpoint';
import { loadWeights } from '../../engine/load_weights';
import { shapesOf } from '../../model/weights';
import { memorySource } from '../../store/byte_source';
import type { Matrix } from '../../model/ops';
import type { Backend } from '../backend';
import { recordModel } from '../model_plan';
import { precompilePipelines } from './precompile';
import type { OpenedDevice } from './device';
import { wholeBuffer, type GpuWeightVector, type Dispatch } from './dispatch';
import { createMatrixWriter } from './repack';
import { createWebGpuRunner } from './runner';

vi.stubGlobal('GPUBufferUsage', { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 });

/** A fake device that records the pipelines it is asked for. */
function fakeDevice(pipelines: Set<string>, { subgroups, limit, span }: { subgroups: boolean; limit: number; span?: 128 }): OpenedDevice {
  const buffer = (label: string, size: number): GPUBuffer => ({ label, size }) as GPUBuffer;
  const note = ({ sources, constants }: Pick<Dispatch, 'sources' | 'constants'>): void => void pipelines.add(JSON.stringify([sources, constants]));
  const nothing = (): undefined => undefined;
  return {
    device: {
      limits: { maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: limit },
      queue: { writeBuffer: nothing, submit: nothing, onSubmittedWorkDone: () => Promise.resolve() },
      createCommandEncoder: () => ({ copyBufferToBuffer: nothing, finish: nothing }),
    },
    features: { f16: false, subgroups, subgroupMinSize: 4, subgroupMaxSize: 128, dp4a: false },
    tunings: new Map([['*', { rows: 8, span }]]),
    step: wholeBuffer(buffer('step', 16)),
    tokens: wholeBuffer(buffer('tokens', 1024)),
    allocateBuffer: (label: string, size: number) => Promise.resolve(buffer(label, size)),
    createBuffer: (label: string, size: number) => ({ buffer: buffer(label, size), ready: Promise.resolve() }),
    releaseBuffer: nothing,
    run: () => Promise.resolve(),
    waitFor: <T>(work: Promise<T>) => work,
    pipeline: (step: Dispatch) => Promise.resolve(note(step)),
    prepare: (steps: Dispatch[]) => Promise.resolve(steps.map(note)),
    throwIfFailed: nothing,
  } as unknown as OpenedDevice;
}

it.each([
  { subgroups: true, limit: 2 ** 30 },
  { subgroups: false, limit: 2 ** 14, span: 128 as const }, // splits matrices into several parts
])('compiles exactly the pipelines that the runner needs, except those of the draws: subgroups $subgroups, bindings of $limit bytes', async (device) => {
  const file = tinyGguf({ hidden: 64, ffn: 96, heads: 2, kvHeads: 1, headDim: 32, vocab: 280, layers: ['conv', 'attention', 'conv'], contextLength: 8192 });
  const checkpoint = await openCheckpoint([memorySource('tiny.gguf', file)]);
  const sizes = { contextLength: 2048, prefillBatch: 64 };

  const ahead = new Set<string>();
  await precompilePipelines(fakeDevice(ahead, device), recordModel(checkpoint, shapesOf(checkpoint.weights)), sizes, true);

  const wanted = new Set<string>();
  const opened = fakeDevice(wanted, device);
  const backend = {
    matrix: (spec: Matrix) => createMatrixWriter(opened, spec),
    vector: (name: string, values: Float32Array) => ({ name, length: values.length, region: wholeBuffer({ size: values.byteLength } as GPUBuffer) }) as GpuWeightVector,
  };
  const weights = await loadWeights(checkpoint, backend as unknown as Backend, () => undefined);
  await createWebGpuRunner(opened, recordModel(checkpoint, weights), sizes, true);
  const forDraws = /"(process_logits|argmax|softmax_histogram|sample|mark_prompt)"/;
  expect([...ahead].sort()).toEqual([...wanted].filter((key) => !forDraws.test(key)).sort());
  expect(ahead.size).toBeGreaterThan(20);
});
