/**
 * The opened GPU: adapter and limits, buffers under error scopes, pipelines by source and constants, prepared steps, and errors that
 * are never silent: what no scope catches, and the loss of the device, is kept and thrown by the next `check()`.
 */
import { fail, RivuletError } from '../../errors';
import { findAdapter, softwareName } from './adapter';
import { whole, type Features, type Gpu, type Step, type Tuning } from './gpu';
import { link, type Shader } from './shader';

export interface DeviceOptions {
  /** take a software adapter too: tests */
  allowSoftware?: boolean;
  /** false: as if the device had no subgroups */
  subgroups?: boolean;
  /** false: f32 in place of f16 everywhere */
  f16?: boolean;
  adapter?: GPUAdapter;
}

/** A step with its pipeline and bind group made. */
export interface PreparedStep {
  label: string;
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  grid: [number, number, number];
}

export interface OpenedDevice extends Gpu {
  tunings: Map<string, Partial<Tuning>>;
  info: GPUAdapterInfo;
  /** computes on the CPU */
  software: boolean;
  /** resolves with the reason when the device is gone */
  lost: Promise<string>;
  /** bytes of all buffers held */
  bytes(): number;
  /** @throws DeviceError when the device was lost or an error went uncaught since it was opened */
  check(): void;
  /** `allocate` where there is no waiting: the buffer can be used at once, `ready` rejects when it was refused */
  create(label: string, bytes: number, usage?: GPUBufferUsageFlags): { buffer: GPUBuffer; ready: Promise<void> };
  /** for so many timestamps; undefined where that is refused */
  queries(count: number): Promise<GPUQuerySet | undefined>;
  prepare(steps: Step[]): Promise<PreparedStep[]>;
  destroy(): void;
}

/** step.wgsl: position, count, prompt, reserved */
export const STEP_BYTES = 16;

/** What is not to be used is not asked for either: a driver may fail at that. */
const FEATURES: [GPUFeatureName, (options: DeviceOptions) => boolean][] = [
  ['timestamp-query', () => true],
  ['subgroups', ({ subgroups }) => subgroups !== false],
  ['shader-f16', ({ f16 }) => f16 !== false],
];
const cure = 'Close other pages that use the GPU, or use the WASM backend.';

