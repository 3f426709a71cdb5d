import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { drawnWeights, GOLDEN_DIRECTORY } from '../../e2e/tools/golden';
import {
  ggufBytes,
  safetensorsBytes,
  tinyDirectory,
  tinyGguf,
  tinyModel,
  type TinyOptions,
  type TinyTensor,
  type TinyValue,
} from '../../e2e/tools/tiny';
import { STRING } from '../format/gguf_writer';
import { mapLeaves } from '../model/weights';
import { memorySource, type ByteSource } from '../store/byte_source';
import { dequantize } from '../tensor/dequant';
import type { Dtype } from '../tensor/dtype';
import type { TensorInfo } from '../tensor/tensor';
import { compileChatTemplate } from '../text/chat_template';
import { createTokenizer } from '../text/tokenizer';
import { openCheckpoint } from './checkpoint';

const TINY: TinyOptions = { hidden: 64, headDim: 16, vocab: 320 };
const golden = join(GOLDEN_DIRECTORY, 'dense');
const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const sources = (files: Record<string, Uint8Array | undefined>): ByteSource[] =>
  Object.entries(files).flatMap(([name, bytes]) => (bytes ? [memorySource(name, bytes)] : []));
const gguf = (options: TinyOptions = TINY): ByteSource => memorySource('tiny.gguf', tinyGguf(options));
const withMetadata = (change: Record<string, TinyValue>): ByteSource[] => {
  const model = tinyModel(TINY);
  Object.assign(model.metadata, change);
  return [memorySource('tiny.gguf', ggufBytes(model))];
};
const named = (name: string, pattern: RegExp) =>
  expect.objectContaining({ name, message: expect.stringMatching(pattern) });

/** Counts the bytes that are read of a file. */
function counted(source: ByteSource): ByteSource & { bytes: number } {
  const counter = { ...source, bytes: 0 };
  counter.read = (offset, length, signal) => {
    counter.bytes += length;
    return source.read(offset, length, signal);
  };
  return counter;
}

