import { describe, expect, test } from 'vitest';
import { ggufBytes, tinyGguf, tinyModel } from '../../e2e/tools/tiny';
import { openReferenceBackend } from '../backend/reference/backend';
import { ROW_SLICE_MULTIPLE, type Backend } from '../backend/backend';
import type { Matrix } from '../model/ops';
import { memorySource, type ByteSource } from '../store/byte_source';
import { dequantize } from '../tensor/dequant';
import { rowBytes } from '../tensor/dtype';
import { floatToHalf, halfToFloat } from '../tensor/half';
import { openCheckpoint } from './checkpoint';
import { loadWeights } from './load_weights';

interface Written {
  spec: Matrix;
  slices: { segment: number; firstRow: number; bytes: Uint8Array }[];
  finished: boolean;
}

/** A backend that keeps what it is given; `delay` makes its writes slow. */
function recorder(
  onWrite: () => void = () => undefined,
  delay = 0,
): { backend: Backend; written: Map<string, Written>; vectors: Map<string, Float32Array> } {
  const written = new Map<string, Written>();
  const vectors = new Map<string, Float32Array>();
  const backend: Backend = {
    ...openReferenceBackend(),
    matrix(spec) {
      const entry: Written = { spec, slices: [], finished: false };
      expect(written.has(spec.name)).toBe(false);
      written.set(spec.name, entry);
      return {
        async write(segment, firstRow, bytes) {
          entry.slices.push({ segment, firstRow, bytes: bytes.slice() });
          onWrite();
          if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
        },
        finish() {
          entry.finished = true;
          return spec;
        },
      };
    },
    vector(name, values) {
      vectors.set(name, values);
      return { name, length: values.length };
    },
  };
  return { backend, written, vectors };
}

// w1 has 9,000 rows of 4 KB, so it takes several slices
const BIG = {
  dtype: 'F32',
  hidden: 1024,
  ffn: 9000,
  heads: 4,
  kvHeads: 2,
  headDim: 32,
  layers: ['attention', 'conv'],
  vocab: 300,
} as const;
const source = memorySource('a.gguf', tinyGguf({ ...BIG, layers: [...BIG.layers] }));

