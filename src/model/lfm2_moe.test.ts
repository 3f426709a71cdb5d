import '../modules/experts';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { GOLDEN_DIRECTORY } from '../../e2e/tools/golden';
import { ggufBytes, tinyModel, type TinyModel, type TinyOptions, type TinyTensor } from '../../e2e/tools/tiny';
import { recordModel } from '../backend/model_plan';
import { macsOf, matricesOf, shareRead } from '../backend/plan';
import { openReferenceBackend } from '../backend/reference/backend';
import { openCheckpoint, type Checkpoint } from '../engine/checkpoint';
import { loadWeights } from '../engine/load_weights';
import { parseSafetensors } from '../format/safetensors';
import { memorySource } from '../store/byte_source';
import type { ByteSource } from '../store/byte_source';
import type { TensorInfo } from '../tensor/tensor';
import type { Config } from './config';
import { mapLeaves, shapesOf, type MatrixSource } from './weights';

const GOLDEN = join(GOLDEN_DIRECTORY, 'moe');
const EXPERTS: Config['experts'] = { count: 8, top: 3, ffnSize: 32, denseLayers: 1, normalise: true, scale: 1.5 };
const checkpointError = (pattern: RegExp) =>
  expect.objectContaining({ name: 'CheckpointError', message: expect.stringMatching(pattern) });

const filesOf = (directory: string): ByteSource[] =>
  readdirSync(join(GOLDEN, directory)).map((name) => memorySource(name, readFileSync(join(GOLDEN, directory, name))));
/** The files of a directory with another config.json. */
const changed = (directory: string, change: Record<string, unknown>): ByteSource[] =>
  filesOf(directory).map((file) => {
    if (file.name !== 'config.json') return file;
    const json = JSON.parse(readFileSync(join(GOLDEN, directory, 'config.json'), 'utf8')) as object;
    return memorySource(file.name, new TextEncoder().encode(JSON.stringify({ ...json, ...change })));
  });

/** The bytes of each expert of W1, W3 and W2 of a layer. */
async function expertBytes({ weights, files }: Checkpoint, layer: number): Promise<string[][]> {
  const { w1, w3, w2 } = weights.layers[layer];
  const hex = async ({ file, offset, byteLength }: TensorInfo): Promise<string> =>
    Buffer.from(await files[file].read(offset, byteLength)).toString('hex');
  return Promise.all([w1, w3, w2].map(({ segments }) => Promise.all(segments.map(({ tensor }) => hex(tensor)))));
}

describe('a directory', () => {
  test('has the configuration of its experts', async () => {
    const { config, notes } = await openCheckpoint(filesOf('model'));
    expect(config.experts).toEqual(EXPERTS);
    expect([config.ffnSize, config.ropeTheta]).toEqual([96, 5e6]);
    expect(notes).toEqual([]);
  });

  test('gives each expert its own rows, whether it has a tensor or shares one with others', async () => {
    const [apart, fused] = [await openCheckpoint(filesOf('model')), await openCheckpoint(filesOf('fused'))];
    for (const layer of [1, 2, 3]) {
      const [wanted, got] = [await expertBytes(apart, layer), await expertBytes(fused, layer)];
      expect(got).toEqual(wanted);
      expect(new Set(wanted.flat()).size).toBe(3 * 8);
    }
    const bytes = (checkpoint: Checkpoint): number => checkpoint.bytes;
    expect(bytes(fused)).toBe(bytes(apart));
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['more experts than there are', { num_experts: 9 }, /lacks a tensor, wanted .*|has a wrong shape/],
    ['fewer', { num_experts: 7 }, /gate\.weight has a wrong shape: got \[8, 64\], wanted \[7, 64\]/],
    ['more for a token than there are', { num_experts_per_tok: 9 }, /num_experts_per_tok is not valid: got 9, wanted/],
    ['none for a token', { num_experts_per_tok: 0 }, /num_experts_per_tok is not valid: got 0/],
    ['another width', { moe_intermediate_size: 64 }, /wrong shape: got \[32, 64\], wanted \[64, 64\]/],
    ['more dense layers', { num_dense_layers: 2 }, /lacks a tensor, wanted model\.layers\.1\.feed_forward\.w1/],
    [
      'dense layers beyond the model',
      { num_dense_layers: 5 },
      /num_dense_layers is not valid: got 5, wanted .* 0 to 4/,
    ],
    ['no dense layers stated', { num_dense_layers: undefined }, /num_dense_layers is not valid: got nothing/],
    ['another architecture', { model_type: 'lfm2', architectures: ['Lfm2ForCausalLM'] }, /does not fit|lacks a tensor/],
  ])('with %s is refused', async (_, change, pattern) =>
    expect(openCheckpoint(changed('model', change))).rejects.toEqual(checkpointError(pattern)),
  );

  test('without the tensor of one expert is refused', async () => {
    const files = filesOf('model');
    const index = files.findIndex(({ name }) => name.startsWith('model-00002'));
    const bytes = readFileSync(join(GOLDEN, 'model', files[index].name));
    const header = parseSafetensors(bytes, files[index], 0) as TensorInfo[];
    const name = header.map((tensor) => tensor.name).find((one) => /experts\.[1-7]\.w2/.test(one))!;
    bytes[bytes.indexOf(name)] = 'z'.charCodeAt(0);
    files[index] = memorySource(files[index].name, bytes);
    await expect(openCheckpoint(files)).rejects.toEqual(checkpointError(new RegExp(`lacks a tensor, wanted ${name}`)));
  });
});

