/**
 * Measures dispatches: how often a sample repeats them, and the time of a pass, by timestamp queries if the device has
 * them.
 */
import type { KernelTime } from '../backend';
import type { OpenedDevice } from './device';

/** Dispatches of a sample, if they fit into one submit. */
const WANTED_DISPATCHES = 50;
const MAX_DISPATCHES = 8192;
/** Longest submit of a sample: the page's own rendering waits for it. */
const MAX_US = 40_000;
/**
 * Shortest sample. Timestamps move in steps of 100 µs; performance.now() moves in steps of 1 ms and includes the way to
 * the GPU and back.
 */
export const MIN_US = { timestamp: 4_000, submit: 20_000 };
/** Steps of the clock: a pass that seems to take no time may take this long. */
const RESOLUTION_US = { timestamp: 100, submit: 1_000 };

/**
 * How often a sample repeats `length` dispatches: for WANTED_DISPATCHES and MIN_US, but within MAX_US of one submit.
 * @param pass measures so many repetitions in one submit, in µs; 0 when the clock did not move
 */
export async function repetitionsPerSample(
  pass: (times: number) => Promise<number>,
  length: number,
  clock: GpuTimer['clock'],
): Promise<number> {
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
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
      });
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
