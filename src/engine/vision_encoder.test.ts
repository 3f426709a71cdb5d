/** Vision encoders of files: what is read, what is refused, and that every weight counts. */
import '../modules/encoders';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { GOLDEN_DIRECTORY } from '../../e2e/tools/golden';
import { ggufBytes, safetensorsBytes, tinyModel, type TinyModel } from '../../e2e/tools/tiny';
import { TEXT, tinyEncoder, tinyVisionDirectory, type TinyVisionOptions } from '../../e2e/tools/tiny_vision';
import { verify } from '../../e2e/tools/verify';
import type { VerifyOptions } from '../../e2e/tools/verify_page';
import type { Backend } from '../backend/backend';
import { openReferenceBackend } from '../backend/reference/backend';
import { openWasmBackend } from '../backend/wasm/backend';
import { mapLeaves } from '../model/weights';
import { memorySource } from '../store/byte_source';
import type { Tile } from '../vision/patches';
import { openCheckpoint, type Checkpoint } from './checkpoint';
import { loadWeights } from './load_weights';
import { createVisionEncoder, readPositions, type EncodeTilesOptions } from './vision_encoder';

const text = ggufBytes(tinyModel(TEXT));
const open = (encoder: TinyModel, ...more: TinyModel[]): Promise<Checkpoint> =>
  openCheckpoint([
    memorySource('text.gguf', text),
    ...[encoder, ...more].map((one, i) => memorySource(`mmproj-${i}.gguf`, ggufBytes(one))),
  ]);
const openFiles = (files: Record<string, Uint8Array>): Promise<Checkpoint> =>
  openCheckpoint(Object.entries(files).map(([name, bytes]) => memorySource(name, bytes)));

const pixels = Uint8Array.from({ length: 3 * 128 * 128 }, (_, i) => (i * 31 + (i >> 7) * 17) & 255);
const tile = (width: number, height: number, left = 0): Tile => ({
  pixels,
  stride: 128,
  left,
  top: 16,
  width,
  height,
});

async function featuresOf(
  checkpoint: Checkpoint,
  backend: Backend = openReferenceBackend(),
  tiles = [tile(4, 2)],
  options?: EncodeTilesOptions,
): Promise<Float32Array> {
  await backend.reserve(8 << 20);
  const weights = await loadWeights(checkpoint, backend, () => undefined);
  const encoder = await createVisionEncoder(checkpoint, await readPositions(checkpoint), weights, backend);
  const features = await encoder.encode(tiles, options);
  encoder.dispose();
  return features;
}

const difference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);

describe('golden pictures', () => {
  const holds = async (options: Omit<VerifyOptions, 'expected'>, lines: number): Promise<void> => {
    let count = 0;
    expect(await verify({ expected: join(GOLDEN_DIRECTORY, 'vision'), ...options }, () => count++)).toEqual([]);
    expect(count).toBe(lines);
  };
  it('the reference', () => holds({ backend: 'reference', prompts: ['square'] }, 1));
  it('wasm exact, in one piece and in sevens', () =>
    holds(
      {
        backend: 'wasm',
        exact: true,
        feeds: [{ chunk: 256 }, { chunk: 7, longest: 91 }],
        open: () => openWasmBackend({ threads: 1, exact: true }),
      },
      7,
    ));
});

describe('every weight counts', () => {
  let checkpoint: Checkpoint;
  let wanted: Float32Array;
  beforeAll(async () => {
    checkpoint = await open(tinyEncoder());
    wanted = await featuresOf(checkpoint);
    expect(wanted.length).toBe(2 * 64);
  });

  it('as a leaf of the tree', async () => {
    const leaves: string[] = [];
    const add = ({ name }: { name: string }): void => void leaves.push(name);
    mapLeaves(checkpoint.weights.vision, add, add);
    expect(leaves.length).toBe(2 + 2 * 12 + 2 + 2 + 4);
    for (const lost of leaves) {
      const keep = <L extends { name: string }>(leaf: L): L | undefined => (leaf.name === lost ? undefined : leaf);
      const vision = mapLeaves(checkpoint.weights.vision, keep, keep) as Checkpoint['weights']['vision'];
      const weights = { ...checkpoint.weights, vision };
      const got = await featuresOf({ ...checkpoint, weights }).catch(() => undefined);
      if (got?.every(Number.isFinite)) expect(difference(wanted, got), lost).toBeGreaterThan(1e-3);
    }
  });

  it('as a tensor of the file: without it the file does not open, or gives other features', async () => {
    const model = tinyEncoder();
    for (const lost of model.tensors) {
      const without = { ...model, tensors: model.tensors.filter((tensor) => tensor !== lost) };
      const got = await open(without).then(
        (opened) => featuresOf(opened),
        (error: Error) =>
          void expect(error.message).toContain(
            lost.name === 'mm.input_norm.weight' ? 'got mm.input_norm.bias' : `(GGUF: ${lost.name})`,
          ),
      );
      if (got) expect(difference(wanted, got), lost.name).toBeGreaterThan(1e-3);
    }
  });
});