const TINY: TinyOptions = { hidden: 64, ffn: 96, heads: 4, kvHeads: 2, headDim: 16, vocab: 280, experts: EXPERTS };
const open = (model: TinyModel): Promise<Checkpoint> => openCheckpoint([memorySource('tiny.gguf', ggufBytes(model))]);
const withKey = (key: string, value?: number): TinyModel => {
  const model = tinyModel(TINY);
  const name = `lfm2moe.${key}`;
  const { [name]: entry, ...others } = { [name]: [4] as unknown[], ...model.metadata };
  return {
    ...model,
    metadata: (value === undefined ? others : { ...others, [name]: [entry[0], value] }) as TinyModel['metadata'],
  };
};
const withTensor = (name: RegExp, change: (tensor: TinyTensor) => Partial<TinyTensor>): TinyModel => {
  const model = tinyModel(TINY);
  return {
    ...model,
    tensors: model.tensors.map((tensor) => (name.test(tensor.name) ? { ...tensor, ...change(tensor) } : tensor)),
  };
};

describe('a GGUF file', () => {
  test('has the configuration of its experts; without keys weights are normalised and not scaled', async () => {
    expect((await open(tinyModel(TINY))).config.experts).toEqual(EXPERTS);
    expect((await open(withKey('expert_weights_norm'))).config.experts!.normalise).toBe(true);
    for (const model of [withKey('expert_weights_scale'), withKey('expert_weights_scale', 0)])
      expect((await open(model)).config.experts!.scale).toBe(1);
  });

  test('may have experts in all layers', async () => {
    const { config, weights } = await open(tinyModel({ ...TINY, experts: { ...EXPERTS!, denseLayers: 0 } }));
    expect([config.ffnSize, config.experts!.denseLayers]).toEqual([0, 0]);
    expect(weights.layers.every(({ router }) => router)).toBe(true);
  });

  test.each<[string, TinyModel, RegExp]>([
    [
      'another function of the scores',
      withKey('expert_gating_func', 1),
      /expert_gating_func is not supported: got 1, wanted 2/,
    ],
    ['shared experts', withKey('expert_shared_count', 1), /expert_shared_count is not supported/],
    [
      'more for a token than there are',
      withKey('expert_used_count', 9),
      /expert_used_count is not valid: got 9, wanted at most 8, and no more than the 8/,
    ],
    ['too many experts', withKey('expert_count', 4096), /expert_count is not valid: got 4096, wanted .* 1 to 256/],
    ['no width', withKey('expert_feed_forward_length'), /expert_feed_forward_length is not valid: got nothing/],
    [
      'a router without a row',
      withTensor(/ffn_gate_inp/, ({ bytes }) => ({ shape: [7, 64], bytes: bytes.slice(0, 7 * 64 * 4) })),
      /ffn_gate_inp\.weight has a wrong shape: got \[7, 64\], wanted \[8, 64\]/,
    ],
    [
      'one expert less',
      withTensor(/ffn_up_exps/, ({ bytes }) => ({ shape: [7, 32, 64], bytes: bytes.slice(0, 7 * 32 * 64 * 4) })),
      /ffn_up_exps\.weight has a wrong shape: got \[7, 32, 64\], wanted \[8, 32, 64\]/,
    ],
    [
      'a bias of another length',
      withTensor(/exp_probs_b/, ({ bytes }) => ({ shape: [7], bytes: bytes.slice(0, 28) })),
      /exp_probs_b\.bias has a wrong shape/,
    ],
  ])('with %s is refused', async (_, model, pattern) => expect(open(model)).rejects.toEqual(checkpointError(pattern)));
});

test.each([
  ['NaN', NaN, /ffn_gate_inp/],
  ['-Infinity', -Infinity, /exp_probs_b/],
])('a %s in a router or its bias is found while the weights load', async (_, value, name) => {
  const checkpoint = await open(
    withTensor(name, ({ bytes }) => {
      const changed = bytes.slice();
      new DataView(changed.buffer).setFloat32(changed.length - 4, value, true);
      return { bytes: changed };
    }),
  );
  await expect(loadWeights(checkpoint, openReferenceBackend(), () => undefined)).rejects.toEqual(
    checkpointError(new RegExp(`Tensor blk\\.\\d\\.${name.source}.* is not valid: got NaN or infinity`)),
  );
});

test('it is one forward pass with the dense models, which reads a share of the experts', async () => {
  const checkpoint = await open(tinyModel(TINY));
  const { nodes } = recordModel(checkpoint, shapesOf(checkpoint.weights));
  const feedForward = nodes.filter(({ op }) => /swiglu|expert/i.test(op)).map(({ op }) => op);
  const layer = ['selectExperts', 'expertsSwiglu', 'expertsLinear'];
  expect(feedForward).toEqual(['swiglu', ...layer, ...layer]);
  const swiglu = nodes.find(({ op }) => op === 'expertsSwiglu')!;
  expect([shareRead(swiglu), macsOf(swiglu), matricesOf(swiglu).length]).toEqual([3 / 8, 2 * 3 * 32 * 64, 2]);
  const sources: MatrixSource[] = [];
  mapLeaves(checkpoint.weights, (source) => void sources.push(source), () => undefined);
  expect(sources.filter(({ segments }) => segments.length === 8)).toHaveLength(6);
}); // prettier-ignore
