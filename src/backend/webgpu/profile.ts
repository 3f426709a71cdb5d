/** Time of each kernel of a decode step: its dispatches over all layers, many in one pass, by timestamp queries where the device has them. */
import { BESIDE, type KernelTime } from '../backend';
import { encode, type OpenedDevice, type PreparedStep } from './device';
import { whole, type Step } from './gpu';
import { lastStep } from './lower';

/** A sample has this many dispatches, where one submit can. */
const DISPATCHES = 50;
const MOST_DISPATCHES = 8192;
/** What one submit of a sample may take, for whoever waits for the GPU meanwhile. */
const MOST_US = 40_000;
/** A sample takes at least this long, by the steps of a clock: 100 µs of timestamps; 1 ms and the way to the GPU and back of a clock around a submit. */
const LEAST_US = { timestamp: 4_000, submit: 20_000 };
/** What a clock may have missed of a pass that took it no time. */
const STEP_US = { timestamp: 100, submit: 1_000 };
const ROUNDS = 3;
const COPY_BYTES = 256 << 20;
const MOST_COPIES = 1024;

const WEIGHTS = ['w', 'scales', 'up', 'up_scales', 'w_2', 'scales_2'];

/** Bytes of weights that a step of one token must read from memory: maps do, which have a shape; a lookup reads next to nothing of its table. */
export const weightBytes = ({ shape, bindings }: Step): number => (!shape ? 0 : WEIGHTS.reduce((sum, name) => sum + (bindings[name]?.size ?? 0), 0));

/** Kernels that map by matrices of different shapes are told apart: 'matvec.q8_0.norm 65536×2048'. */
const nameOf = ({ label, shape }: Step): string => (shape ? `${label} ${shape.slice(shape.lastIndexOf(' ') + 1)}` : label);

export interface Profiled {
  /** of one token, and what was prepared from them, in the same order */
  steps: Step[];
  prepared: PreparedStep[];
  /** that one dispatch of attention reads */
  cacheBytes: number;
  /** makes the settings of a sampled draw hold, and gives its dispatches */
  sampled(): PreparedStep[];
}

export async function profile(opened: OpenedDevice, { steps, prepared, cacheBytes, sampled }: Profiled): Promise<KernelTime[]> {
  const timer = await createTimer(opened);
  const { clock } = timer;
  const times: KernelTime[] = [];
  for (const kernel of new Set(steps.map(nameOf))) {
    const group = prepared.filter((_, i) => nameOf(steps[i]) === kernel);
    const bytes = steps.filter((step) => nameOf(step) === kernel).reduce((sum, step) => sum + weightBytes(step), 0);
    const read = bytes + (kernel.startsWith('attend.') ? cacheBytes * group.length : 0);
    times.push({ kernel, dispatches: group.length, micros: await best(timer, group), bytes: read, clock });
  }
  const draw = sampled();
  if (draw.length) times.push({ kernel: BESIDE.draw, dispatches: draw.length, micros: await best(timer, draw), bytes: 0, clock });
  times.push({ kernel: BESIDE.nothing, dispatches: 1, micros: await nothingTime(opened, timer), bytes: 0, clock });
  timer.dispose();
  times.push({ kernel: BESIDE.copy, dispatches: 1, ...(await copyTime(opened)), clock });
  return times;
}

/** µs of these dispatches, the best of several samples */
async function best(timer: Timer, group: PreparedStep[]): Promise<number> {
  const pass = (times: number): Promise<number> => timer.measure((encoder) => { for (let i = 0; i < times; i++) encode(encoder, group); }); // prettier-ignore
  const times = await roundsOf(pass, group.length, timer.clock);
  let least = Infinity;
  for (let round = 0; round < ROUNDS; round++) least = Math.min(least, (await pass(times)) / times);
  return least;
}

/**
 * How often a sample goes over `length` dispatches: DISPATCHES of them at least, and as long as the clock wants, but no submit beyond MOST_US.
 * @param pass µs of so many rounds in one submit; 0 where the clock did not move
 */
