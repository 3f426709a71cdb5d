/**
 * Devices that a page keeps, for backends that come and go: a software adapter takes a second to compile a kernel, and
 * here each is compiled once.
 * Pipelines are told apart by the WGSL they were made of, so that a spoilt kernel is never taken for a sound one.
 */
import { findAdapter } from '../../src/backend/webgpu/adapter';

/** by the features asked for */
const devices = new Map<string, Promise<GPUDevice>>();
/** of the devices that are kept */
const pipelines = new WeakMap<GPUDevice, Map<string, Promise<GPUComputePipeline>>>();
const described = new WeakMap<object, string>();

const { createBindGroupLayout, createComputePipelineAsync, createPipelineLayout, createShaderModule } =
  GPUDevice.prototype;

function describing<A, R extends object>(create: (descriptor: A) => R, describe: (descriptor: A) => string) {
  return function (this: GPUDevice, descriptor: A): R {
    const made = create.call(this, descriptor);
    described.set(made, describe(descriptor));
    return made;
  };
}

Object.assign(GPUDevice.prototype, {
  createShaderModule: describing(createShaderModule, ({ code }) => code),
  createBindGroupLayout: describing(createBindGroupLayout, ({ entries }) => JSON.stringify([...entries])),
  createPipelineLayout: describing(createPipelineLayout, ({ bindGroupLayouts }) =>
    Array.from(bindGroupLayouts, (layout) => described.get(layout!)).join(),
  ),
  createComputePipelineAsync(this: GPUDevice, descriptor: GPUComputePipelineDescriptor): Promise<GPUComputePipeline> {
    const known = pipelines.get(this);
    if (!known) return createComputePipelineAsync.call(this, descriptor);
    const { layout, compute } = descriptor;
    const key = [
      described.get(layout as GPUPipelineLayout),
      described.get(compute.module),
      compute.entryPoint,
      JSON.stringify(compute.constants),
    ].join('\n');
    const made = known.get(key) ?? createComputePipelineAsync.call(this, descriptor);
    known.set(key, made);
    made.catch(() => known.delete(key)); // whoever asks again gets the error and the scope's, too
    return made;
  },
});

async function keep(adapter: GPUAdapter, descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> {
  const device = await adapter.requestDevice(descriptor);
  pipelines.set(device, new Map());
  return Object.defineProperty(device, 'destroy', { value: () => undefined }); // the next backend goes on with it
}

/** An adapter that gives the device that is kept; `openWebGpuBackend` takes it. */
export async function keepingAdapter(): Promise<GPUAdapter> {
  const adapter = await findAdapter();
  const requestDevice = (descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> => {
    const key = JSON.stringify([...(descriptor?.requiredFeatures ?? [])].sort());
    if (!devices.has(key)) devices.set(key, keep(adapter, descriptor));
    return devices.get(key)!;
  };
  return new Proxy(adapter, {
    get: (all, name) => (name === 'requestDevice' ? requestDevice : Reflect.get(all, name, all)),
  });
}