describe('loadWeights', () => {
  test('whole rows in order, slices of at most 4 MB in whole steps, all bytes once', async () => {
    const checkpoint = await openCheckpoint([source]);
    const { backend, written, vectors } = recorder();
    let bytes = 0;
    const weights = await loadWeights(checkpoint, backend, (n) => (bytes += n));
    expect(bytes).toBe(checkpoint.bytes);
    expect(weights.head).toBe(weights.embed);
    for (const { spec, slices, finished } of written.values()) {
      expect(finished, spec.name).toBe(true);
      for (const [segment, { rows, dtype }] of spec.segments.entries()) {
        let next = 0;
        for (const slice of slices.filter((s) => s.segment === segment)) {
          expect(slice.firstRow).toBe(next);
          expect(slice.firstRow % ROW_SLICE_MULTIPLE).toBe(0);
          expect(slice.bytes.length).toBeLessThanOrEqual(4 << 20);
          next += slice.bytes.length / rowBytes(dtype, spec.cols);
        }
        expect(next, spec.name).toBe(rows);
      }
    }
    const w1 = written.get('model.layers.0.feed_forward.w1')!;
    expect(w1.slices.length).toBe(9);
    const { tensor } = checkpoint.weights.layers[0].w1.segments[0];
    const stored = await source.read(tensor.offset, tensor.byteLength);
    expect(Buffer.compare(Buffer.concat(w1.slices.map((slice) => slice.bytes)), stored)).toBe(0);
    const taps = checkpoint.weights.layers[1].kind === 'conv' ? checkpoint.weights.layers[1].taps : undefined;
    expect(vectors.get(taps!.name)).toEqual(
      dequantize('F32', await source.read(taps!.tensor.offset, taps!.tensor.byteLength), 1024 * 3),
    );
  });

  test('reads forward through the file, one slice ahead of the write', async () => {
    const checkpoint = await openCheckpoint([source]);
    let held = 0;
    let most = 0;
    let last = 0;
    const watched: ByteSource = {
      ...source,
      read(offset, length) {
        expect(offset).toBeGreaterThanOrEqual(last);
        last = offset + length;
        most = Math.max(most, ++held);
        return source.read(offset, length);
      },
    };
    await loadWeights({ ...checkpoint, files: [watched] }, recorder(undefined, 1).backend, () => held--);
    expect(most).toBe(2);
    expect(held).toBe(0);
  });

  test('several dtypes and segments reach the backend as they are', async () => {
    const mixed = tinyGguf({
      dtype: (name) => (name.endsWith('attn_v') ? 'Q6_K' : name === 'output' ? 'F16' : 'Q4_K'),
      tied: false,
    });
    const checkpoint = await openCheckpoint([memorySource('a.gguf', mixed)]);
    const { backend, written } = recorder();
    const weights = await loadWeights(checkpoint, backend, () => undefined);
    expect(weights.head).not.toBe(weights.embed);
    expect(written.get('lm_head')?.spec.segments[0].dtype).toBe('F16');
    expect(written.get('model.layers.1.self_attn.qkv_proj')?.spec).toMatchObject({
      rows: 512,
      cols: 256,
      segments: [{ dtype: 'Q4_K' }, { dtype: 'Q4_K' }, { dtype: 'Q6_K' }],
    });
  });

  test('norms and taps in F16, and taps in each layout, are the same numbers', async () => {
    const layouts = [
      (d: number, l: number) => [d, l],
      (d: number, l: number) => [d, 1, l],
      (d: number, l: number) => [d, l, 1],
    ];
    const read = await Promise.all(
      layouts.map(async (layout) => {
        const model = tinyModel();
        for (const tensor of model.tensors) {
          if (tensor.shape.length > 1 && !tensor.name.includes('shortconv.conv')) continue;
          const halves = Uint16Array.from(new Float32Array(tensor.bytes.slice().buffer), floatToHalf);
          if (tensor.name.includes('shortconv.conv')) tensor.shape = layout(tensor.shape[0], tensor.shape[1]);
          Object.assign(tensor, { dtype: 'F16', bytes: new Uint8Array(halves.buffer) });
        }
        const { backend, vectors } = recorder();
        await loadWeights(await openCheckpoint([memorySource('a.gguf', ggufBytes(model))]), backend, () => undefined);
        return vectors;
      }),
    );
    const exact = recorder();
    await loadWeights(await openCheckpoint([memorySource('a.gguf', tinyGguf())]), exact.backend, () => undefined);
    expect([...exact.vectors.keys()]).toContain('model.layers.0.conv.conv.weight');
    for (const vectors of read)
      for (const [name, values] of exact.vectors)
        expect(vectors.get(name), name).toEqual(values.map((value) => halfToFloat(floatToHalf(value))));
  });

  test('an abort, a failing source and a failing backend end it', async () => {
    const checkpoint = await openCheckpoint([source]);
    const controller = new AbortController();
    const aborting = recorder(() => controller.abort());
    await expect(loadWeights(checkpoint, aborting.backend, () => undefined, controller.signal)).rejects.toThrow(
      expect.objectContaining({ name: 'AbortError' }),
    );
    expect([...aborting.written.values()].flatMap(({ slices }) => slices).length).toBe(1);

    const late: ByteSource = {
      ...source,
      read: (offset, length) => (offset > 2e6 ? Promise.reject(new Error('gone')) : source.read(offset, length)),
    };
    await expect(loadWeights({ ...checkpoint, files: [late] }, recorder().backend, () => undefined)).rejects.toThrow(
      'gone',
    );
    const full = recorder(() => {
      throw new Error('full');
    });
    await expect(loadWeights({ ...checkpoint, files: [late] }, full.backend, () => undefined)).rejects.toThrow('full');
  });
});