describe('a Hugging Face directory', () => {
  const files = tinyVisionDirectory();
  const rename = (change: (name: string) => string, config: (json: string) => string = (json) => json) => {
    const tensors = ['text.safetensors', 'vision.safetensors'].map((name) => {
      const bytes = files[name];
      const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
      const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<
        string,
        { dtype: 'F32'; shape: number[]; data_offsets: [number, number] }
      >;
      return safetensorsBytes(
        Object.entries(header).flatMap(([tensor, { dtype, shape, data_offsets: at }]) =>
          at
            ? { name: change(tensor), dtype, shape, bytes: bytes.subarray(8 + length + at[0], 8 + length + at[1]) }
            : [],
        ),
      );
    });
    const json = new TextEncoder().encode(config(new TextDecoder().decode(files['config.json'])));
    return { ...files, 'text.safetensors': tensors[0], 'vision.safetensors': tensors[1], 'config.json': json };
  };

  test.each<[string, Record<string, Uint8Array>]>([
    [
      'of transformers 4',
      rename((name) => name.replace(/^model\.(layers|embed|embedding)/, 'model.language_model.$1')),
    ],
    ['of transformers 5', rename((name) => name.replace('vision_tower.vision_model', 'vision_tower'))],
    [
      'of the first files, with the code of the model beside them',
      rename(
        (name) =>
          name.replace(/^model\.(?=layers|embed)/, 'language_model.model.').replace(/^model\.(?=vision|multi)/, ''),
        (json) => json.replace('"lfm2_vl"', '"lfm2-vl"').replace('image_token_id', 'image_token_index'),
      ),
    ],
  ])('names %s', async (_, changed) => {
    const wanted = await openFiles(files);
    const got = await openFiles(changed);
    expect(got.config.vision).toMatchObject({ imageToken: 5, hiddenSize: 32, layers: 2 });
    expect(await featuresOf(got)).toEqual(await featuresOf(wanted));
  });

  it('reads how pictures are prepared, from any of three files', async () => {
    const settings = { max_image_tokens: 128, tile_size: 256, use_thumbnail: false };
    const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
    const own = JSON.parse(new TextDecoder().decode(files['config.json'])) as object;
    for (const more of [
      { 'preprocessor_config.json': bytes(settings) },
      { 'processor_config.json': bytes({ image_processor: settings }) },
      { 'config.json': bytes({ ...own, ...settings }) },
    ] as Record<string, Uint8Array>[])
      expect((await openFiles({ ...files, ...more })).config.vision!.preparation).toMatchObject({
        maxTokens: 128,
        tileSize: 256,
        thumbnail: false,
        minTokens: 64,
      });
  });

  test.each<[string, (json: Record<string, unknown>) => object, RegExp]>([
    ['no text_config', ({ text_config: _, ...json }) => json, /text_config is not valid: got nothing/],
    ['another activation', (json) => ({ ...json, projector_hidden_act: 'relu' }), /projector_hidden_act is not supp/],
    ['a layer that is none', (json) => ({ ...json, vision_feature_layer: 3 }), /vision_feature_layer is not supported/],
    ['tokens', (json) => ({ ...json, min_image_tokens: 300 }), /min_image_tokens is not supported: got 300, wanted at/],
    ['a tile', (json) => ({ ...json, tile_size: 500 }), /tile size is not valid: got 500, wanted a multiple of 32/],
    ['a mean', (json) => ({ ...json, image_mean: [0.5] }), /image_mean is not valid/],
  ])('refuses %s', async (_, change, message) => {
    const json = change(JSON.parse(new TextDecoder().decode(files['config.json'])) as Record<string, unknown>);
    const config = new TextEncoder().encode(JSON.stringify(json));
    await expect(openFiles({ ...files, 'config.json': config })).rejects.toThrow(message);
  });
});

