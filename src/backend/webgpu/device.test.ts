import { describe, expect, it, vi } from 'vitest';
import { openDevice } from './device';

/** A device that gives what it is asked for, and the limits it was asked for. */
function fakeAdapter(limits: { maxBufferSize: number; maxStorageBufferBindingSize: number }, refusals: (label: string) => string | undefined = () => undefined) {
  const scopes: (string | undefined)[] = [];
  const destroyed: string[] = [];
  const requested: GPUDeviceDescriptor[] = [];
  const device = {
    features: new Set(),
    addEventListener: () => undefined,
    lost: new Promise(() => undefined),
    pushErrorScope: () => scopes.push(undefined),
    popErrorScope: () => Promise.resolve(scopes.pop() ?? null).then((message) => message && { message }),
    createBuffer({ label, size }: GPUBufferDescriptor) {
      scopes.splice(-1, 1, refusals(label!));
      return { label, size, destroy: () => destroyed.push(label!) };
    },
    destroy: () => undefined,
  };
  const adapter = {
    info: { vendor: 'test', architecture: '', description: '', device: '' },
    limits,
    features: new Set(),
    requestDevice(descriptor: GPUDeviceDescriptor) {
      requested.push(descriptor);
      return Promise.resolve({ ...device, limits: descriptor.requiredLimits });
    },
  };
  return { adapter: adapter as unknown as GPUAdapter, destroyed, requested };
}

vi.stubGlobal('GPUBufferUsage', { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 });

describe('memory of a device', () => {
  it('asks for all that the adapter can bind', async () => {
    const { adapter, requested } = fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 2048 });
    await openDevice({ adapter });
    expect(requested[0].requiredLimits).toEqual({ maxBufferSize: 4096, maxStorageBufferBindingSize: 2048 });
  });

  it('refuses what cannot be bound before it is made, so that less can be taken', async () => {
    const { adapter } = fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 2048 });
    const opened = await openDevice({ adapter });
    const held = opened.bytes();
    await expect(opened.allocate('keys', 2064)).rejects.toMatchObject({ name: 'MemoryError', message: expect.stringMatching(/keys .*2048 bytes/) });
    expect(opened.bytes()).toBe(held);
    await opened.allocate('keys', 2048);
    await opened.allocate('logits', 4096, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    expect(opened.bytes()).toBe(held + 2048 + 4096);
  });

  it('gives back what the device refused', async () => {
    const { adapter, destroyed } = fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 4096 }, (label) => (label === 'keys' ? 'out of memory' : undefined));
    const opened = await openDevice({ adapter });
    const held = opened.bytes();
    await expect(opened.allocate('keys', 64)).rejects.toMatchObject({ name: 'MemoryError', message: expect.stringMatching(/out of memory/) });
    expect(destroyed).toEqual(['keys']);
    expect(opened.bytes()).toBe(held);
  });
});