/** @throws DeviceError when there is no adapter or no real one, or the device cannot be had */
export async function openDevice(options: DeviceOptions = {}): Promise<OpenedDevice> {
  const adapter = options.adapter ?? (await findAdapter());
  const info = adapter.info ?? ({} as GPUAdapterInfo); // browsers before 2024 have none
  const software = softwareName(info);
  if (software !== undefined && !options.allowSoftware)
    fail('DeviceError', { what: 'Only a software adapter offers WebGPU here', got: software, cure: 'The WASM backend is faster than that.' });

  const limits = adapter.limits;
  const device = await adapter
    .requestDevice({
      label: 'rivulet',
      requiredFeatures: FEATURES.filter(([name, wanted]) => wanted(options) && adapter.features.has(name)).map(([name]) => name),
      requiredLimits: { maxBufferSize: limits.maxBufferSize, maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize },
    })
    .catch((error: unknown) => fail('DeviceError', { what: 'The GPU device could not be opened', got: String(error), cure }, error));

  const features: Features = {
    f16: options.f16 !== false && device.features.has('shader-f16'),
    subgroups: options.subgroups !== false && device.features.has('subgroups'),
    subgroupMinSize: info.subgroupMinSize ?? 4,
    subgroupMaxSize: info.subgroupMaxSize ?? 128,
    dp4a: globalThis.navigator?.gpu?.wgslLanguageFeatures?.has('packed_4x8_integer_dot_product') ?? false,
  };

  let failure: string | undefined;
  let closing = false;
  device.addEventListener('uncapturederror', ({ error }) => (failure ??= error.message));
  /** whoever waits for the device */
  const waiting = new Set<(reason: Error) => void>();
  let end: Error | undefined;
  const lost = device.lost.then(({ reason, message }) => {
    const got = `device lost (${reason}): ${message}`;
    if (!closing) failure = got;
    end = new RivuletError('DeviceError', { what: 'The GPU failed', got, cure });
    for (const giveUp of waiting) giveUp(end);
    return closing ? 'closed' : `${reason}: ${message}`;
  });
  /** the same, or a rejection when the device is lost: some browsers leave what was under way pending then */
  function living<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (end) return reject(end);
      waiting.add(reject);
      work.then(resolve, reject).finally(() => waiting.delete(reject));
    });
  }
  const settled = <T>(work: Promise<T>): Promise<T> => nudged(device, living(work));
  const check = (): void => {
    if (failure) fail('DeviceError', { what: 'The GPU failed', got: failure, cure });
  };

  /** what the innermost error scope caught; a lost device may refuse to tell */
  const scoped = (): Promise<GPUError | Error | null> => living(device.popErrorScope()).catch((error: unknown) => error as Error);

  const held = new Map<GPUBuffer, number>();
  function create(label: string, bytes: number, usage?: GPUBufferUsageFlags): { buffer: GPUBuffer; ready: Promise<void> } {
    check();
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    const purpose = usage ?? GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
    // kernels bind buffers whole, or in parts that repack.ts cuts to fit
    const most = purpose & GPUBufferUsage.STORAGE ? Math.min(maxBufferSize, maxStorageBufferBindingSize) : maxBufferSize;
    if (size > most) refuse(label, size, `a limit of ${most} bytes`);
    device.pushErrorScope('validation');
    device.pushErrorScope('out-of-memory');
    const buffer = device.createBuffer({ label, size, usage: purpose });
    held.set(buffer, size);
    const ready = Promise.all([scoped(), scoped()]).then((errors) => {
      const error = errors.find((e) => e);
      if (!error) return;
      release(buffer);
      check();
      refuse(label, size, error.message);
    });
    ready.catch(() => undefined); // who needs it awaits it, perhaps after another has failed
    return { buffer, ready };
  }
  async function allocate(label: string, bytes: number, usage?: GPUBufferUsageFlags): Promise<GPUBuffer> {
    const { buffer, ready } = create(label, bytes, usage);
    await ready;
    return buffer;
  }
  async function queries(count: number): Promise<GPUQuerySet | undefined> {
    device.pushErrorScope('validation');
    device.pushErrorScope('out-of-memory');
    const made = device.createQuerySet({ type: 'timestamp', count });
    const errors = await Promise.all([scoped(), scoped()]);
    check();
    return errors.some((e) => e) ? undefined : made;
  }
  function release(buffer: GPUBuffer): void {
    held.delete(buffer);
    buffer.destroy();
  }

  const layouts = new Map<string, GPUBindGroupLayout>();
  function layoutOf(shader: Shader): GPUBindGroupLayout {
    const entries = Array.from(shader.bindings.values(), ({ binding, type }) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } }));
    const key = entries.map(({ binding, buffer }) => `${binding}${buffer.type}`).join();
    let layout = layouts.get(key);
    if (!layout) layouts.set(key, (layout = device.createBindGroupLayout({ label: key, entries })));
    return layout;
  }

  const modules = new Map<string, GPUShaderModule>();
  const pipelines = new Map<string, Promise<GPUComputePipeline>>();
  function pipeline({ label, sources, constants }: Omit<Step, 'bindings' | 'grid'>): Promise<GPUComputePipeline> {
    const name = sources.join('+');
    const key = `${name} ${JSON.stringify(Object.entries(constants).sort())}`;
    let made = pipelines.get(key);
    if (!made) pipelines.set(key, (made = compile(label, name, link(sources), constants)));
    return made;
  }
  async function compile(label: string, name: string, shader: Shader, constants: Record<string, number>): Promise<GPUComputePipeline> {
    check();
    device.pushErrorScope('validation');
    let module = modules.get(name);
    if (!module) modules.set(name, (module = device.createShaderModule({ label: name, code: shader.code })));
    const layout = device.createPipelineLayout({ label, bindGroupLayouts: [layoutOf(shader)] });
    const made = living(device.createComputePipelineAsync({ label, layout, compute: { module, entryPoint: 'main', constants } })).catch((error: unknown) => error as Error);
    const error = await scoped();
    const result = await made;
    if (!(result instanceof Error) && !error) return result;
    check();
    const { messages } = await module.getCompilationInfo();
    const reasons = messages.filter((m) => m.type === 'error').map((m) => `line ${m.lineNum}: ${m.message}`);
    return fail('DeviceError', {
      what: `The kernel ${label} does not compile on this device`,
      got: reasons.join('; ') || (error ?? (result as Error)).message,
      cure: 'Another variant or the WASM backend may work.',
    });
  }

  function bind({ label, sources, bindings }: Step): GPUBindGroup {
    const shader = link(sources);
    const names = [...shader.bindings.keys()].sort().join(', ');
    const given = Object.keys(bindings).sort().join(', ');
    if (names !== given) fail('DeviceError', { what: `The bindings of ${label} do not fit its kernel`, got: given, wanted: names });
    const entries = Array.from(shader.bindings, ([name, { binding }]) => ({ binding, resource: bindings[name] }));
    return device.createBindGroup({ label, layout: layoutOf(shader), entries });
  }

  async function prepare(steps: Step[]): Promise<PreparedStep[]> {
    const made = await Promise.all(steps.map(pipeline));
    check();
    device.pushErrorScope('validation');
    const prepared = steps.map((step, i) => ({ label: step.label, pipeline: made[i], bindGroup: bind(step), grid: step.grid }));
    const error = await scoped();
    if (error) check();
    if (error) fail('DeviceError', { what: 'Steps could not be bound', got: error.message });
    return prepared;
  }

  async function run(steps: Step[]): Promise<void> {
    const prepared = await prepare(steps);
    device.pushErrorScope('validation');
    const encoder = device.createCommandEncoder({ label: steps[0]?.label });
    const pass = encoder.beginComputePass();
    encode(pass, prepared);
    pass.end();
    device.queue.submit([encoder.finish()]);
    const error = await scoped();
    if (error) check();
    if (error) fail('DeviceError', { what: `The GPU refused ${steps.map((s) => s.label).join(', ')}`, got: error.message });
  }

  function destroy(): void {
    closing = true;
    for (const buffer of held.keys()) buffer.destroy();
    held.clear();
    device.destroy();
  }
  const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const [step, tokens] = [create('step', STEP_BYTES, STORAGE | UNIFORM | COPY_SRC | COPY_DST), create('tokens', 1024, STORAGE | COPY_SRC | COPY_DST)];
  try {
    await Promise.all([step.ready, tokens.ready]);
  } catch (error) {
    await new Promise((resolve) => setTimeout(resolve)); // what failed because of a loss may be heard of before the loss
    // a device that is lost already is not one that cannot be opened: its first use tells
    if (!end) {
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
    step: whole(step.buffer),
    tokens: whole(tokens.buffer),
    create,
    allocate,
    queries,
    release,
    pipeline,
    prepare,
    run,
    settled,
    check,
    bytes: () => [...held.values()].reduce((sum, n) => sum + n, 0),
    destroy,
  };
}

