import { expect, it, vi } from 'vitest';
import { rowBytes } from '../../tensor/dtype';
import { whole, type Gpu } from './gpu';
import { matrixWriter } from './repack';

vi.stubGlobal('GPUBufferUsage', { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 });

it('uploads in slices of at most 1 MB, each packed before the next, and waits for the GPU every 32 MB', async () => {
  const acts: string[] = [];
  const sizes: number[] = [];
  const gpu = {
    device: {
      limits: { maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: 2 ** 27 },
      queue: {
        writeBuffer: ({ label }: GPUBuffer, _: number, data: ArrayBufferView) => {
          sizes.push(data.byteLength);
          if (label === 'upload') acts.push('write');
        },
        onSubmittedWorkDone: () => (acts.push('wait'), Promise.resolve()),
      },
    },
    allocate: (label: string, size: number) => Promise.resolve({ label, size }),
    release: () => undefined,
    settled: <T>(work: Promise<T>) => work,
    run: () => (acts.push('pack'), Promise.resolve()),
    step: whole({ size: 16 } as GPUBuffer),
  } as unknown as Gpu;
  const [rows, cols, dtype] = [65536, 1024, 'Q8_0'] as const;
  const spec = { name: 'head', rows, cols, segments: [{ name: 'head', rows, dtype }] };
  const writer = matrixWriter(gpu, spec);
  const slice = 3856; // rows of 4 MB
  for (let first = 0; first < rows; first += slice) await writer.write(0, first, new Uint8Array(Math.min(slice, rows - first) * rowBytes(dtype, cols)));
  await writer.finish();
  expect(Math.max(...sizes)).toBeLessThanOrEqual(2 ** 20);
  expect(sizes.reduce((sum, size) => sum + (size > 24 ? size : 0), 0)).toBe(rows * rowBytes(dtype, cols));
  expect(acts.filter((act) => act === 'wait').length).toBe(Math.floor((rows * rowBytes(dtype, cols)) / (32 * 2 ** 20)));
  expect(acts.filter((act) => act !== 'wait').join()).toMatch(/^(write,pack,?)+$/);
});