describe('openCheckpoint', () => {
  test('formats that are larger in memory', async () => {
    // a table's block of 32 has 20 bytes, 256 values of Q3_K have 148
    for (const [dtype, stored, held] of [
      ['Q4_0', 18, 18],
      ['IQ4_NL', 18, 20],
      ['IQ4_XS', 17, 20],
      ['IQ3_S', 13.75, 20],
      ['Q3_K', 13.75, 18.5],
    ] as const) {
      const { bytes, memoryBytes } = await openCheckpoint([
        gguf({ dtype: (name) => (name === 'token_embd' ? dtype : 'F32') }),
      ]);
      const rows = tinyModel().tensors.find(({ name }) => name === 'token_embd.weight')!.shape[0];
      expect(memoryBytes - bytes, dtype).toBe(rows * (256 / 32) * (held - stored));
    }
  });

  test('GGUF', async () => {
    const checkpoint = await openCheckpoint([
      gguf({ ...TINY, dtype: (name) => (name === 'token_embd' ? 'Q8_0' : 'Q4_0') }),
    ]);
    expect(checkpoint).toMatchObject({
      quantization: 'Q4_0',
      config: { hiddenSize: 64, vocabSize: 320 },
      generationConfig: { eosIds: [7, 2] },
    });
    expect(checkpoint.weights.head).toBe(checkpoint.weights.embed);
    expect(checkpoint.bytes).toBeLessThan(checkpoint.files[0].size);
  });

  test('shards, in any order, beside other files', async () => {
    const { metadata, tensors } = tinyModel(TINY);
    const shard = (no: number, part: typeof tensors): Uint8Array =>
      ggufBytes({
        metadata: {
          ...(no === 0 ? metadata : {}),
          'split.no': [2, no],
          'split.count': [2, 2],
          'split.tensors.count': [5, tensors.length],
        },
        tensors: part,
      });
    const checkpoint = await openCheckpoint(
      sources({
        'README.md': text('hello'),
        'a-2.gguf': shard(1, tensors.slice(9)),
        'a-1.gguf': shard(0, tensors.slice(0, 9)),
      }),
    );
    const whole = await openCheckpoint([gguf()]);
    expect({ ...checkpoint, files: 0, weights: 0 }).toEqual({ ...whole, files: 0, weights: 0 });
    expect(checkpoint.weights.embed.segments[0].tensor.file).toBe(1);
  });

  test('a Hugging Face directory is the same model as the GGUF file', async () => {
    for (const options of [
      { ...TINY, tied: true },
      { ...TINY, tied: false, fused: true, convBias: true },
    ]) {
      const directory = await openCheckpoint(sources(tinyDirectory(options)));
      const file = await openCheckpoint([gguf(options)]);
      expect({ ...directory.config, normEps: 0 }).toEqual({ ...file.config, normEps: 0 });
      expect(directory.bytes).toBe(file.bytes);
      expect(directory.weights.head === directory.weights.embed).toBe(options.tied);
      expect(directory.generationConfig).toEqual({
        eosIds: [7, 2],
        temperature: 0.3,
        minP: 0.15,
        repetitionPenalty: 1.05,
      });
    }
  });

  test('sharded safetensors in a folder, chat_template.jinja, a tied head written out', async () => {
    const directory = tinyDirectory({ ...TINY, tied: false });
    const config = JSON.parse(new TextDecoder().decode(directory['config.json']));
    const files = Object.fromEntries(
      Object.entries(directory).map(([name, bytes]) => [`LFM2/${name.replace('model.', 'part-')}`, bytes]),
    );
    files['LFM2/config.json'] = text({ ...config, tie_embedding: true });
    files['LFM2/model.safetensors.index.json'] = text({
      weight_map: { 'model.embed_tokens.weight': 'part-safetensors' },
    });
    files['LFM2/chat_template.jinja'] = new TextEncoder().encode('{{ messages }}');
    files['LFM2/sub/config.json'] = text({});
    files['LFM2/other.safetensors'] = new Uint8Array(9); // not in the index
    const checkpoint = await openCheckpoint(sources(files));
    expect(checkpoint.tokenizer.config).toMatchObject({
      chat_template: '{{ messages }}',
      bos_token: '<|startoftext|>',
    });
    expect(checkpoint.weights.head).toBe(checkpoint.weights.embed);
    expect(checkpoint.files.map(({ name }) => name)).toEqual(['LFM2/part-safetensors']);
  });

  test('GGUF as Ollama’s converter writes it: the same weights, with notes', async () => {
    const model = tinyModel(TINY);
    for (const tensor of model.tensors) tensor.name = tensor.name.replace('token_embd_norm', 'output_norm');
    delete model.metadata['lfm2.rope.freq_base'];
    Object.assign(model.metadata, { 'tokenizer.ggml.pre': [8, 'default'], 'general.parameter_count': [10, 10 ** 9] });
    const checkpoint = await openCheckpoint([memorySource('a.gguf', ggufBytes(model))]);
    const plain = await openCheckpoint([gguf()]);
    expect(checkpoint).toMatchObject({ config: plain.config, tokenizer: plain.tokenizer, bytes: plain.bytes });
    expect(checkpoint.weights.embeddingNorm).toMatchObject({
      name: 'model.embedding_norm.weight',
      tensor: { name: 'output_norm.weight' },
    });
    expect(checkpoint.notes).toEqual([
      expect.stringContaining('1000000'),
      expect.stringMatching(/states 1000000000 parameters and has \d+/),
      expect.stringContaining('"default"'),
    ]);
    expect(plain.notes).toEqual([]);
  });

  test.each<[string, (types: number[]) => TinyValue | undefined]>([
    ['ordinary', (types) => [9, 5, types.map(() => 1)]],
    ['unused', (types) => [9, 5, types.map((type) => (type === 3 ? 5 : type))]],
    ['nothing: there are no types', () => undefined],
  ])('markers that a GGUF file flags as %s are markers', async (_, flag) => {
    const model = tinyModel(TINY);
    const types = flag(model.metadata['tokenizer.ggml.token_type'][2] as number[]);
    if (types) model.metadata['tokenizer.ggml.token_type'] = types;
    else delete model.metadata['tokenizer.ggml.token_type'];
    const { tokenizer, generationConfig } = await openCheckpoint([memorySource('a.gguf', ggufBytes(model))]);
    const { encode, specials } = createTokenizer(tokenizer.json, tokenizer.config);
    expect(encode('<|im_start|>the<|im_end|>')).toHaveLength(4);
    expect(encode('<|im_end|>')).toEqual([7]);
    expect(specials).toContain('<|im_start|>');
    expect(generationConfig.eosIds).toEqual([7, 2]);
  });

  test('the number of parameters in an index is that of the weights, a tied head counted once', async () => {
    const directory = tinyDirectory(TINY);
    const count = tinyModel(TINY).tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0);
    const notes = async (total: number): Promise<string[]> =>
      (
        await openCheckpoint(
          sources({
            ...directory,
            'model.safetensors.index.json': text({
              metadata: { total_parameters: total },
              weight_map: { a: 'model.safetensors' },
            }),
          }),
        )
      ).notes;
    expect(await notes(count)).toEqual([]);
    expect(await notes(count + 1)).toEqual([
      expect.stringContaining(`states ${count + 1} parameters and has ${count}`),
    ]);
    expect(await notes(1000), 'what training on many devices states').toEqual([]);
  });

  test('a directory as transformers 5 writes it, with names as torch.compile and PEFT write them', async () => {
    const directory = tinyDirectory({ ...TINY, tied: true });
    const { rope_theta, ...rest } = JSON.parse(new TextDecoder().decode(directory['config.json']));
    const written = {
      ...rest,
      rope_parameters: { rope_theta, rope_type: 'default' },
      dtype: 'float32',
      tie_word_embeddings: false,
    };
    const plain = await openCheckpoint(sources(directory));
    for (const wrapper of ['', '_orig_mod.', 'base_model.model.']) {
      const weights = Buffer.from(directory['model.safetensors']);
      const length = Number(weights.readBigUInt64LE());
      const header = Buffer.from(weights.toString('utf8', 8, 8 + length).replaceAll('"model.', `"${wrapper}model.`));
      const size = Buffer.alloc(8);
      size.writeBigUInt64LE(BigInt(header.length));
      const renamed = Uint8Array.from(Buffer.concat([size, header, weights.subarray(8 + length)]));
      const { config, bytes, notes } = await openCheckpoint(
        sources({ ...directory, 'config.json': text(written), 'model.safetensors': renamed }),
      );
      expect({ config, bytes, notes }, wrapper).toEqual({ config: plain.config, bytes: plain.bytes, notes: [] });
    }
  });

  test.each([
    ['none', {}],
    ['an empty one', { 'tokenizer.chat_template': [STRING, ' \n'] }],
  ] as [string, Record<string, TinyValue>][])(
    'with %s for a chat template it takes that of the family, and says so',
    async (_, change) => {
      const model = tinyModel(TINY);
      delete model.metadata['tokenizer.chat_template'];
      Object.assign(model.metadata, change);
      const { tokenizer, notes } = await openCheckpoint([memorySource('tiny.gguf', ggufBytes(model))]);
      expect(notes).toEqual([expect.stringContaining('no chat template')]);
      const prompt = compileChatTemplate(tokenizer.config)!.render([{ role: 'user', content: 'a' }]);
      expect(prompt).toBe('<|startoftext|><|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n');
      expect((await openCheckpoint([gguf()])).notes).toEqual([]);
    },
  );

  test('without a chat template and without markers of turns there is none', async () => {
    const model = tinyModel(TINY);
    delete model.metadata['tokenizer.chat_template'];
    const tokens = model.metadata['tokenizer.ggml.tokens'][2] as string[];
    tokens[tokens.indexOf('<|im_start|>')] = '<|turn|>';
    const { tokenizer } = await openCheckpoint([memorySource('tiny.gguf', ggufBytes(model))]);
    expect(compileChatTemplate(tokenizer.config)).toBeUndefined();
  });

  test('chat_template.json, and words of Python in config.json', async () => {
    const directory = tinyDirectory(TINY);
    const json = JSON.stringify(JSON.parse(new TextDecoder().decode(directory['config.json'])));
    const python = json.replace('{', '{"initializer_cutoff":-Infinity, "_name": "\\"NaN, Infinity", "a": [NaN],');
    const files = {
      ...directory,
      'config.json': new TextEncoder().encode(python),
      'chat_template.json': text({ chat_template: '{{ messages }}' }),
    };
    const checkpoint = await openCheckpoint(sources(files));
    expect(checkpoint.tokenizer.config).toMatchObject({
      chat_template: '{{ messages }}',
      bos_token: '<|startoftext|>',
    });
    expect(checkpoint.config).toEqual((await openCheckpoint(sources(directory))).config);
  });

  test('reads no more than the header needs', async () => {
    const long = new Uint8Array(6 << 20);
    long.set(tinyGguf(TINY));
    const source = counted(memorySource('a.gguf', long));
    await openCheckpoint([source]);
    expect(source.bytes).toBeLessThanOrEqual(4 << 20);
  });

  test('settings of the sampling from metadata; those out of range count as not said', async () => {
    const sampling = {
      'general.sampling.temp': [6, 0.5],
      'general.sampling.top_k': [5, 50],
      'general.sampling.top_p': [6, 7],
    } as Record<string, TinyValue>;
    const { generationConfig } = await openCheckpoint(
      withMetadata({ ...sampling, 'tokenizer.ggml.eos_token_id': [4, 2] }),
    );
    expect(generationConfig).toEqual({ eosIds: [2, 7], temperature: 0.5, topK: 50 });
  });

  const adapter = (): ByteSource[] => {
    const lora: TinyTensor = {
      name: 'blk.0.ffn_down.weight.lora_a',
      shape: [8, 64],
      dtype: 'F32',
      bytes: new Uint8Array(2048),
    };
    const metadata: Record<string, TinyValue> = {
      'general.architecture': [8, 'lfm2'],
      'general.type': [8, 'adapter'],
      'adapter.type': [8, 'lora'],
    };
    return [memorySource('adapter.gguf', ggufBytes({ metadata, tensors: [lora] }))];
  };
  const mlx = (): ByteSource[] => {
    const packed = {
      name: 'model.embed_tokens.weight',
      shape: [320, 8],
      dtype: 'U32' as Dtype,
      bytes: new Uint8Array(10240),
    };
    return sources({
      ...directory,
      'config.json': text({ ...config, quantization: { group_size: 64, bits: 4 } }),
      'model.safetensors': safetensorsBytes([packed]),
    });
  };
  const directory = tinyDirectory(TINY);
  const config = JSON.parse(new TextDecoder().decode(directory['config.json']));
  test.each<[string, () => ByteSource[], RegExp]>([
    ['no files', () => [], /no model among the files: got no files/],
    [
      'other files',
      () => sources({ 'a.txt': text(1), 'b.dat': text('no model') }),
      /no model among the files: got a\.txt, b\.dat/,
    ],
    ['a web page', () => [memorySource('model.gguf', new TextEncoder().encode('<!doctype html>'))], /not a GGUF file/],
    ['two models', () => [gguf(), gguf()], /not the shards of one model/],
    [
      'weights without config.json',
      () => sources({ ...directory, 'config.json': undefined }),
      /Weights without config\.json .* got model\.safetensors, .* Choose the whole directory/,
    ],
    [
      'weights alone',
      () => sources({ 'model.safetensors': directory['model.safetensors'] }),
      /Weights without config\.json .* Choose the whole directory/,
    ],
    [
      'an adapter',
      () => sources({ 'adapter_config.json': text({}), 'adapter_model.safetensors': directory['model.safetensors'] }),
      /LoRA adapters are not supported yet: .* Merge it into its base model/,
    ],
    ['an adapter as GGUF', adapter, /LoRA adapters are not supported yet: got blk\.0\.ffn_down\.weight\.lora_a/],
    [
      'weights of PyTorch',
      () => sources({ 'pytorch_model.bin': new Uint8Array(64) }),
      /Weights in \.bin or \.pt files .* as GGUF or \.safetensors/,
    ],
    ['MLX with 4 bits, whose types cannot be read', mlx, /quantisation of the weights is not supported: got "MLX"/],
    [
      'no tokenizer',
      () => sources({ ...directory, 'tokenizer.json': undefined }),
      /file of the model is missing, wanted tokenizer\.json/,
    ],
    [
      'config.json that is no JSON',
      () => sources({ ...directory, 'config.json': new TextEncoder().encode('{') }),
      /config\.json is not JSON/,
    ],
    [
      'config.json that is a list',
      () => sources({ ...directory, 'config.json': text([]) }),
      /config\.json is not valid: got \[\]/,
    ],
    [
      'a shard that is not there',
      () => sources({ ...directory, 'model.safetensors.index.json': text({ weight_map: { a: 'b.safetensors' } }) }),
      /Weight files are missing: .*wanted b\.safetensors/,
    ],
    [
      'several weight files without index',
      () =>
        sources({ ...directory, 'model.safetensors': undefined, 'a.safetensors': text(1), 'b.safetensors': text(1) }),
      /not clear which/,
    ],
    [
      'an untied head that is not there',
      () => sources({ ...directory, 'config.json': text({ ...config, tie_embedding: false }) }),
      /lacks a tensor, wanted lm_head\.weight/,
    ],
    [
      'another tokenizer model',
      () => withMetadata({ 'tokenizer.ggml.model': [8, 'llama'] }),
      /tokenizer .* not supported: got "llama", wanted gpt2/,
    ],
    [
      'another pre-tokenizer',
      () => withMetadata({ 'tokenizer.ggml.pre': [8, 'qwen2'] }),
      /pre-tokenizer .* got "qwen2"/,
    ],
    [
      'types of another length',
      () => withMetadata({ 'tokenizer.ggml.token_type': [9, 5, [1]] }),
      /no token types: got 1, wanted .* 320 numbers/,
    ],
    [
      'two tokens of one text',
      () => withMetadata({ 'tokenizer.ggml.tokens': [9, 8, Array(320).fill('a')] }),
      /same text: got "a"/,
    ],
    [
      'more tokens than rows',
      () =>
        withMetadata({
          'tokenizer.ggml.tokens': [9, 8, Array.from({ length: 321 }, (_, i) => `${i}`)],
          'tokenizer.ggml.token_type': [9, 5, Array(321).fill(1)],
        }),
      /larger than the embedding: got 321, wanted at most 320/,
    ],
    [
      'a merge without space',
      () => withMetadata({ 'tokenizer.ggml.merges': [9, 8, ['ab']] }),
      /merge .* is not valid: got "ab"/,
    ],
    [
      'an end token beyond',
      () => withMetadata({ 'tokenizer.ggml.eos_token_id': [4, 999] }),
      /eos_token_id is not in the vocabulary: got 999/,
    ],
    [
      'a token id beyond',
      () => sources({ ...directory, 'tokenizer.json': text({ model: { vocab: { a: 4e9 } } }) }),
      /"a" has no row in the embedding: got 4000000000/,
    ],
    [
      'a vocabulary that is a list',
      () => sources({ ...directory, 'tokenizer.json': text({ model: { vocab: ['a'] } }) }),
      /not a byte-level BPE/,
    ],
    [
      'an added token that is null',
      () => sources({ ...directory, 'tokenizer.json': text({ model: { vocab: {} }, added_tokens: [null] }) }),
      /token nothing has no row/,
    ],
  ])('%s', (_, files, pattern) => expect(openCheckpoint(files())).rejects.toThrow(named('CheckpointError', pattern)));

  test('failures of the source and aborts come through', async () => {
    const broken = { ...gguf(), read: () => Promise.reject(Object.assign(new Error('gone'), { name: 'SourceError' })) };
    await expect(openCheckpoint([broken])).rejects.toThrow(named('SourceError', /gone/));
    await expect(openCheckpoint([gguf()], AbortSignal.abort())).rejects.toThrow(named('AbortError', /abort/));
  });
});

