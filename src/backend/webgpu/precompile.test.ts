import { expect, it } from 'vitest';
import { fakeDevice, shapePlan, tinyCheckpoint } from '../../../e2e/fake_device';
import type { Checkpoint } from '../../engine/checkpoint';
import { loadWeights } from '../../engine/load_weights';
import type { Matrix } from '../../model/ops';
import type { Backend } from '../backend';
import { recordModel } from '../model_plan';
import { matricesOf } from '../plan';
import { precompilePipelines } from './precompile';
import type { OpenedDevice } from './device';
import { wholeBuffer, type Dispatch, type GpuWeightVector } from './dispatch';
import { bytesRead, lowerPlanToDispatches } from './lower';
import { createMatrixWriter, type GpuMatrix } from './repack';
import { createWebGpuProgram } from './program';
import type { WebGpuState } from './state';

/** Adds the pipelines that a fake device is asked for to a set. */
const noteIn =
  (pipelines: Set<string>) =>
  ({ sources, constants }: Pick<Dispatch, 'sources' | 'constants'>): void =>
    void pipelines.add(JSON.stringify([sources, constants]));

const DEVICES = [
  { subgroups: true, limit: 2 ** 30, tuning: { rows: 8 as const } },
  { subgroups: false, limit: 2 ** 14, tuning: { rows: 8 as const, span: 128 as const } }, // splits matrices into several parts
];

const sizes = { contextLength: 2048, prefillBatch: 64 };
/** with two formats, also in one matrix */
const openTiny = (): Promise<Checkpoint> =>
  tinyCheckpoint({
    hidden: 64, ffn: 96, heads: 2, kvHeads: 1, headDim: 32, vocab: 280, layers: ['conv', 'attention', 'conv'], contextLength: 8192,
    dtype: (name) => (/ffn|attn_v/.test(name) ? 'Q8_0' : 'F32'),
  }); // prettier-ignore

async function compileTiny(checkpoint: Checkpoint, opened: OpenedDevice): Promise<WebGpuState> {
  const backend = {
    matrix: (spec: Matrix) => createMatrixWriter(opened, spec),
    vector: (name: string, values: Float32Array) =>
      ({
        name,
        length: values.length,
        region: wholeBuffer({ size: values.byteLength } as GPUBuffer),
      }) as GpuWeightVector,
  };
  const weights = await loadWeights(checkpoint, backend as unknown as Backend, () => undefined);
  return (await createWebGpuProgram(opened, recordModel(checkpoint, weights), sizes, true)).newState();
}

it.each(DEVICES)(
  'compiles exactly the pipelines that the state needs, except those of the draws: subgroups $subgroups, bindings of $limit bytes',
  async (device) => {
    const checkpoint = await openTiny();
    const ahead = new Set<string>();
    await precompilePipelines(fakeDevice(device, noteIn(ahead)), shapePlan(checkpoint), sizes, true);

    const wanted = new Set<string>();
    await compileTiny(checkpoint, fakeDevice(device, noteIn(wanted)));
    const forDraws = /"(process_logits|argmax|softmax_histogram|sample|mark_prompt)"/;
    expect([...ahead].sort()).toEqual([...wanted].filter((key) => !forDraws.test(key)).sort());
    expect(ahead.size).toBeGreaterThan(20);
  },
);

it.each(DEVICES)(
  'the dispatches of a token read each matrix once, and keys and values up to its position: bindings of $limit bytes',
  async (device) => {
    const { gpu, buffers: own, program } = (await compileTiny(await openTiny(), fakeDevice(device))).internals();
    const { plan, scratch } = program;
    const buffers = { ...scratch, ...own };
    const bytes = lowerPlanToDispatches(gpu, plan, buffers, 1, 1024).map((dispatches, i) =>
      dispatches.reduce((sum, dispatch) => sum + bytesRead(dispatch, plan.nodes[i], buffers, 700), 0),
    );
    const weights = plan.nodes.map((node) =>
      (matricesOf(node) as GpuMatrix[]).reduce(
        (sum, { parts }) => sum + parts.reduce((all, { w, scales }) => all + w.size + (scales?.size ?? 0), 0),
        0,
      ),
    );
    const attention = plan.nodes.findIndex(({ op }) => op === 'attend');
    weights[attention] = 2 * 700 * 32 * 2; // one head of 32 halves
    expect(bytes).toEqual(weights);
    expect(bytes[0]).toBe(0); // one row of the table
  },
);
