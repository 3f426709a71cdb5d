/** Copies data from the GPU to JavaScript through a pool of mappable buffers. */
import { fail } from '../../errors';
import type { OpenedDevice } from './device';

export interface ReadbackPool {
  /** Encodes the copy; call `read` after the submit. */
  copy(encoder: GPUCommandEncoder, source: GPUBuffer, offset: number, bytes: number): { read(): Promise<ArrayBuffer> };
  dispose(): void;
}

export function createReadbackPool(
  opened: OpenedDevice,
  label: string,
  slotBytes: number,
  slots: number,
): ReadbackPool {
  const make = () => opened.createBuffer(label, slotBytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  const made = Array.from({ length: slots }, make);
  const free = [...made];

  return {
    copy(encoder, source, offset, bytes) {
      let slot = free.pop();
      if (!slot) made.push((slot = make())); // more copies in flight than before
      const { buffer, ready } = slot;
      encoder.copyBufferToBuffer(source, offset, buffer, 0, bytes);
      return {
        async read() {
          await ready;
          try {
            await opened.waitFor(buffer.mapAsync(GPUMapMode.READ, 0, bytes));
          } catch (error) {
            opened.throwIfFailed();
            fail('DeviceError', { what: 'The result could not be read back from the GPU', got: String(error) }, error);
          }
          const result = buffer.getMappedRange(0, bytes).slice(0);
          buffer.unmap();
          free.push(slot);
          opened.throwIfFailed();
          return result;
        },
      };
    },
    dispose: () => made.forEach(({ buffer }) => opened.releaseBuffer(buffer)),
  };
}
