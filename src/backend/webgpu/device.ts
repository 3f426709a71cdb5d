/**
 * The opened GPU device: buffers and pipelines under error scopes, prepared dispatches, timestamps.
 * No error is silent: uncaptured errors and the loss of the device are kept, and the next `throwIfFailed()` throws
 * them.
 */
import { fail, RivuletError } from '../../errors';
import { findAdapter, softwareAdapterName } from './adapter';
import {
  bufferBytes,
  STEP,
  wholeBuffer,
  type GpuFeatures,
  type DispatchContext,
  type Dispatch,
  type KernelTuning,
} from './dispatch';
import { linkShader, type LinkedShader } from './shader';

export interface DeviceOptions {
  /** accept a software adapter: tests */
  allowSoftware?: boolean;
  /** false: use no subgroup operations */
  subgroups?: boolean;
  /** false: use f32 in place of f16 everywhere */
  f16?: boolean;
  adapter?: GPUAdapter;
}

/** A dispatch with its pipeline and bind group. */
export interface PreparedDispatch {
  label: string;
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  grid: [number, number, number];
}

export interface OpenedDevice extends DispatchContext {
  tunings: Map<string, Partial<KernelTuning>>;
  info: GPUAdapterInfo;
  /** the adapter computes on the CPU */
  software: boolean;
  /** resolves to the reason when the device is lost */
  lost: Promise<string>;
  /** bytes of all buffers held */
  bytes(): number;
  /** @throws DeviceError when the device was lost, or an error was not captured, since it was opened */
  throwIfFailed(): void;
  /** `allocateBuffer` without the wait: the buffer is usable at once, and `ready` rejects when it was refused */
  createBuffer(label: string, bytes: number, usage?: GPUBufferUsageFlags): { buffer: GPUBuffer; ready: Promise<void> };
  /** a query set for `count` timestamps; undefined when the device refuses it */
  createTimestampQueries(count: number): Promise<GPUQuerySet | undefined>;
  prepare(dispatches: Dispatch[]): Promise<PreparedDispatch[]>;
  destroy(): void;
}

/** Features to request; a driver may fail on a feature that is not even used. */
const REQUESTED_FEATURES: [GPUFeatureName, (options: DeviceOptions) => boolean][] = [
  ['timestamp-query', () => true],
  ['subgroups', ({ subgroups }) => subgroups !== false],
  ['shader-f16', ({ f16 }) => f16 !== false],
];
const cure = 'Close other pages that use the GPU, or use the WASM backend.';

