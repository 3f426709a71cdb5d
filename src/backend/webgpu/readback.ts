/** Numbers from the GPU to the page through a ring of mapped buffers. */
import { fail } from '../../errors';
import type { OpenedDevice } from './device';

export interface Readback {
  /** adds the copy to the encoder; after its submit, `read` resolves to the bytes */
  copy(encoder: GPUCommandEncoder, source: GPUBuffer, offset: number, bytes: number): { read(): Promise<ArrayBuffer> };
  dispose(): void;
}

export function createReadback(opened: OpenedDevice, label: string, slotBytes: number, slots: number): Readback {
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
            await opened.settled(buffer.mapAsync(GPUMapMode.READ, 0, bytes));
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
