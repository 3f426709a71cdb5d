/** Buffers that belong together: they are counted and released as one. */
import { fail } from '../../errors';
import { wholeBuffer, type BufferRegion, type DispatchContext } from './dispatch';

export interface BufferGroup {
  /** As DispatchContext.allocateBuffer. @throws MemoryError, DeviceError */
  take(label: string, bytes: number, usage?: GPUBufferUsageFlags): Promise<BufferRegion>;
  has(buffer: GPUBuffer): boolean;
  free(region: BufferRegion | undefined): void;
  bytes(): number;
  /** Frees all; no other call may follow. */
  release(): void;
}

export function createBufferGroup(gpu: Pick<DispatchContext, 'allocateBuffer' | 'releaseBuffer'>): BufferGroup {
  const held = new Set<GPUBuffer>();
  let released = false;
  return {
    async take(label, bytes, usage) {
      const buffer = await gpu.allocateBuffer(label, bytes, usage);
      if (released) {
        gpu.releaseBuffer(buffer); // the owner was disposed meanwhile
        fail('DeviceError', { what: 'The conversation is closed' });
      }
      held.add(buffer);
      return wholeBuffer(buffer);
    },
    has: (buffer) => held.has(buffer),
    free(region) {
      if (region && held.delete(region.buffer)) gpu.releaseBuffer(region.buffer);
    },
    bytes: () => [...held].reduce((sum, { size }) => sum + size, 0),
    release() {
      released = true;
      for (const buffer of held) gpu.releaseBuffer(buffer);
      held.clear();
    },
  };
}
