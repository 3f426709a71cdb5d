/** For unit tests: a GPU device that computes nothing, and models whose weights have names and shapes only. */
import { vi } from 'vitest';
import { recordModel } from '../src/backend/model_plan';
import type { Plan } from '../src/backend/plan';
import type { OpenedDevice } from '../src/backend/webgpu/device';
import {
  ANY_KERNEL,
  wholeBuffer,
  type BufferRegion,
  type Dispatch,
  type GpuWeightVector,
  type KernelTuning,
} from '../src/backend/webgpu/dispatch';
import { maxBindingBytes, unallocatedMatrixParts, type GpuMatrix } from '../src/backend/webgpu/repack';
import { openCheckpoint, type Checkpoint } from '../src/engine/checkpoint';
import type { LoadedWeights } from '../src/model/architecture';
import type { Matrix, Vector } from '../src/model/ops';
import { mapLeaves, rowsOf, shapesOf } from '../src/model/weights';
import { memorySource } from '../src/store/byte_source';
import { tinyGguf, type TinyOptions } from './tools/tiny';

vi.stubGlobal('GPUBufferUsage', { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 });

export interface FakeDeviceOptions {
  subgroups: boolean;
  /** bytes of the largest binding */
  limit: number;
  /** of all kernels */
  tuning?: Partial<KernelTuning>;
}

/**
 * A fake device that tells `onPipeline` the pipelines it is asked for; what it prepares are the dispatches themselves.
 */
export function fakeDevice(
  { subgroups, limit, tuning }: FakeDeviceOptions,
  onPipeline: (dispatch: Pick<Dispatch, 'sources' | 'constants'>) => void = () => undefined,
): OpenedDevice {
  const nothing = (): undefined => undefined;
  const buffer = (label: string, size: number): GPUBuffer => ({ label, size }) as GPUBuffer;
  return {
    device: {
      limits: { maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: limit },
      queue: { writeBuffer: nothing, submit: nothing, onSubmittedWorkDone: () => Promise.resolve() },
      createCommandEncoder: () => ({ copyBufferToBuffer: nothing, finish: nothing }),
    },
    features: { f16: false, subgroups, subgroupMinSize: 4, subgroupMaxSize: 128, dp4a: false },
    tunings: new Map(tuning && [[ANY_KERNEL, tuning]]),
    step: wholeBuffer(buffer('step', 16)),
    tokens: wholeBuffer(buffer('tokens', 1024)),
    allocateBuffer: (label: string, size: number) => Promise.resolve(buffer(label, size)),
    createBuffer: (label: string, size: number) => ({ buffer: buffer(label, size), ready: Promise.resolve() }),
    releaseBuffer: nothing,
    run: () => Promise.resolve(),
    waitFor: <T>(work: Promise<T>) => work,
    pipeline: (dispatch: Dispatch) => Promise.resolve(onPipeline(dispatch)),
    prepare: (dispatches: Dispatch[]) => (dispatches.forEach(onPipeline), Promise.resolve(dispatches)),
    throwIfFailed: nothing,
  } as unknown as OpenedDevice;
}

export const tinyCheckpoint = (options: TinyOptions): Promise<Checkpoint> =>
  openCheckpoint([memorySource('tiny.gguf', tinyGguf(options))]);

/** The plan of a model; its weights have names and shapes only. */
export const shapePlan = (checkpoint: Checkpoint): Plan => recordModel(checkpoint, shapesOf(checkpoint.weights));

/** The same plan for a fake device: each buffer of a weight has the weight's name. */
export const fakeGpuPlan = (checkpoint: Checkpoint, device: OpenedDevice): Plan =>
  recordModel(checkpoint, fakeGpuWeights(checkpoint, device));

/** Weights that have names and shapes only. */
export function fakeGpuWeights(checkpoint: Checkpoint, device: OpenedDevice): LoadedWeights {
  const region = (label: string, size: number): BufferRegion => wholeBuffer({ label, size } as GPUBuffer);
  const matrix = (spec: Matrix): GpuMatrix => ({
    ...spec,
    parts: unallocatedMatrixParts(spec, maxBindingBytes(device), () => region(spec.name, 0)),
    bytes: 0,
  });
  const vector = (spec: Vector): GpuWeightVector => ({ ...spec, region: region(spec.name, 4 * spec.length) });
  return mapLeaves(checkpoint.weights, (source) => matrix({ ...source, rows: rowsOf(source) }), vector);
}

/** 16 layers of the 350M model, smaller, in formats of a Q4_0 file; the value rows have another format. */
export const SIXTEEN_LAYERS: TinyOptions = {
  hidden: 256, ffn: 768, heads: 4, kvHeads: 2, headDim: 64, vocab: 1280, contextLength: 4096,
  layers: Array.from({ length: 16 }, (_, i) => ([2, 5, 8, 10, 12, 14].includes(i) ? 'attention' : 'conv')),
  dtype: (name) => (name === 'token_embd' || name.endsWith('attn_v') ? 'Q6_K' : 'Q4_0'),
}; // prettier-ignore

/**
 * Texts of a model's nodes (the embedding, five a layer, the last two) as one text in which equal layers stand
 * together, with N for their number.
 */
export function printByLayer(nodes: string[]): string {
  const bodies = new Map<string, number[]>();
  for (let layer = 0, at = 1; at < nodes.length - 2; layer++, at += 5) {
    const ownNumber = new RegExp(`(layers\\.|layer |ring |keys |values )${layer}\\b`, 'g');
    const body = nodes
      .slice(at, at + 5)
      .join('')
      .replaceAll(ownNumber, '$1N');
    bodies.set(body, [...(bodies.get(body) ?? []), layer]);
  }
  return [
    nodes[0],
    ...Array.from(bodies, ([body, layers]) => `layers ${layers.join(' ')}\n${body.replace(/^(?=.)/gm, '  ')}`),
    ...nodes.slice(-2),
  ].join('');
}
