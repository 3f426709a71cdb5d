/** For e2e/pages/gpu*.ts: models with random weights, devices that tests share, and counts of WebGPU calls. */
import type { Backend } from '../../src/backend/backend';
import { seededRandom } from '../../src/backend/random_weights';
import { recordPlan, type Plan } from '../../src/backend/plan';
import { openReferenceBackend } from '../../src/backend/reference/backend';
import { openWebGpuBackend, type WebGpuOptions } from '../../src/backend/webgpu/backend';
import type { Config } from '../../src/model/config';
import type { Matrix } from '../../src/model/ops';
import type { Dtype } from '../../src/tensor/dtype';
import { randomModel as randomPlan } from '../models';
import { keepingAdapter } from './devices';

/** On a device of its own, which may be lost. */
export const openFresh = (options: WebGpuOptions): Promise<Backend> =>
  openWebGpuBackend({ selfTest: 'never', ...options, allowSoftware: true });

/** On the device that the page keeps. */
export const open = async (options: WebGpuOptions): Promise<Backend> =>
  openFresh({ ...options, adapter: await keepingAdapter() });

const backends = new Map<string, Promise<Backend>>();

/** A backend that stays. */
export function shared(options: WebGpuOptions): Promise<Backend> {
  const key = JSON.stringify(options);
  if (!backends.has(key)) backends.set(key, open(options));
  return backends.get(key)!;
}

/** The same on the GPU and on the reference. */
export async function both<T>(
  options: WebGpuOptions,
  run: (backend: Backend) => Promise<T>,
): Promise<[got: T, wanted: T]> {
  const wanted = await run(openReferenceBackend());
  return [await run(await shared(options)), wanted];
}

export async function floats(
  backend: Backend,
  name: string,
  rows: number,
  cols: number,
  value: (i: number) => number,
): Promise<Matrix> {
  const writer = backend.matrix({ name, rows, cols, segments: [{ name, rows, dtype: 'F32' }] });
  await writer.write(0, 0, new Uint8Array(Float32Array.from({ length: rows * cols }, (_, i) => value(i)).buffer));
  return writer.finish();
}

export const random = (name: string): (() => number) => {
  const next = seededRandom(name);
  return () => next() / 2 ** 32;
};

export const normal = (uniform: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());

/** A plan whose logits are the row of the token read: a table of transitions. `ties`: logits in steps of a quarter. */
export async function transitions(backend: Backend, rows: number, V: number, ties: boolean): Promise<Plan> {
  const uniform = random(`transitions ${V}`);
  const table = await floats(backend, 'table', rows, V, () =>
    ties ? Math.round(12 * normal(uniform)) / 4 : 3 * normal(uniform),
  );
  return recordPlan((op) => op.last(op.embed(table)));
}

export interface Model {
  plan: Plan;
  V: number;
}

/**
 * A model of the family's shape with random weights.
 * @param value format of the value rows
 */
export async function randomModel(
  backend: Backend,
  layers: Config['layers'],
  D: number,
  F: number,
  dtype: Dtype,
  value = dtype,
): Promise<Model> {
  const config = configOf(layers, D, F);
  const plan = await randomPlan(backend, config, (gguf) => (gguf.endsWith('attn_v.weight') ? value : dtype));
  return { plan, V: config.vocabSize };
}

const configOf = (layers: Config['layers'], D: number, F: number): Config => ({
  vocabSize: 512, hiddenSize: D, ffnSize: F, layers, heads: D / 32, kvHeads: D / 64, headDim: 32, convLength: 3,
  normEps: 1e-5, ropeTheta: 1e6, contextLength: 4096,
}); // prettier-ignore

/** A dense layer with a convolution, and one with attention and four experts, of which a token takes two. */
export async function modelWithExperts(backend: Backend): Promise<Model> {
  const experts = { count: 4, top: 2, ffnSize: 256, denseLayers: 1, normalise: true, scale: 1 };
  const config = { ...configOf(['conv', 'attention'], 256, 256), experts };
  const plan = await randomPlan(backend, config, (gguf) => (gguf.includes('gate_inp') ? 'F32' : 'Q4_0'));
  return { plan, V: config.vocabSize };
}

/** The least model with all ops, as most tests want it. */
export const smallModel = (backend: Backend): Promise<Model> =>
  randomModel(backend, ['conv', 'attention', 'conv'], 64, 96, 'Q8_0');

export const someTokens = (V: number, length: number): Uint32Array => {
  const next = seededRandom('prompt');
  return Uint32Array.from({ length }, () => next() % V);
};

/** Counts calls of the WebGPU methods named, from now until `stop`. */
export function count(): { stop(): Record<string, number> } {
  const counts: Record<string, number> = {};
  const undo: (() => void)[] = [];
  const watch = (prototype: object, names: string[]): void => {
    for (const name of names) {
      const original = Reflect.get(prototype, name) as (...args: unknown[]) => unknown;
      counts[name] = 0;
      Reflect.set(prototype, name, function (this: unknown, ...args: unknown[]) {
        const nudge = name === 'submit' && !(args[0] as unknown[]).length; // Firefox notices finished work late
        if (!nudge) counts[name]++;
        return original.apply(this, args);
      });
      undo.push(() => void Reflect.set(prototype, name, original));
    }
  };
  watch(GPUComputePassEncoder.prototype, ['dispatchWorkgroups', 'setBindGroup', 'setPipeline']);
  watch(GPUQueue.prototype, ['submit', 'writeBuffer']);
  watch(GPUCommandEncoder.prototype, ['beginComputePass']);
  watch(GPUDevice.prototype, [
    'createBindGroup',
    'createBuffer',
    'createComputePipeline',
    'createComputePipelineAsync',
    'createShaderModule',
    'createCommandEncoder',
  ]);
  return { stop: () => (undo.forEach((f) => f()), counts) };
}

export function difference(got: Float32Array, wanted: Float32Array): number {
  if (got.length !== wanted.length) throw new Error(`${got.length} values, wanted ${wanted.length}`);
  let most = 0;
  let power = 0;
  wanted.forEach((w, i) => {
    const delta = Math.abs(got[i] - w);
    if (!(delta <= most)) most = delta; // NaN counts
    power += w * w;
  });
  return most / Math.sqrt(power / wanted.length);
}