/** @throws DeviceError when there is no adapter, only a software adapter, or the device cannot be opened */
export async function openDevice(options: DeviceOptions = {}): Promise<OpenedDevice> {
  const adapter = options.adapter ?? (await findAdapter());
  const info = adapter.info ?? ({} as GPUAdapterInfo); // browsers before 2024 have none
  const software = softwareAdapterName(info);
  if (software !== undefined && !options.allowSoftware)
    fail('DeviceError', {
      what: 'Only a software adapter is available for WebGPU',
      got: software,
      wanted: 'a GPU',
      cure: 'Use the WASM backend, which is faster.',
    });

  const limits = adapter.limits;
  const device = await adapter
    .requestDevice({
      label: 'rivulet',
      requiredFeatures: REQUESTED_FEATURES.filter(
        ([name, wanted]) => wanted(options) && adapter.features.has(name),
      ).map(([name]) => name),
      requiredLimits: {
        maxBufferSize: limits.maxBufferSize,
        maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      },
    })
    .catch((error: unknown) =>
      fail('DeviceError', { what: 'The GPU device could not be opened', got: String(error), cure }, error),
    );

  const features: GpuFeatures = {
    f16: options.f16 !== false && device.features.has('shader-f16'),
    subgroups: options.subgroups !== false && device.features.has('subgroups'),
    subgroupMinSize: info.subgroupMinSize ?? 4,
    subgroupMaxSize: info.subgroupMaxSize ?? 128,
    dp4a: globalThis.navigator?.gpu?.wgslLanguageFeatures?.has('packed_4x8_integer_dot_product') ?? false,
  };

  let failure: string | undefined;
  let closing = false;
  device.addEventListener('uncapturederror', ({ error }) => (failure ??= error.message));
  /** rejects the promises that wait for the device */
  const waiting = new Set<(reason: Error) => void>();
  let lossError: Error | undefined;
  const lost = device.lost.then(({ reason, message }) => {
    const got = `device lost (${reason}): ${message}`;
    if (!closing) failure = got;
    lossError = new RivuletError('DeviceError', { what: 'The GPU failed', got, cure });
    for (const reject of waiting) reject(lossError);
    return closing ? 'closed' : `${reason}: ${message}`;
  });
  /** Rejects when the device is lost: some browsers leave pending promises pending then. */
  function orLost<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (lossError) return reject(lossError);
      waiting.add(reject);
      work.then(resolve, reject).finally(() => waiting.delete(reject));
    });
  }
  const waitFor = <T>(work: Promise<T>): Promise<T> => pollFirefox(device, orLost(work));
  const throwIfFailed = (): void => {
    if (failure) fail('DeviceError', { what: 'The GPU failed', got: failure, cure });
  };

  /** the error of the innermost error scope; a lost device may reject instead */
  const popError = (): Promise<GPUError | Error | null> =>
    orLost(device.popErrorScope()).catch((error: unknown) => error as Error);

  const held = new Map<GPUBuffer, number>();
  function createBuffer(
    label: string,
    bytes: number,
    usage?: GPUBufferUsageFlags,
  ): { buffer: GPUBuffer; ready: Promise<void> } {
    throwIfFailed();
    const size = bufferBytes(bytes);
    const purpose = usage ?? GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
    // kernels bind whole buffers; repack.ts splits a matrix that is larger than a binding
    const most =
      purpose & GPUBufferUsage.STORAGE ? Math.min(maxBufferSize, maxStorageBufferBindingSize) : maxBufferSize;
    if (size > most) refuseBuffer(label, size, `a limit of ${most} bytes`);
    device.pushErrorScope('validation');
    device.pushErrorScope('out-of-memory');
    const buffer = device.createBuffer({ label, size, usage: purpose });
    held.set(buffer, size);
    const ready = Promise.all([popError(), popError()]).then((errors) => {
      const error = errors.find((e) => e);
      if (!error) return;
      releaseBuffer(buffer);
      throwIfFailed();
      refuseBuffer(label, size, error.message);
    });
    ready.catch(() => undefined); // the caller may await it later, or never if another buffer fails first
    return { buffer, ready };
  }
  async function allocateBuffer(label: string, bytes: number, usage?: GPUBufferUsageFlags): Promise<GPUBuffer> {
    const { buffer, ready } = createBuffer(label, bytes, usage);
    await ready;
    return buffer;
  }
  async function createTimestampQueries(count: number): Promise<GPUQuerySet | undefined> {
    device.pushErrorScope('validation');
    device.pushErrorScope('out-of-memory');
    const made = device.createQuerySet({ type: 'timestamp', count });
    const errors = await Promise.all([popError(), popError()]);
    throwIfFailed();
    return errors.some((e) => e) ? undefined : made;
  }
  function releaseBuffer(buffer: GPUBuffer): void {
    held.delete(buffer);
    buffer.destroy();
  }

  const layouts = new Map<string, GPUBindGroupLayout>();
  function layoutOf(shader: LinkedShader): GPUBindGroupLayout {
    const entries = Array.from(shader.bindings.values(), ({ binding, type }) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type },
    }));
    const key = entries.map(({ binding, buffer }) => `${binding}${buffer.type}`).join();
    let layout = layouts.get(key);
    if (!layout) layouts.set(key, (layout = device.createBindGroupLayout({ label: key, entries })));
    return layout;
  }

  const modules = new Map<string, GPUShaderModule>();
  const pipelines = new Map<string, Promise<GPUComputePipeline>>();
  function pipeline({ label, sources, constants }: Omit<Dispatch, 'bindings' | 'grid'>): Promise<GPUComputePipeline> {
    const name = sources.join('+');
    const key = `${name} ${JSON.stringify(Object.entries(constants).sort())}`;
    let made = pipelines.get(key);
    if (!made) pipelines.set(key, (made = compile(label, name, linkShader(sources), constants)));
    return made;
  }
  async function compile(
    label: string,
    name: string,
    shader: LinkedShader,
    constants: Record<string, number>,
  ): Promise<GPUComputePipeline> {
    throwIfFailed();
    device.pushErrorScope('validation');
    let module = modules.get(name);
    if (!module) modules.set(name, (module = device.createShaderModule({ label: name, code: shader.code })));
    const layout = device.createPipelineLayout({ label, bindGroupLayouts: [layoutOf(shader)] });
    const made = orLost(
      device.createComputePipelineAsync({ label, layout, compute: { module, entryPoint: 'main', constants } }),
    ).catch((error: unknown) => error as Error);
    const error = await popError();
    const result = await made;
    if (!(result instanceof Error) && !error) return result;
    throwIfFailed();
    const { messages } = await module.getCompilationInfo();
    const reasons = messages.filter((m) => m.type === 'error').map((m) => `line ${m.lineNum}: ${m.message}`);
    return fail('DeviceError', {
      what: `The kernel ${label} does not compile on this device`,
      got: reasons.join('; ') || (error ?? (result as Error)).message,
      cure: 'Use the WASM backend.',
    });
  }

  function bind({ label, sources, bindings }: Dispatch): GPUBindGroup {
    const shader = linkShader(sources);
    const names = [...shader.bindings.keys()].sort().join(', ');
    const given = Object.keys(bindings).sort().join(', ');
    if (names !== given)
      fail('DeviceError', { what: `The bindings of ${label} are not those of its kernel`, got: given, wanted: names });
    const entries = Array.from(shader.bindings, ([name, { binding }]) => ({ binding, resource: bindings[name] }));
    return device.createBindGroup({ label, layout: layoutOf(shader), entries });
  }

  async function prepare(dispatches: Dispatch[]): Promise<PreparedDispatch[]> {
    const made = await Promise.all(dispatches.map(pipeline));
    throwIfFailed();
    device.pushErrorScope('validation');
    const prepared = dispatches.map((dispatch, i) => ({
      label: dispatch.label,
      pipeline: made[i],
      bindGroup: bind(dispatch),
      grid: dispatch.grid,
    }));
    const error = await popError();
    if (error) throwIfFailed();
    if (error) fail('DeviceError', { what: 'The GPU refused the bind groups', got: error.message, cure });
    return prepared;
  }

  async function run(dispatches: Dispatch[]): Promise<void> {
    const prepared = await prepare(dispatches);
    device.pushErrorScope('validation');
    const encoder = device.createCommandEncoder({ label: dispatches[0]?.label });
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, prepared);
    pass.end();
    device.queue.submit([encoder.finish()]);
    const error = await popError();
    if (error) throwIfFailed();
    if (error)
      fail('DeviceError', {
        what: `The GPU refused to run ${dispatches.map((s) => s.label).join(', ')}`,
        got: error.message,
        cure,
      });
  }

  function destroy(): void {
    closing = true;
    for (const buffer of held.keys()) buffer.destroy();
    held.clear();
    device.destroy();
  }
  const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const [step, tokens] = [
    createBuffer('step', STEP.bytes, STORAGE | UNIFORM | COPY_SRC | COPY_DST),
    createBuffer('tokens', 1024, STORAGE | COPY_SRC | COPY_DST),
  ];
  try {
    await Promise.all([step.ready, tokens.ready]);
  } catch (error) {
    await new Promise((resolve) => setTimeout(resolve)); // the error may arrive before the loss that caused it
    // a device that is already lost was opened all the same: its first use reports the loss
    if (!lossError) {
      destroy();
      throw error;
    }
  }
  return {
    device,
    features,
    tunings: new Map(),
    info,
    software: software !== undefined,
    lost,
    step: wholeBuffer(step.buffer),
    tokens: wholeBuffer(tokens.buffer),
    createBuffer,
    allocateBuffer,
    createTimestampQueries,
    releaseBuffer,
    pipeline,
    prepare,
    run,
    waitFor,
    throwIfFailed,
    bytes: () => [...held.values()].reduce((sum, n) => sum + n, 0),
    destroy,
  };
}

