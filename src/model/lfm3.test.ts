import { describe, expect, test } from 'vitest';
import { memorySource } from '../store/byte_source';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GOLDEN_DIRECTORY } from '../../e2e/tools/golden';
import { recordModel } from '../backend/model_plan';
import { openCheckpoint } from '../engine/checkpoint';
import { parseGguf, type GgufHeader } from '../format/gguf';
import { architectureOfGguf, architectureOfJson } from './architecture';
import type { Config } from './config';
import { indexTensors, shapesOf } from './weights';

const bytes = new Uint8Array(readFileSync(join(GOLDEN_DIRECTORY, 'lfm3/gguf/tiny-Q8_0.gguf')));
const open = (file: Uint8Array) => openCheckpoint([memorySource('tiny.gguf', file)]);
const header = parseGguf(bytes, { name: 'tiny.gguf', size: bytes.length }, 0) as GgufHeader;
const checkpointError = (pattern: RegExp) =>
  expect.objectContaining({ name: 'CheckpointError', message: expect.stringMatching(pattern) });

test('a file has the kinds of its layers, two bases and the factors of its full layers', async () => {
  const { config, notes, generationConfig } = await open(bytes);
  expect(config).toEqual({
    vocabSize: 1024,
    hiddenSize: 64,
    ffnSize: 96,
    layers: ['conv', 'attention', 'conv', 'sliding', 'conv'],
    heads: 4,
    kvHeads: 2,
    headDim: 32,
    convLength: 7,
    normEps: expect.closeTo(1e-5, 9),
    ropeTheta: 1e6,
    ropeFactors: Array.from({ length: 16 }, (_, i) => (i < 8 ? 1 + i / 8 : Math.fround(1e30))),
    sliding: { window: 24, ropeTheta: 1e4 },
    contextLength: 262144,
  } satisfies Config);
  expect(notes).toEqual([]);
  expect(generationConfig.eosIds).toEqual([7, 2]);
});

test('it is one forward pass with LFM2: norms after linear maps, gates, a window', async () => {
  const checkpoint = await open(bytes);
  const { nodes } = recordModel(checkpoint, shapesOf(checkpoint.weights));
  expect(nodes.filter(({ op }) => op === 'normAdd')).toHaveLength(10);
  const attention = nodes.flatMap((node) => (node.op === 'attend' ? node : []));
  expect(attention.map(({ gate, window, rope }) => [gate, window, rope?.theta, rope?.factors?.length])).toEqual([
    [true, undefined, 1e6, 16],
    [true, 24, 1e4, undefined],
  ]);
  expect(attention[0].qkv.cols).toBe((4 + 2 * 2) * 32 + 4);
});

describe('refuses', () => {
  const configOf = (change: Record<string, unknown>): Config => {
    const metadata = new Map<string, unknown>([...header.metadata, ...Object.entries(change)]);
    return architectureOfGguf(metadata).configFromGguf(metadata, indexTensors(header.tensors), []);
  };
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['no window', { 'lfm3.attention.sliding_window': undefined }, /lfm3\.attention\.sliding_window is not valid/],
    ['no pattern', { 'lfm3.attention.sliding_window_pattern': undefined }, /sliding_window_pattern is not valid: got/],
    [
      'a number for a pattern',
      { 'lfm3.attention.sliding_window_pattern': 2 },
      /sliding_window_pattern is not valid: got 2, wanted a list of 5/,
    ],
    [
      'no layer with a window',
      { 'lfm3.attention.sliding_window_pattern': [false, false, false, false, false] },
      /sliding_window_pattern is not valid/,
    ],
    [
      'a convolution with a window',
      { 'lfm3.attention.sliding_window_pattern': [true, false, false, true, false] },
      /sliding_window_pattern is not valid/,
    ],
    ['no base', { 'lfm3.rope.freq_base': undefined }, /lfm3\.rope\.freq_base is not valid/],
    ['no base of the window', { 'lfm3.rope.freq_base_swa': undefined }, /lfm3\.rope\.freq_base_swa is not valid/],
    ['experts', { 'lfm3.expert_count': 8 }, /expert_count is not supported/],
    ['both directions', { 'lfm3.attention.causal': false }, /attention\.causal is not supported/],
  ])('%s', (_, change, pattern) => expect(() => configOf(change)).toThrow(checkpointError(pattern)));

  test.each([
    ['blk.1.attn_gate.weight', /lacks a tensor, wanted .*attn_gate\.weight/],
    ['blk.0.post_ffw_norm.weight', /lacks a tensor, wanted .*post_ffw_norm\.weight/],
    ['rope_freqs.weight', /lacks a tensor, wanted rope_freqs\.weight/],
  ])('a file without %s', async (name, pattern) => {
    // the same file with another name in its place
    const changed = bytes.slice();
    const at = Buffer.from(bytes).indexOf(name);
    expect(at).toBeGreaterThan(0);
    changed[at] = 'z'.charCodeAt(0);
    await expect(open(changed)).rejects.toEqual(checkpointError(pattern));
  });

  test('factors that are no positive numbers', async () => {
    const changed = bytes.slice();
    const { offset } = header.tensors.find(({ name }) => name === 'rope_freqs.weight')!;
    new DataView(changed.buffer).setFloat32(offset + 4, NaN, true);
    await expect(open(changed)).rejects.toEqual(
      checkpointError(/Tensor rope_freqs\.weight is not valid: got NaN, wanted 16 positive numbers/),
    );
  });

  test('a Hugging Face directory, and its relatives, by name', () => {
    expect(() => {
      const json = { model_type: 'lfm3', architectures: ['Lfm3ForCausalLM'] };
      architectureOfJson(json).configFromJson(json, indexTensors([]), []);
    }).toThrow(checkpointError(/LFM3 as a Hugging Face directory is not supported yet: got "lfm3", .* as GGUF/));
    for (const name of ['lfm3_vl', 'lfm3-audio', 'lfm3omni'])
      expect(() => architectureOfGguf(new Map([['general.architecture', name]]))).toThrow(
        checkpointError(/Audio models and other vision models are not supported yet/),
      );
    expect(() => architectureOfJson({ model_type: 'lfm3_d1' })).toThrow(checkpointError(/Other kinds of LFM3/));
  });
});