export async function roundsOf(pass: (times: number) => Promise<number>, length: number, clock: Timer['clock']): Promise<number> {
  let times = 1;
  for (;;) {
    const micros = Math.max(await pass(times), STEP_US[clock]);
    const wanted = Math.ceil(Math.max(DISPATCHES / length, (times * LEAST_US[clock]) / micros));
    const next = Math.floor(Math.min(wanted, (times * MOST_US) / micros, MOST_DISPATCHES / length));
    if (next <= times) return times;
    times = next;
  }
}

export interface Timer {
  clock: KernelTime['clock'];
  /** µs of a pass */
  measure(record: (pass: GPUComputePassEncoder) => void): Promise<number>;
  dispose(): void;
}

export async function createTimer(opened: OpenedDevice): Promise<Timer> {
  const { device } = opened;
  const querySet = device.features.has('timestamp-query') ? await opened.queries(2) : undefined;
  if (!querySet)
    return {
      clock: 'submit',
      async measure(record) {
        await opened.settled(device.queue.onSubmittedWorkDone());
        const start = performance.now();
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        record(pass);
        pass.end();
        device.queue.submit([encoder.finish()]);
        await opened.settled(device.queue.onSubmittedWorkDone());
        return 1000 * (performance.now() - start);
      },
      dispose: () => undefined,
    };
  const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const { buffer: resolved, ready: first } = opened.create('timestamps', 256, QUERY_RESOLVE | COPY_SRC);
  const { buffer: mapped, ready: second } = opened.create('timestamps', 16, MAP_READ | COPY_DST);
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
      await opened.settled(mapped.mapAsync(GPUMapMode.READ));
      const [begin, end] = new BigUint64Array(mapped.getMappedRange().slice(0));
      mapped.unmap();
      return Math.max(0, Number(end - begin)) / 1000; // some drivers' clocks stand still or start anew
    },
    dispose() {
      querySet.destroy();
      opened.release(resolved);
      opened.release(mapped);
    },
  };
}

/** µs of a dispatch of one workgroup that copies 64 numbers, behind one that wrote to the same place: what any dispatch costs. */
async function nothingTime(opened: OpenedDevice, timer: Timer): Promise<number> {
  const [x, y] = [await opened.allocate('nothing', 256), await opened.allocate('nothing', 256)];
  opened.device.queue.writeBuffer(opened.step.buffer, 0, new Uint32Array([0, 1, 1, 0]));
  const micros = await best(timer, await opened.prepare([lastStep(opened, 64, whole(x), whole(y))]));
  opened.release(x);
  opened.release(y);
  return micros;
}

/** What the memory gives: copies of a buffer beyond the caches, read and written, where the device can have two of them. */
async function copyTime(opened: OpenedDevice): Promise<Pick<KernelTime, 'micros' | 'bytes'>> {
  const { device } = opened;
  const { buffers, size } = await copyBuffers(opened);
  const [from, to] = buffers;
  const time = async (copies: number): Promise<number> => {
    await opened.settled(device.queue.onSubmittedWorkDone());
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < copies; i++) encoder.copyBufferToBuffer(from, 0, to, 0, size);
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await opened.settled(device.queue.onSubmittedWorkDone());
    return 1000 * (performance.now() - start);
  };
  // the difference of few and many leaves the cost of a submit out
  await time(1);
  const one = await time(1);
  let more = 2;
  while (more < MOST_COPIES && (await time(1 + more)) - one < LEAST_US.submit) more *= 2;
  let [few, many] = [Infinity, Infinity];
  for (let round = 0; round < ROUNDS; round++) [few, many] = [Math.min(few, await time(1)), Math.min(many, await time(1 + more))];
  for (const buffer of buffers) opened.release(buffer);
  return { micros: Math.max((many - few) / more, 1e-3), bytes: 2 * size };
}

async function copyBuffers(opened: OpenedDevice): Promise<{ buffers: GPUBuffer[]; size: number }> {
  for (let size = Math.min(opened.software ? COPY_BYTES / 4 : COPY_BYTES, opened.device.limits.maxBufferSize); ; size /= 2) {
    const buffers: GPUBuffer[] = [];
    try {
      for (let i = 0; i < 2; i++) buffers.push(await opened.allocate('copy', size, GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST));
      return { buffers, size };
    } catch (error) {
      for (const buffer of buffers) opened.release(buffer);
      if ((error as Error).name !== 'MemoryError' || size <= 1 << 20) throw error;
    }
  }
}
