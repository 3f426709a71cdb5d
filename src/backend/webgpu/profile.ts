/** Measures each kernel of a decode step: its dispatches of all layers, many times in one pass, by timestamp queries if the device has them. */
import { PROFILE_BASELINES, type KernelTime } from '../backend';
import { encodeDispatches, type OpenedDevice, type PreparedDispatch } from './device';
import { shapeOfTuneKey, wholeBuffer, type Dispatch } from './dispatch';
import { copyLastRowDispatch } from './lower';

/** Dispatches of a sample, if they fit into one submit. */
const WANTED_DISPATCHES = 50;
const MAX_DISPATCHES = 8192;
/** Longest submit of a sample: the page's own rendering waits for it. */
const MAX_US = 40_000;
/** Shortest sample. Timestamps move in steps of 100 µs; performance.now() moves in steps of 1 ms and includes the way to the GPU and back. */
const MIN_US = { timestamp: 4_000, submit: 20_000 };
/** Steps of the clock: a pass that seems to take no time may take this long. */
const RESOLUTION_US = { timestamp: 100, submit: 1_000 };
const SAMPLES = 3;
const COPY_BYTES = 256 << 20;
const MAX_COPIES = 1024;

const WEIGHT_BINDINGS = ['w', 'scales', 'up', 'up_scales', 'w_2', 'scales_2'];

/** Bytes of weights that a dispatch must read for one token. Linear maps have a tune key; an embedding reads only one row of its table. */
export const dispatchWeightBytes = ({ tuneKey, bindings }: Dispatch): number => (!tuneKey ? 0 : WEIGHT_BINDINGS.reduce((sum, name) => sum + (bindings[name]?.size ?? 0), 0));

/** Kernels are grouped by label and shape of the matrix: 'matvec.q8_0.norm 65536×2048'. */
const kernelName = ({ label, tuneKey }: Dispatch): string => (tuneKey ? `${label} ${shapeOfTuneKey(tuneKey)}` : label);

export interface ProfileInput {
  /** the dispatches of one token, and the same prepared */
  dispatches: Dispatch[];
  prepared: PreparedDispatch[];
  /** bytes of the KV cache that one dispatch of attention reads */
  cacheBytes: number;
  /** sets the parameters of a sampled draw and returns its dispatches */
  sampledDraw(): PreparedDispatch[];
}

export async function profileKernels(opened: OpenedDevice, { dispatches, prepared, cacheBytes, sampledDraw }: ProfileInput): Promise<KernelTime[]> {
  const timer = await createGpuTimer(opened);
  const { clock } = timer;
  const times: KernelTime[] = [];
  for (const kernel of new Set(dispatches.map(kernelName))) {
    const group = prepared.filter((_, i) => kernelName(dispatches[i]) === kernel);
    const bytes = dispatches.filter((dispatch) => kernelName(dispatch) === kernel).reduce((sum, dispatch) => sum + dispatchWeightBytes(dispatch), 0);
    const read = bytes + (kernel.startsWith('attend.') ? cacheBytes * group.length : 0);
    times.push({ kernel, dispatches: group.length, micros: await bestMicros(timer, group), bytes: read, clock });
  }
  const draw = sampledDraw();
  if (draw.length) times.push({ kernel: PROFILE_BASELINES.sampledDraw, dispatches: draw.length, micros: await bestMicros(timer, draw), bytes: 0, clock });
  times.push({ kernel: PROFILE_BASELINES.emptyDispatch, dispatches: 1, micros: await emptyDispatchMicros(opened, timer), bytes: 0, clock });
  timer.dispose();
  times.push({ kernel: PROFILE_BASELINES.memoryCopy, dispatches: 1, ...(await measureMemoryCopy(opened)), clock });
  return times;
}

/** µs of these dispatches, the best of several samples. */
async function bestMicros(timer: GpuTimer, group: PreparedDispatch[]): Promise<number> {
  const pass = (times: number): Promise<number> => timer.measure((encoder) => { for (let i = 0; i < times; i++) encodeDispatches(encoder, group); }); // prettier-ignore
  const times = await repetitionsPerSample(pass, group.length, timer.clock);
  let least = Infinity;
  for (let sample = 0; sample < SAMPLES; sample++) least = Math.min(least, (await pass(times)) / times);
  return least;
}

/**
 * How often a sample repeats `length` dispatches: for WANTED_DISPATCHES and MIN_US, but within MAX_US of one submit.
 * @param pass measures so many repetitions in one submit, in µs; 0 when the clock did not move
 */