/** Dispatches prepared steps, from one on; what is already set is not set again. */
export function encode(pass: GPUComputePassEncoder, steps: readonly PreparedStep[], from = 0): void {
  let pipeline: GPUComputePipeline | undefined;
  for (let i = from; i < steps.length; i++) {
    const step = steps[i];
    if (step.pipeline !== pipeline) pass.setPipeline((pipeline = step.pipeline));
    pass.setBindGroup(0, step.bindGroup);
    pass.dispatchWorkgroups(step.grid[0], step.grid[1], step.grid[2]);
  }
}

const refuse = (label: string, bytes: number, got: string): never =>
  fail('MemoryError', {
    what: `GPU memory for ${label} (${(bytes / 2 ** 20).toFixed(1)} MB) was refused`,
    got,
    cure: 'Take a smaller model, a stronger quantisation, a smaller context, or the WASM backend.',
  });

/** Firefox looks for finished work every 100 ms unless something is submitted (bug 1870699). */
const nudges = /firefox/i.test(globalThis.navigator?.userAgent ?? '');
const nudging = new WeakMap<GPUDevice, { work: number; timer: ReturnType<typeof setInterval> }>();

function nudged<T>(device: GPUDevice, work: Promise<T>): Promise<T> {
  if (!nudges) return work;
  const wait = nudging.get(device) ?? { work: 0, timer: setInterval(() => device.queue.submit([]), 1) };
  nudging.set(device, wait);
  wait.work++;
  return work.finally(() => {
    if (--wait.work > 0) return;
    clearInterval(wait.timer);
    nudging.delete(device);
  });
}