describe('golden checkpoints', () => {
  const read = (path: string): ByteSource => memorySource(path.split('/').at(-1)!, readFileSync(`${golden}/${path}`));
  const json = (path: string): unknown => JSON.parse(readFileSync(`${golden}/${path}`, 'utf8'));

  // rows of 256 for the blocks of the K-quants, and the first two layers only
  const isWide = (file: string): boolean => /_K|Q4_0/.test(file);

  test('every GGUF file and the directory are the same model, or the wide one', async () => {
    const types = (json('expected.json') as { files: Record<string, { tensor_types?: Record<string, string> }> }).files;
    const directory = await openCheckpoint(readdirSync(`${golden}/model`).map((name) => read(`model/${name}`)));
    const wide = { hiddenSize: 256, ffnSize: 256, headDim: 64, layers: ['conv', 'attention'] };
    expect(readdirSync(`${golden}/gguf`).length).toBe(10);
    for (const name of readdirSync(`${golden}/gguf`)) {
      const checkpoint = await openCheckpoint([read(`gguf/${name}`)]);
      expect({ ...checkpoint.config, normEps: 0 }, name).toEqual({
        ...directory.config,
        normEps: 0,
        ...(isWide(name) ? wide : {}),
      });
      expect(name).toContain(checkpoint.quantization);
      const expected = types[name].tensor_types;
      const segments = [checkpoint.weights.embed, ...checkpoint.weights.layers.map((layer) => layer.w2)].flatMap(
        (matrix) => matrix.segments,
      );
      if (expected) for (const { tensor } of segments) expect(tensor.dtype, tensor.name).toBe(expected[tensor.name]);
    }
  });

  // Σ(Δ²)/Σ(ref²) of rounding to 4, 5, 6, 8 bits and to 8 bits of a bfloat; a wrong nibble, scale or minimum is far
  // beyond
  const ROUNDING: Partial<Record<Dtype, number>> = {
    Q4_0: 1e-2,
    Q4_1: 7e-3,
    Q4_K: 7e-3,
    Q5_0: 3e-3,
    Q5_1: 2e-3,
    Q5_K: 2e-3,
    Q6_K: 5e-4,
    Q8_0: 5e-5,
    BF16: 1e-5,
    F16: 1e-6,
    F32: 0,
  };

  test('every tensor of every file decodes to nearly the weights that were quantised', async () => {
    async function leaves(sources: ByteSource[]) {
      const { weights, files } = await openCheckpoint(sources);
      const found: { name: string; shape: readonly number[]; dtype: Dtype; values: () => Promise<Float32Array> }[] = [];
      function add(name: string, { dtype, shape, file, offset, byteLength }: TensorInfo): void {
        const count = shape.reduce((a, b) => a * b);
        found.push({
          name,
          shape,
          dtype,
          values: async () => dequantize(dtype, await files[file].read(offset, byteLength), count),
        });
      }
      mapLeaves(
        weights,
        ({ segments }) => segments.forEach(({ name, tensor }) => add(name, tensor)),
        ({ name, tensor }) => add(name, tensor),
      );
      return found;
    }
    const files = [{ file: 'model', sources: readdirSync(`${golden}/model`).map((name) => read(`model/${name}`)) }];
    for (const file of readdirSync(`${golden}/gguf`)) files.push({ file, sources: [read(`gguf/${file}`)] });
    const names = (await leaves(files[0].sources)).map(({ name }) => name);
    for (const { file, sources } of files) {
      const got = await leaves(sources);
      expect(got.map(({ name }) => name)).toEqual(
        isWide(file) ? names.filter((name) => !/layers\.[23]\./.test(name)) : names,
      );
      for (const leaf of got) {
        const a = await leaf.values();
        const b = drawnWeights(leaf.name.endsWith('.weight') ? leaf.name : `${leaf.name}.weight`, leaf.shape);
        let difference = 0;
        let power = 0;
        for (let j = 0; j < a.length; j++) {
          difference += (a[j] - b[j]) ** 2;
          power += b[j] ** 2;
        }
        expect(difference / power, `${file} ${leaf.name} ${leaf.dtype}`).toBeLessThanOrEqual(
          file === 'model' ? 0 : ROUNDING[leaf.dtype]!,
        );
      }
    }
  });

  test('the tokenizer made from metadata is the one of the directory', async () => {
    const { tokenizer, generationConfig } = await openCheckpoint([read('gguf/tiny-Q4_0.gguf')]);
    const { added_tokens: added, ...rest } = tokenizer.json as { added_tokens: { id: number }[] };
    const { added_tokens: wanted, ...others } = json('model/tokenizer.json') as { added_tokens: { id: number }[] };
    expect(rest).toEqual(others);
    expect(added).toEqual(wanted);
    expect(tokenizer.config).toEqual(json('model/tokenizer_config.json'));
    expect(generationConfig.eosIds).toEqual([7, 2]);
  });
});
