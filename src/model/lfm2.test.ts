import { describe, expect, test } from 'vitest';
import type { TensorInfo } from '../tensor/tensor';
import { architectureOfGguf, architectureOfJson, LFM2, type Weights } from './architecture';
import type { Config } from './config';
import { refuseQuantized } from './read_config';
import { indexTensors, mapLeaves, type MatrixSource, type VectorSource } from './weights';

// D 64, F 96, V 300, H 4, K 2, d 16, L 3: conv, attention, conv
const LAYERS: Config['layers'] = ['conv', 'attention', 'conv'];
const SHAPES: Record<string, number[]> = { 'token_embd.weight': [300, 64], 'token_embd_norm.weight': [64] };
LAYERS.forEach((kind, i) => {
  const module: Record<string, number[]> = {
    attn_norm: [64],
    ffn_norm: [64],
    ffn_gate: [96, 64],
    ffn_up: [96, 64],
    ffn_down: [64, 96],
  };
  if (kind === 'conv')
    Object.assign(module, {
      'shortconv.in_proj': [192, 64],
      'shortconv.conv': [64, 3],
      'shortconv.out_proj': [64, 64],
    });
  else
    Object.assign(module, {
      attn_q: [64, 64],
      attn_k: [32, 64],
      attn_v: [32, 64],
      attn_output: [64, 64],
      attn_q_norm: [16],
      attn_k_norm: [16],
    });
  for (const [name, shape] of Object.entries(module)) SHAPES[`blk.${i}.${name}.weight`] = shape;
});

const METADATA: Record<string, unknown> = {
  'general.architecture': 'lfm2',
  'lfm2.block_count': 3,
  'lfm2.context_length': 512,
  'lfm2.embedding_length': 64,
  'lfm2.feed_forward_length': 12288, // wrong on purpose: the weights decide
  'lfm2.attention.head_count': 4,
  'lfm2.attention.head_count_kv': [0, 2, 0],
  'lfm2.attention.layer_norm_rms_epsilon': 1e-5,
  'lfm2.rope.freq_base': 1e6,
  'lfm2.vocab_size': 300,
  'lfm2.shortconv.l_cache': 3,
};

const JSON_CONFIG: Record<string, unknown> = {
  architectures: ['Lfm2ForCausalLM'],
  model_type: 'lfm2',
  vocab_size: 300,
  hidden_size: 64,
  block_ff_dim: 144,
  intermediate_size: 144,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  layer_types: ['conv', 'full_attention', 'conv'],
  conv_L_cache: 3,
  conv_bias: false,
  norm_eps: 1e-5,
  rope_theta: 1e6,
  max_position_embeddings: 512,
};

const CONFIG: Config = {
  vocabSize: 300,
  hiddenSize: 64,
  ffnSize: 96,
  layers: LAYERS,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  convLength: 3,
  normEps: 1e-5,
  ropeTheta: 1e6,
  contextLength: 512,
};

/** An empty value takes the entry away. */
function merged<T>(base: Record<string, T>, change: Record<string, T | undefined>): [string, T][] {
  return Object.entries({ ...base, ...change }).filter((entry): entry is [string, T] => entry[1] !== undefined);
}

const infos = (change: Record<string, number[] | undefined> = {}): TensorInfo[] =>
  merged(SHAPES, change).map(([name, shape], i) => ({ name, shape, dtype: 'F32', file: 0, offset: i, byteLength: 0 }));
const tensors = (change?: Record<string, number[] | undefined>) => indexTensors(infos(change));
const fromGguf = (
  change: Record<string, unknown>,
  shapes?: Record<string, number[] | undefined>,
  notes: string[] = [],
): Config => {
  const metadata = new Map(merged(METADATA, change));
  return architectureOfGguf(metadata).configFromGguf(metadata, tensors(shapes), notes);
};
const fromJson = (change: Record<string, unknown>, notes: string[] = []): Config => {
  const json = Object.fromEntries(merged(JSON_CONFIG, change));
  const architecture = architectureOfJson(json);
  refuseQuantized(json);
  return architecture.configFromJson(json, tensors(), notes);
};
const weightsOf = (change?: Record<string, number[] | undefined>): Weights =>
  tensors(change).read((read) => LFM2.weights(CONFIG, read));

const checkpointError = (pattern: RegExp) =>
  expect.objectContaining({ name: 'CheckpointError', message: expect.stringMatching(pattern) });

