import { describe, expect, it, vi } from 'vitest';
import { recordPlan, type PlanNode } from '../plan';
import { openWebGpuBackend } from './backend';
import { openDevice } from './device';

/** A fake adapter whose device has the requested limits. */
function fakeAdapter(
  limits: { maxBufferSize: number; maxStorageBufferBindingSize: number },
  refusals: (label: string) => string | undefined = () => undefined,
) {
  let silent = false;
  const scopes: (string | undefined)[] = [];
  const destroyed: string[] = [];
  const requested: GPUDeviceDescriptor[] = [];
  let lose: (info: { reason: string; message: string }) => void;
  const forever = (): Promise<never> => new Promise(() => undefined);
  const device = {
    features: new Set(),
    addEventListener: () => undefined,
    lost: new Promise<{ reason: string; message: string }>((resolve) => (lose = resolve)),
    createQuerySet({ count }: GPUQuerySetDescriptor) {
      scopes.splice(-1, 1, refusals('queries'));
      return { count };
    },
    createShaderModule: () => ({}),
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createComputePipelineAsync: forever,
    queue: { onSubmittedWorkDone: forever },
    pushErrorScope: () => scopes.push(undefined),
    popErrorScope: () =>
      silent ? forever() : Promise.resolve(scopes.pop() ?? null).then((message) => message && { message }),
    createBuffer({ label, size }: GPUBufferDescriptor) {
      scopes.splice(-1, 1, refusals(label!));
      return { label, size, destroy: () => destroyed.push(label!) };
    },
    destroy: () => destroyed.push('the device'),
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
  /** from now on promises stay pending, as in some browsers after a loss */
  const silence = (): void => void (silent = true);
  return {
    adapter: adapter as unknown as GPUAdapter,
    destroyed,
    requested,
    silence,
    lose: () => lose({ reason: 'unknown', message: 'the driver was reset' }),
  };
}

vi.stubGlobal('GPUShaderStage', { COMPUTE: 4 });
vi.stubGlobal('GPUBufferUsage', { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 });

describe('memory of a device', () => {
  it('requests the largest bindings of the adapter', async () => {
    const { adapter, requested } = fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 2048 });
    await openDevice({ adapter });
    expect(requested[0].requiredLimits).toEqual({ maxBufferSize: 4096, maxStorageBufferBindingSize: 2048 });
  });

  it('refuses a buffer that is too large to bind before it is created', async () => {
    const { adapter } = fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 2048 });
    const opened = await openDevice({ adapter });
    const held = opened.bytes();
    await expect(opened.allocateBuffer('keys', 2064)).rejects.toMatchObject({
      name: 'MemoryError',
      message: expect.stringMatching(/keys .*2048 bytes/),
    });
    expect(opened.bytes()).toBe(held);
    await opened.allocateBuffer('keys', 2048);
    await opened.allocateBuffer('logits', 4096, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    expect(opened.bytes()).toBe(held + 2048 + 4096);
  });

  it('destroys a device that refuses even the smallest buffers', async () => {
    const { adapter, destroyed } = fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 4096 }, (label) =>
      label === 'tokens' ? 'out of memory' : undefined,
    );
    await expect(openDevice({ adapter })).rejects.toMatchObject({ name: 'MemoryError' });
    expect(destroyed.toSorted()).toEqual(['step', 'the device', 'tokens']);
  });

  it('works without timestamps if the device refuses them', async () => {
    const { adapter } = fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 4096 }, (label) =>
      label === 'queries' ? 'too many' : undefined,
    );
    expect(await (await openDevice({ adapter })).createTimestampQueries(2)).toBeUndefined();
    const { adapter: other } = fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 4096 });
    expect(await (await openDevice({ adapter: other })).createTimestampQueries(2)).toEqual({ count: 2 });
  });

  it('releases a buffer that the device refused', async () => {
    const { adapter, destroyed } = fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 4096 }, (label) =>
      label === 'keys' ? 'out of memory' : undefined,
    );
    const opened = await openDevice({ adapter });
    const held = opened.bytes();
    await expect(opened.allocateBuffer('keys', 64)).rejects.toMatchObject({
      name: 'MemoryError',
      message: expect.stringMatching(/out of memory/),
    });
    expect(destroyed).toEqual(['keys']);
    expect(opened.bytes()).toBe(held);
  });
});

