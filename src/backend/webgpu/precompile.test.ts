import { expect, it, vi } from 'vitest';
import { tinyGguf } from '../../../e2e/tools/tiny';
import { openCheckpoint, type Checkpoint } from '../../engine/checkpoint';
import { loadWeights } from '../../engine/load_weights';
import { forward, type Lfm2 } from '../../model/lfm2';
import { mapWeights } from '../../model/weights';
import { memorySource } from '../../store/byte_source';
import type { Matrix } from '../../model/ops';
import type { Backend } from '../backend';
import { matricesOf, recordPlan } from '../plan';
import { precompilePipelines } from './precompile';
import type { OpenedDevice } from './device';
import { wholeBuffer, type GpuWeightVector, type Dispatch } from './dispatch';
import { bytesRead, lowerPlanToDispatches } from './lower';
import { createMatrixWriter, type GpuMatrix } from './repack';
import { createWebGpuRunner, type WebGpuRunner } from './runner';

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

const DEVICES = [
  { subgroups: true, limit: 2 ** 30 },
  { subgroups: false, limit: 2 ** 14, span: 128 as const }, // splits matrices into several parts
];

const sizes = { contextLength: 2048, prefillBatch: 64 };
/** with two formats, also in one matrix */
function openTiny(): Promise<Checkpoint> {
  const dtype = (name: string) => (/ffn|attn_v/.test(name) ? 'Q8_0' : 'F32');
  const file = tinyGguf({ dtype, hidden: 64, ffn: 96, heads: 2, kvHeads: 1, headDim: 32, vocab: 280, layers: ['conv', 'attention', 'conv'], contextLength: 8192 });
  return openCheckpoint([memorySource('tiny.gguf', file)]);
}

async function compileTiny(checkpoint: Checkpoint, opened: OpenedDevice): Promise<WebGpuRunner> {
  const backend = {
    matrix: (spec: Matrix) => createMatrixWriter(opened, spec),
    vector: (name: string, values: Float32Array) => ({ name, length: values.length, region: wholeBuffer({ size: values.byteLength } as GPUBuffer) }) as GpuWeightVector,
  };
  const weights = await loadWeights(checkpoint, backend as unknown as Backend, () => undefined);
  return createWebGpuRunner(opened, recordPlan((op) => forward(op, checkpoint.config, weights)), sizes, true);
}

it.each(DEVICES)('compiles exactly the pipelines that the runner needs, except those of the draws: subgroups $subgroups, bindings of $limit bytes', async (device) => {
  const checkpoint = await openTiny();
  const ahead = new Set<string>();
  const shapes = mapWeights(
    checkpoint.weights,
    ({ name, cols, segments }) => ({ name, cols, rows: segments.reduce((sum, { rows }) => sum + rows, 0), segments }),
    ({ name, length }) => ({ name, length }),
  ) as Lfm2;
  await precompilePipelines(fakeDevice(ahead, device), recordPlan((op) => forward(op, checkpoint.config, shapes)), sizes, true);

  const wanted = new Set<string>();
  await compileTiny(checkpoint, fakeDevice(wanted, device));
  const forDraws = /"(process_logits|argmax|softmax_histogram|sample|mark_prompt)"/;
  expect([...ahead].sort()).toEqual([...wanted].filter((key) => !forDraws.test(key)).sort());
  expect(ahead.size).toBeGreaterThan(20);
});

it.each(DEVICES)('the dispatches of a token read each matrix once, and keys and values up to its position: bindings of $limit bytes', async (device) => {
  const { gpu, state, plan } = (await compileTiny(await openTiny(), fakeDevice(new Set(), device))).internals();
  const bytes = lowerPlanToDispatches(gpu, plan, state, 1, 1024).map((dispatches, i) => dispatches.reduce((sum, dispatch) => sum + bytesRead(dispatch, plan.nodes[i], state, 700), 0));
  const weights = plan.nodes.map((node) => (matricesOf(node) as GpuMatrix[]).reduce((sum, { parts }) => sum + parts.reduce((all, { w, scales }) => all + w.size + (scales?.size ?? 0), 0), 0));
  const attention = plan.nodes.findIndex(({ op }) => op === 'attend');
  weights[attention] = 2 * 700 * 32 * 2; // one head of 32 halves
  expect(bytes).toEqual(weights);
  expect(bytes[0]).toBe(0); // one row of the table
});