describe('the configuration of a GGUF file', () => {
  test.each<[string, Record<string, unknown>, Partial<Config>]>([
    ['the widths are those of the weights', {}, {}],
    ['one kv count for all layers: the weights tell the kinds', { 'lfm2.attention.head_count_kv': 2 }, {}],
    ['a head count a layer', { 'lfm2.attention.head_count': [4, 4, 4] }, {}],
    ['a stated head width', { 'lfm2.attention.key_length': 32 }, { headDim: 32 }],
    [
      'no attention at all',
      { 'lfm2.attention.head_count_kv': [0, 0, 0] },
      { layers: ['conv', 'conv', 'conv'], kvHeads: 4 },
    ],
    [
      'another kernel, base and length',
      { 'lfm2.shortconv.l_cache': 7, 'lfm2.rope.freq_base': 1e4, 'lfm2.context_length': 128000 },
      { convLength: 7, ropeTheta: 1e4, contextLength: 128000 },
    ],
  ])('%s', (_, change, expected) => expect(fromGguf(change)).toEqual({ ...CONFIG, ...expected }));

  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      'another architecture',
      { 'general.architecture': 'llama' },
      /architecture .* not supported: got "llama", wanted lfm2/,
    ],
    ['no architecture', { 'general.architecture': undefined }, /got nothing/],
    [
      'the vision part of a model',
      { 'general.architecture': 'clip', 'general.type': 'mmproj' },
      /the vision or audio part of a model \(mmproj\).* got "clip".* Choose the file of the text model, too/,
    ],
    ['a retrieval model', { 'general.architecture': 'lfm2-bidir' }, /Bidirectional models .* got "lfm2-bidir"/],
    [
      'a file that states its type only',
      { 'general.architecture': undefined, 'general.type': 'imatrix' },
      /got "imatrix"/,
    ],
    [
      'a name of JavaScript',
      { 'general.architecture': 'constructor' },
      /architecture .* not supported: got "constructor"/,
    ],
    ['a window', { 'lfm2.attention.sliding_window': 30 }, /sliding_window is not supported: got 30/],
    ['scaled positions', { 'lfm2.rope.scaling.type': 'yarn' }, /rope\.scaling\.type is not supported: got "yarn"/],
    ['no layers', { 'lfm2.block_count': 0 }, /lfm2\.block_count is not valid: got 0, wanted a whole number from 1/],
    ['2^32 layers', { 'lfm2.block_count': 2 ** 32 }, /block_count is not valid/],
    ['a text for a number', { 'lfm2.embedding_length': '64' }, /embedding_length is not valid: got "64"/],
    [
      'kv counts of another length',
      { 'lfm2.attention.head_count_kv': [0, 2] },
      /head_count_kv is not valid: got \[0, 2\], wanted 3 whole numbers/,
    ],
    ['kv counts that differ', { 'lfm2.attention.head_count_kv': [4, 2, 0] }, /head_count_kv differs between layers/],
    ['kv counts below zero', { 'lfm2.attention.head_count_kv': [0, -2, 0] }, /head_count_kv is not valid/],
    [
      'heads that do not share evenly',
      { 'lfm2.attention.head_count_kv': [0, 3, 0] },
      /number of heads is not valid: got 4, wanted a multiple of 3/,
    ],
    [
      'a broken head width',
      { 'lfm2.attention.head_count': 3, 'lfm2.attention.head_count_kv': [0, 3, 0] },
      /head width is not valid/,
    ],
    ['an odd head width', { 'lfm2.attention.key_length': 15 }, /head width is not valid: got 15/],
    ['partial rotation', { 'lfm2.rope.dimension_count': 8 }, /dimension_count is not supported: got 8/],
    ['a kernel of one', { 'lfm2.shortconv.l_cache': 1 }, /short convolution is not valid/],
    ['epsilon zero', { 'lfm2.attention.layer_norm_rms_epsilon': 0 }, /layer_norm_rms_epsilon is not valid/],
    ['a base that is no number', { 'lfm2.rope.freq_base': NaN }, /freq_base is not valid/],
    ['a base of zero', { 'lfm2.rope.freq_base': 0 }, /freq_base is not valid: got 0/],
    ['another vocabulary', { 'lfm2.vocab_size': 301 }, /size of the vocabulary is not valid: got 301, wanted 300/],
  ])('refuses %s', (_, change, pattern) => expect(() => fromGguf(change)).toThrow(checkpointError(pattern)));

  test('no base: that of the family, with a note', () => {
    const notes: string[] = [];
    expect(fromGguf({ 'lfm2.rope.freq_base': undefined }, {}, notes)).toEqual(CONFIG);
    expect(notes).toEqual([expect.stringContaining('1000000 is used')]);
  });

  test('refuses a checkpoint without embedding, or a flat one', () => {
    expect(() => fromGguf({}, { 'token_embd.weight': undefined })).toThrow(
      checkpointError(/lacks a tensor, wanted model\.embed_tokens\.weight \(GGUF: token_embd\.weight\)/),
    );
    expect(() => fromGguf({}, { 'token_embd.weight': [19200] })).toThrow(
      checkpointError(/token_embd\.weight has a wrong shape: got \[19200\]/),
    );
  });
});