describe('a device that is lost', () => {
  it('rejects all pending and later promises, even if the browser leaves them pending', async () => {
    const { adapter, silence, lose } = fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 4096 });
    const opened = await openDevice({ adapter });
    silence();
    const copy = { label: 'copy', sources: ['lib/step', 'copy_last'], constants: { cols: 64 } };
    const under = [
      opened.waitFor(opened.device.queue.onSubmittedWorkDone()),
      opened.allocateBuffer('keys', 64),
      opened.pipeline(copy),
      opened.waitFor(new Promise(() => undefined)),
    ];
    lose();
    for (const work of under)
      await expect(work).rejects.toMatchObject({
        name: 'DeviceError',
        message: expect.stringMatching(/the driver was reset/),
      });
    await expect(opened.waitFor(new Promise(() => undefined))).rejects.toMatchObject({ name: 'DeviceError' });
    expect(() => opened.throwIfFailed()).toThrow(/the driver was reset/);
  });

  it('is reported by its first use if it was lost while it was opened', async () => {
    const { adapter, lose } = fakeAdapter(
      { maxBufferSize: 4096, maxStorageBufferBindingSize: 4096 },
      () => (lose(), 'no device'),
    );
    const opened = await openDevice({ adapter });
    await expect(opened.allocateBuffer('keys', 64)).rejects.toMatchObject({
      name: 'DeviceError',
      message: expect.stringMatching(/the driver was reset/),
    });
    expect(await opened.lost).toMatch(/the driver was reset/);
  });

  it('keeps results that arrived before the loss', async () => {
    const { adapter, lose } = fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 4096 });
    const opened = await openDevice({ adapter });
    const came = opened.waitFor(Promise.resolve(7));
    expect(await came).toBe(7);
    lose();
    expect(await opened.lost).toMatch(/the driver was reset/);
  });
});

it('requests only features that it may use', async () => {
  const { adapter, requested } = fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 2048 });
  Object.assign(adapter, {
    features: new Set(['shader-f16', 'subgroups', 'timestamp-query', 'texture-compression-bc']),
  });
  await openDevice({ adapter });
  await openDevice({ adapter, subgroups: false, f16: false });
  expect(requested.map(({ requiredFeatures }) => requiredFeatures)).toEqual([
    ['timestamp-query', 'subgroups', 'shader-f16'],
    ['timestamp-query'],
  ]);
});

it('a plan with an op of a side file that the backend lacks is refused by name, before the self test', async () => {
  const backend = await openWebGpuBackend({
    adapter: fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 4096 }).adapter,
  });
  const held = backend.memory();
  const plan = recordPlan((op) =>
    op.embed({ name: 'table', rows: 16, cols: 32, segments: [{ name: 'table', rows: 16, dtype: 'F32' }] }),
  );
  const unknown = { op: 'experts', x: plan.outputs[0], out: plan.outputs[0] } as unknown as PlanNode;
  const options = { contextLength: 64, prefillBatch: 8 };
  backend.precompile!({ ...plan, nodes: [...plan.nodes, unknown] }, options);
  await expect(backend.compile({ ...plan, nodes: [...plan.nodes, unknown] }, options)).rejects.toMatchObject({
    name: 'DeviceError',
    message: expect.stringMatching(/lacks an operation.*experts/),
  });
  expect(backend.memory()).toBe(held);
});

it.each([
  [{}, 'f16'],
  [{ exact: true }, 'f32'],
  [{ f16: false }, 'f32'],
  [{ exact: true, f16: true }, 'f16'],
])('%o keeps keys and values in %s', async (options, format) => {
  const { adapter } = fakeAdapter({ maxBufferSize: 4096, maxStorageBufferBindingSize: 4096 });
  expect((await openWebGpuBackend({ adapter, ...options })).info.variant).toMatch(`cache ${format}`);
});
