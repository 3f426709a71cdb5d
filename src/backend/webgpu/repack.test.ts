import { expect, it, vi } from 'vitest';
import { rowBytes } from '../../tensor/dtype';
import { wholeBuffer, type DispatchContext } from './dispatch';
import { createMatrixWriter } from './repack';

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