describe('the configuration of a directory', () => {
  test.each<[string, Record<string, unknown>, Partial<Config>]>([
    ['layer_types', {}, {}],
    ['full_attn_idxs', { layer_types: undefined, full_attn_idxs: [1] }, {}],
    [
      'rope_parameters',
      { rope_theta: undefined, rope_parameters: { rope_theta: 5e5, rope_type: 'default' } },
      { ropeTheta: 5e5 },
    ],
    [
      'rope_parameters of each kind of layer',
      {
        rope_theta: undefined,
        rope_parameters: { full_attention: { rope_theta: 5e5, rope_type: 'default' }, conv: null },
      },
      { ropeTheta: 5e5 },
    ],
    ['theta', { rope_theta: undefined, theta: 5e5 }, { ropeTheta: 5e5 }],
    ['head_dim', { head_dim: 32 }, { headDim: 32 }],
    ['head_dim null', { head_dim: null, rope_scaling: null }, {}],
  ])('%s', (_, change, expected) => expect(fromJson(change)).toEqual({ ...CONFIG, ...expected }));

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['another architecture', { model_type: 'llama', architectures: ['LlamaForCausalLM'] }, /got "llama", wanted lfm2/],
    ['no model type', { model_type: undefined }, /got "Lfm2ForCausalLM"/],
    ['vision of LFM3', { model_type: 'lfm3_vl', text_config: {} }, /Audio models and other vision models are not supp/],
    ['a text_config inside', { text_config: { model_type: 'lfm2' } }, /Audio models and other vision models/],
    ['retrieval', { architectures: ['Lfm2BidirectionalModel'] }, /Bidirectional/],
    [
      'bitsandbytes',
      { quantization_config: { load_in_4bit: true } },
      /quantisation of the weights is not supported: got "bitsandbytes", wanted F32, F16 or BF16, or a GGUF file/,
    ],
    ['GPTQ', { quantization_config: { quant_method: 'gptq', bits: 4 } }, /got "gptq", .* Take the model as GGUF/],
    ['MLX with 4 bits', { quantization: { group_size: 64, bits: 4 } }, /got "MLX"/],
    ['a type that is an object', { model_type: { toString: null } }, /got an object/],
    ['a method that is an object', { quantization_config: { quant_method: { toString: null } } }, /got an object/],
    ['scaled positions', { rope_scaling: { rope_type: 'yarn', factor: 4 } }, /rope_type is not supported: got "yarn"/],
    ['sliding layers', { layer_types: ['conv', 'sliding_attention', 'conv'] }, /layer_types are not supported/],
    ['too few layer_types', { layer_types: ['conv'] }, /layer_types are not supported/],
    [
      'indices beyond',
      { layer_types: undefined, full_attn_idxs: [3] },
      /does not list the kinds of layers: got .* \[3\]/,
    ],
    ['no kinds', { layer_types: undefined }, /does not list the kinds of layers/],
    ['no kv heads', { num_key_value_heads: undefined }, /num_key_value_heads is not valid: got nothing/],
    ['half a layer', { num_hidden_layers: 2.5 }, /num_hidden_layers is not valid: got 2.5/],
    ['biases that are not there', { conv_bias: true }, /lacks a tensor, wanted model\.layers\.0\.conv\.in_proj\.bias/],
  ])('refuses %s', (_, change, pattern) => expect(() => fromJson(change)).toThrow(checkpointError(pattern)));

  test('no base: that of the family, with a note', () => {
    const notes: string[] = [];
    expect(fromJson({ rope_theta: undefined }, notes)).toEqual(CONFIG);
    expect(notes).toEqual([expect.stringContaining('1000000 is used')]);
  });
});