export async function repetitionsPerSample(pass: (times: number) => Promise<number>, length: number, clock: GpuTimer['clock']): Promise<number> {
  let times = 1;
  for (;;) {
    const micros = Math.max(await pass(times), RESOLUTION_US[clock]);
    const wanted = Math.ceil(Math.max(WANTED_DISPATCHES / length, (times * MIN_US[clock]) / micros));
    const next = Math.floor(Math.min(wanted, (times * MAX_US) / micros, MAX_DISPATCHES / length));
    if (next <= times) return times;
    times = next;
  }
}

export interface GpuTimer {
  clock: KernelTime['clock'];
  /** µs of one compute pass */
  measure(record: (pass: GPUComputePassEncoder) => void): Promise<number>;
  dispose(): void;
}

export async function createGpuTimer(opened: OpenedDevice): Promise<GpuTimer> {
  const { device } = opened;
  const querySet = device.features.has('timestamp-query') ? await opened.createTimestampQueries(2) : undefined;
  if (!querySet)
    return {
      clock: 'submit',
      async measure(record) {
        await opened.waitFor(device.queue.onSubmittedWorkDone());
        const start = performance.now();
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        record(pass);
        pass.end();
        device.queue.submit([encoder.finish()]);
        await opened.waitFor(device.queue.onSubmittedWorkDone());
        return 1000 * (performance.now() - start);
      },
      dispose: () => undefined,
    };
  const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const { buffer: resolved, ready: first } = opened.createBuffer('timestamps', 256, QUERY_RESOLVE | COPY_SRC);
  const { buffer: mapped, ready: second } = opened.createBuffer('timestamps', 16, MAP_READ | COPY_DST);
  return {
    clock: 'timestamp',
    async measure(record) {
      await Promise.all([first, second]);
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 } });
      record(pass);
      pass.end();
      encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, mapped, 0, 16);
      device.queue.submit([encoder.finish()]);
      await opened.waitFor(mapped.mapAsync(GPUMapMode.READ));
      const [begin, end] = new BigUint64Array(mapped.getMappedRange().slice(0));
      mapped.unmap();
      return Math.max(0, Number(end - begin)) / 1000; // on some drivers the clock stands still or restarts
    },
    dispose() {
      querySet.destroy();
      opened.releaseBuffer(resolved);
      opened.releaseBuffer(mapped);
    },
  };
}

/** µs of a dispatch that copies 64 numbers, after one that wrote to the same place: the cost of any dispatch. */
async function emptyDispatchMicros(opened: OpenedDevice, timer: GpuTimer): Promise<number> {
  const [x, y] = [await opened.allocateBuffer('empty dispatch', 256), await opened.allocateBuffer('empty dispatch', 256)];
  opened.device.queue.writeBuffer(opened.step.buffer, 0, new Uint32Array([0, 1, 1, 0]));
  const micros = await bestMicros(timer, await opened.prepare([copyLastRowDispatch(opened, 64, wholeBuffer(x), wholeBuffer(y))]));
  opened.releaseBuffer(x);
  opened.releaseBuffer(y);
  return micros;
}

/** Memory bandwidth: copies between two buffers that are larger than the caches, if the device has room for them. */
async function measureMemoryCopy(opened: OpenedDevice): Promise<Pick<KernelTime, 'micros' | 'bytes'>> {
  const { device } = opened;
  const { buffers, size } = await allocateCopyBuffers(opened);
  const [from, to] = buffers;
  const time = async (copies: number): Promise<number> => {
    await opened.waitFor(device.queue.onSubmittedWorkDone());
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < copies; i++) encoder.copyBufferToBuffer(from, 0, to, 0, size);
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await opened.waitFor(device.queue.onSubmittedWorkDone());
    return 1000 * (performance.now() - start);
  };
  // the difference between one copy and many excludes the cost of a submit
  await time(1);
  const one = await time(1);
  let more = 2;
  while (more < MAX_COPIES && (await time(1 + more)) - one < MIN_US.submit) more *= 2;
  let [few, many] = [Infinity, Infinity];
  for (let sample = 0; sample < SAMPLES; sample++) [few, many] = [Math.min(few, await time(1)), Math.min(many, await time(1 + more))];
  for (const buffer of buffers) opened.releaseBuffer(buffer);
  return { micros: Math.max((many - few) / more, 1e-3), bytes: 2 * size };
}

async function allocateCopyBuffers(opened: OpenedDevice): Promise<{ buffers: GPUBuffer[]; size: number }> {
  for (let size = Math.min(opened.software ? COPY_BYTES / 4 : COPY_BYTES, opened.device.limits.maxBufferSize); ; size /= 2) {
    const buffers: GPUBuffer[] = [];
    try {
      for (let i = 0; i < 2; i++) buffers.push(await opened.allocateBuffer('copy', size, GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST));
      return { buffers, size };
    } catch (error) {
      for (const buffer of buffers) opened.releaseBuffer(buffer);
      if ((error as Error).name !== 'MemoryError' || size <= 1 << 20) throw error;
    }
  }
}
