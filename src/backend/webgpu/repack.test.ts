import { expect, it, vi } from 'vitest';
import { rowBytes } from '../../tensor/dtype';
import { wholeBuffer, type DispatchContext } from './dispatch';
import { createMatrixWriter, unallocatedMatrixParts } from './repack';
import { noBuffer } from './state_buffers';

vi.stubGlobal('GPUBufferUsage', { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 });

it('uploads in slices of at most 1 MB, each packed before the next, and waits for the GPU every 32 MB', async () => {
  const calls: string[] = [];
  const sizes: number[] = [];
  const gpu = {
    device: {
      limits: { maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: 2 ** 27 },
      queue: {
        writeBuffer: ({ label }: GPUBuffer, _: number, data: ArrayBufferView) => {
          sizes.push(data.byteLength);
          if (label === 'upload') calls.push('write');
        },
        onSubmittedWorkDone: () => (calls.push('wait'), Promise.resolve()),
      },
    },
    allocateBuffer: (label: string, size: number) => Promise.resolve({ label, size }),
    releaseBuffer: () => undefined,
    waitFor: <T>(work: Promise<T>) => work,
    run: () => (calls.push('pack'), Promise.resolve()),
    step: wholeBuffer({ size: 16 } as GPUBuffer),
  } as unknown as DispatchContext;
  const [rows, cols, dtype] = [65536, 1024, 'Q8_0'] as const;
  const spec = { name: 'head', rows, cols, segments: [{ name: 'head', rows, dtype }] };
  const writer = createMatrixWriter(gpu, spec);
  const slice = 3856; // rows of 4 MB
  for (let first = 0; first < rows; first += slice)
    await writer.write(0, first, new Uint8Array(Math.min(slice, rows - first) * rowBytes(dtype, cols)));
  await writer.finish();
  expect(Math.max(...sizes)).toBeLessThanOrEqual(2 ** 20);
  expect(sizes.reduce((sum, size) => sum + (size > 24 ? size : 0), 0)).toBe(rows * rowBytes(dtype, cols));
  expect(calls.filter((call) => call === 'wait').length).toBe(
    Math.floor((rows * rowBytes(dtype, cols)) / (32 * 2 ** 20)),
  );
  expect(calls.filter((call) => call !== 'wait').join()).toMatch(/^(write,pack,?)+$/);
});

it('cuts a matrix between its segments if they have as many rows, and within them only if one is too large', () => {
  const parts = (segments: number[], limit: number): number[] => {
    const named = segments.map((rows) => ({ name: 'w', rows, dtype: 'Q8_0' as const }));
    const spec = { name: 'w', rows: segments.reduce((a, b) => a + b), cols: 64, segments: named };
    const made = unallocatedMatrixParts(spec, limit, noBuffer);
    expect(made.map(({ first }) => first)).toEqual(
      made.map((_, i) => made.slice(0, i).reduce((n, p) => n + p.rows, 0)),
    );
    return made.map(({ rows }) => rows);
  };
  const bytes = (rows: number): number => 68 * rows + 512;
  for (const limit of [bytes(1000), Infinity]) expect(parts([48, 48, 48, 48, 48], limit)).toEqual([240]);
  expect(parts([48, 48, 48, 48, 48], bytes(128))).toEqual([96, 96, 48]);
  expect(parts([48, 48, 48, 48, 48], bytes(95))).toEqual([48, 48, 48, 48, 48]);
  expect(parts([48, 48], bytes(32))).toEqual([32, 32, 32]);
  expect(parts([64, 32, 32], bytes(80))).toEqual([80, 48]);
  expect(parts([36, 36], bytes(1000))).toEqual([36, 36]); // the first does not end at a whole group of an upload
});