describe('weights', () => {
  test.each([
    ['model.layers.2.conv.in_proj.weight', 'blk.2.shortconv.in_proj.weight'],
    ['model.layers.1.self_attn.q_layernorm.weight', 'blk.1.attn_q_norm.weight'],
    ['model.layers.2.feed_forward.w2.weight', 'blk.2.ffn_down.weight'],
    ['model.language_model.layers.0.conv.conv.weight', 'blk.0.shortconv.conv.weight'],
    ['lfm.embed_tokens.weight', 'token_embd.weight'],
    ['layers.2.operator_norm.weight', 'blk.2.attn_norm.weight'],
    ['output_norm.weight', 'token_embd_norm.weight'],
    ['model.norm.weight', 'token_embd_norm.weight'],
    ['model.layers.1.self_attn.o_proj.weight', 'blk.1.attn_output.weight'],
    ['_orig_mod.model.layers.2.feed_forward.w1.weight', 'blk.2.ffn_gate.weight'],
    ['model.layers.2._orig_mod.feed_forward.w3.weight', 'blk.2.ffn_up.weight'],
    ['module.model.embed_tokens.weight', 'token_embd.weight'],
    ['base_model.model.model.layers.1.self_attn.q_proj.base_layer.weight', 'blk.1.attn_q.weight'],
  ])('%s is %s', (name, gguf) => {
    const [tree, plain] = [weightsOf({ [gguf]: undefined, [name]: SHAPES[gguf] }), weightsOf()];
    const names = (of: Weights): string[] => {
      const found: string[] = [];
      mapLeaves(
        of,
        (leaf) => void found.push(leaf.name),
        (leaf) => void found.push(leaf.name),
      );
      return found;
    };
    expect(names(tree)).toEqual(names(plain));
  });

  test.each([
    'model.vision_tower.layers.1.self_attn.q_proj.weight',
    'layers.1.2.operator_norm.weight',
    'blk.1.attn_q.scales',
    'blk.0.ffn_gate_exps.weight',
    'blk.1.attn_q',
    '_fsdp_wrapped_module.lm_head.bias',
  ])('%s is no weight of the model', (name) =>
    expect(() => weightsOf({ [name]: [64, 64] })).toThrow(checkpointError(/does not fit its configuration/)),
  );

  test('the tree has the modules’ names, and segments for separate q, k, v', () => {
    const tree = weightsOf();
    expect(tree.head).toBe(tree.embed);
    const [conv, attention] = tree.layers;
    expect(conv).toMatchObject({
      kind: 'conv',
      inProj: { name: 'model.layers.0.conv.in_proj', cols: 64 },
      taps: { length: 192 },
      inBias: undefined,
    });
    if (attention.kind !== 'attention') throw new Error('not attention');
    expect(attention.qkvProj).toMatchObject({ name: 'model.layers.1.self_attn.qkv_proj', cols: 64 });
    expect(attention.qkvProj.segments.map(({ name, rows }) => [name, rows])).toEqual([
      ['model.layers.1.self_attn.q_proj', 64],
      ['model.layers.1.self_attn.k_proj', 32],
      ['model.layers.1.self_attn.v_proj', 32],
    ]);
  });

  test('fused qkv, an untied head, biases, taps as MLX and transformers keep them', () => {
    const fused = {
      'blk.1.attn_q.weight': undefined,
      'blk.1.attn_k.weight': undefined,
      'blk.1.attn_v.weight': undefined,
      'blk.1.attn_qkv.weight': [128, 64],
    };
    const biases = {
      'blk.0.shortconv.in_proj.bias': [192],
      'blk.0.shortconv.conv.bias': [64],
      'blk.0.shortconv.out_proj.bias': [64],
    };
    const tree = weightsOf({
      ...fused,
      ...biases,
      'output.weight': [300, 64],
      'blk.0.shortconv.conv.weight': [64, 3, 1],
      'blk.2.shortconv.conv.weight': [64, 1, 3],
    });
    const [conv, attention, last] = tree.layers;
    expect(tree.head).toMatchObject({ name: 'lm_head' });
    expect(attention).toMatchObject({
      qkvProj: { segments: [{ name: 'model.layers.1.self_attn.qkv_proj', rows: 128 }] },
    });
    expect(conv).toMatchObject({
      taps: { length: 192 },
      inBias: { length: 192 },
      convBias: { length: 64 },
      outBias: { length: 64 },
    });
    expect(last).toMatchObject({ taps: { length: 192 } });
  });

  test.each<[string, Record<string, number[] | undefined>, RegExp]>([
    [
      'missing',
      { 'blk.1.attn_k.weight': undefined },
      /lacks a tensor, wanted model\.layers\.1\.self_attn\.k_proj\.weight \(GGUF: blk\.1\.attn_k\.weight\)/,
    ],
    [
      'wrong shape',
      { 'blk.2.ffn_down.weight': [64, 128] },
      /blk\.2\.ffn_down\.weight has a wrong shape: got \[64, 128\], wanted \[64, 96\]/,
    ],
    [
      'taps turned around',
      { 'blk.0.shortconv.conv.weight': [3, 64] },
      /wanted \[64, 3\] or \[64, 1, 3\] or \[64, 3, 1\]/,
    ],
    ['left over', { 'blk.3.attn_norm.weight': [64] }, /does not fit its configuration: got blk\.3\.attn_norm\.weight/],
    ['unknown', { 'dense_2.weight': [128, 64] }, /does not fit its configuration: got dense_2\.weight/],
    [
      'separate and fused',
      { 'blk.1.attn_qkv.weight': [128, 64] },
      /does not fit its configuration: got blk\.1\.attn_q\.weight/,
    ],
  ])('refuses a tensor %s', (_, change, pattern) => expect(() => weightsOf(change)).toThrow(checkpointError(pattern)));

  test('the weights of an adapter', () => {
    for (const name of [
      'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight',
      'blk.0.ffn_down.weight.lora_a',
    ])
      expect(() => tensors({ [name]: [8, 64] })).toThrow(
        checkpointError(/LoRA adapters are not supported yet: got .*lora_a.* Merge it into its base model/i),
      );
  });

  test('one weight in both spellings', () => {
    expect(() => weightsOf({ 'model.embed_tokens.weight': [300, 64] })).toThrow(
      checkpointError(/has model\.embed_tokens\.weight twice: got model\.embed_tokens\.weight and token_embd\.weight/),
    );
    expect(() => fromGguf({}, { 'lfm.embed_tokens.weight': [300, 64] })).toThrow(checkpointError(/twice/));
  });

  test('65,000 names that are one without what wraps them, at once', () => {
    const [tensor] = infos();
    const start = performance.now();
    expect(() =>
      indexTensors(
        Array.from({ length: 65_000 }, (_, i) => ({ ...tensor, name: `_${i}.layers.0.strange.weight` })),
      ).read(() => 0),
    ).toThrow(checkpointError(/does not fit its configuration/));
    expect(performance.now() - start).toBeLessThan(5000);
  });

  test('another tree has the same form: unions, lists, optional leaves, one object in two places', () => {
    const tensor = infos()[0];
    const [m, v]: [MatrixSource, VectorSource] = [
      { name: 'm', cols: 2, segments: [] },
      { name: 'v', length: 3, tensor },
    ];
    const tree = {
      embed: m,
      head: m,
      note: 'a',
      bias: undefined as VectorSource | undefined,
      layers: [
        { kind: 'a' as const, v },
        { kind: 'b' as const, experts: [[m], []] },
      ],
      width: 7,
      none: null,
    };
    let [matrices, vectors] = [0, 0];
    const got = mapLeaves(
      tree,
      ({ cols }) => ({ cols, number: ++matrices }),
      ({ length }) => length * ++vectors,
    );
    const mapped = { cols: 2, number: 1 };
    expect(got).toEqual({
      embed: mapped,
      head: mapped,
      note: 'a',
      bias: undefined,
      layers: [
        { kind: 'a', v: 3 },
        { kind: 'b', experts: [[mapped], []] },
      ],
      width: 7,
      none: null,
    });
    expect(got.head).toBe(got.embed);
    expect([matrices, vectors]).toEqual([1, 1]);
    const typed: number | undefined = got.bias; // the types follow the leaves
    expect(typed).toBeUndefined();
  });
});