describe('GGUF files', () => {
  it('refuses an encoder without its text model', async () => {
    const alone = openCheckpoint([memorySource('mmproj.gguf', ggufBytes(tinyEncoder()))]);
    await expect(alone).rejects.toThrow(/the vision or audio part of a model \(mmproj\)/);
  });
  it('refuses two encoders', async () =>
    expect(open(tinyEncoder(), tinyEncoder())).rejects.toThrow(/not the shards of one model/));

  test.each<[string, TinyVisionOptions, (model: TinyModel) => void, RegExp]>([
    [
      'an encoder of another model',
      {},
      (model) => (model.metadata['clip.projector_type'] = [8, 'llava']),
      /clip.projector_type is not supported: got "llava"/,
    ],
    ['one for another width of text', { text: 96 }, () => undefined, /mm.2.weight has a wrong shape: got \[96, 40\]/],
    [
      'heads that do not fit',
      {},
      (model) => (model.metadata['clip.vision.attention.head_count'] = [4, 5]),
      /number of heads is not valid/,
    ],
    [
      'a table of positions that is no square',
      {},
      (model) => model.tensors.forEach((one) => one.name.includes('position') && (one.shape = [255, 32])),
      /table of positions is not valid: got .*, wanted "?\[a square number, 32\]/,
    ],
  ])('refuses %s', async (_, options, change, message) => {
    const model = tinyEncoder(options);
    change(model);
    for (const one of model.tensors) if (one.shape[0] === 255) one.bytes = one.bytes.slice(0, 255 * 32 * 4);
    await expect(open(model)).rejects.toThrow(message);
  });

  it('refuses positions that are no numbers', async () => {
    const model = tinyEncoder();
    const { bytes } = model.tensors.find(({ name }) => name.includes('position'))!;
    new DataView(bytes.buffer).setFloat32(400, NaN, true);
    await expect(open(model).then((opened) => featuresOf(opened))).rejects.toThrow(
      /v.position_embd.weight is not valid/,
    );
  });
});

describe('calls', () => {
  it('give each tile the features that it has alone, and tell how many are done', async () => {
    const checkpoint = await open(tinyEncoder({ layerNorm: false }));
    const tiles = [tile(4, 2), tile(2, 6, 64), tile(4, 2, 32)];
    const done: number[] = [];
    const all = await featuresOf(checkpoint, undefined, tiles, { onTiles: (n) => done.push(n) });
    expect(done).toEqual([3]);
    let at = 0;
    for (const one of tiles) {
      const alone = await featuresOf(checkpoint, undefined, [one]);
      expect(all.subarray(at, (at += alone.length))).toEqual(alone);
    }
    expect(at).toBe(all.length);
  });
  it('end when they are aborted', async () => {
    const signal = AbortSignal.abort();
    await expect(
      open(tinyEncoder()).then((opened) => featuresOf(opened, undefined, undefined, { signal })),
    ).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
  });

  test.each([
    ['F16', 'F16'],
    ['BF16', 'BF16'],
    ['Q8_0 but for rows that are no whole blocks', 'Q8_0'],
  ] as const)('wasm computes what the reference does: %s', async (_, dtype) => {
    const fits = (name: string) => !/patch_embd|ffn_down|^mm\.2/.test(name);
    const options = { hidden: 64, ffn: 80, dtype: (name: string) => (fits(name) ? dtype : ('F16' as const)) };
    const checkpoint = await open(tinyEncoder(options));
    const tiles = [tile(8, 6), tile(4, 2)];
    const wanted = await featuresOf(checkpoint, undefined, tiles);
    const got = await featuresOf(checkpoint, await openWasmBackend({ threads: 1, exact: true }), tiles);
    expect(difference(wanted, got)).toBeLessThan(1e-4);
  });
});
