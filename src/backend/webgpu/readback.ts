/** Numbers from the GPU to the page through a ring of mapped buffers. */
import { fail } from '../../errors';
import type { OpenedDevice } from './device';

export interface Readback {
  /** adds the copy to the encoder; after its submit, `read` resolves to the bytes */
  copy(encoder: GPUCommandEncoder, source: GPUBuffer, offset: number, bytes: number): { read(): Promise<ArrayBuffer> };
  dispose(): void;
}

/** Firefox looks for finished work every 100 ms unless something is submitted (bug 1870699). */
const nudges = /firefox/i.test(globalThis.navigator?.userAgent ?? '');

export function createReadback(opened: OpenedDevice, label: string, slotBytes: number, slots: number): Readback {
  const { device } = opened;
  const make = () => opened.create(label, slotBytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  const made = Array.from({ length: slots }, make);
  const free = [...made];

  return {
    copy(encoder, source, offset, bytes) {
      let slot = free.pop();
      if (!slot) made.push((slot = make())); // more in flight than ever before
      const { buffer, ready } = slot;
      encoder.copyBufferToBuffer(source, offset, buffer, 0, bytes);
      return {
        async read() {
          await ready;
          try {
            await settled(device, buffer.mapAsync(GPUMapMode.READ, 0, bytes));
          } catch (error) {
            opened.check();
            fail('DeviceError', { what: 'The GPU gave no result', got: String(error) }, error);
          }
          const result = buffer.getMappedRange(0, bytes).slice(0);
          buffer.unmap();
          free.push(slot);
          opened.check();
          return result;
        },
      };
    },
    dispose: () => made.forEach(({ buffer }) => opened.release(buffer)),
  };
}

const waiting = new Map<GPUDevice, { work: number; timer: ReturnType<typeof setInterval> }>();

/** Waits for GPU work, nudging browsers that would notice late. */
export async function settled<T>(device: GPUDevice, work: Promise<T>): Promise<T> {
  if (!nudges) return work;
  const wait = waiting.get(device) ?? { work: 0, timer: setInterval(() => device.queue.submit([]), 1) };
  waiting.set(device, wait);
  wait.work++;
  return work.finally(() => {
    if (--wait.work > 0) return;
    clearInterval(wait.timer);
    waiting.delete(device);
  });
}