/** Encodes prepared dispatches from index `from` on; a pipeline that is already set is not set again. */
export function encodeDispatches(pass: GPUComputePassEncoder, dispatches: readonly PreparedDispatch[], from = 0): void {
  let pipeline: GPUComputePipeline | undefined;
  for (let i = from; i < dispatches.length; i++) {
    const { grid, bindGroup, pipeline: next } = dispatches[i];
    if (next !== pipeline) pass.setPipeline((pipeline = next));
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
  }
}

const refuseBuffer = (label: string, bytes: number, got: string): never =>
  fail('MemoryError', {
    what: `The GPU has no memory for ${label} (${(bytes / 2 ** 20).toFixed(1)} MB)`,
    got,
    cure: 'Use a smaller model, a smaller quantization, a shorter context, or the WASM backend.',
  });

/**
 * Firefox checks for finished work only every 100 ms, and at each submit (bug 1870699): an empty submit every ms makes
 * it check.
 */
const isFirefox = /firefox/i.test(globalThis.navigator?.userAgent ?? '');
const polling = new WeakMap<GPUDevice, { work: number; timer: ReturnType<typeof setInterval> }>();

function pollFirefox<T>(device: GPUDevice, work: Promise<T>): Promise<T> {
  if (!isFirefox) return work;
  const wait = polling.get(device) ?? { work: 0, timer: setInterval(() => device.queue.submit([]), 1) };
  polling.set(device, wait);
  wait.work++;
  return work.finally(() => {
    if (--wait.work > 0) return;
    clearInterval(wait.timer);
    polling.delete(device);
  });
}
