/** Time of each kernel of a decode step: its dispatches over all layers, many in one pass, by timestamp queries where the device has them. */
import type { KernelTime } from '../backend';
import { encode, type OpenedDevice, type PreparedStep } from './device';
import type { Step } from './gpu';
import { settled } from './readback';

/** A pass is repeated until it takes this long: timestamps may be rounded to 100 µs. */
const ENOUGH_US = 10_000;
const MOST_DISPATCHES = 4096;
const ROUNDS = 3;
const COPY_BYTES = 64 << 20;

const WEIGHTS = ['w', 'scales', 'up', 'up_scales'];

/** Bytes of weights that a step must read from memory; a lookup reads next to nothing of its table. */
export const weightBytes = ({ label, bindings }: Step): number => (label.startsWith('embed') ? 0 : WEIGHTS.reduce((sum, name) => sum + (bindings[name]?.size ?? 0), 0));

/** Kernels that map by matrices of different shapes are told apart: 'matvec.q8_0.norm 65536×2048'. */
const nameOf = ({ label, shape }: Step): string => (shape ? `${label} ${shape.slice(shape.lastIndexOf(' ') + 1)}` : label);

/**
 * @param steps of one token, with what was prepared from them, in the same order
 * @param cacheBytes that one dispatch of attention reads
 */
export async function profile(opened: OpenedDevice, steps: Step[], prepared: PreparedStep[], cacheBytes: number): Promise<KernelTime[]> {
  const timer = createTimer(opened);
  const times: KernelTime[] = [];
  for (const kernel of new Set(steps.map(nameOf))) {
    const group = prepared.filter((_, i) => nameOf(steps[i]) === kernel);
    const bytes = steps.filter((step) => nameOf(step) === kernel).reduce((sum, step) => sum + weightBytes(step), 0);
    const read = bytes + (kernel.startsWith('attend.') ? cacheBytes * group.length : 0);
    const once = await timer.measure((pass) => encode(pass, group));
    const repeats = Math.max(1, Math.min(Math.floor(MOST_DISPATCHES / group.length), Math.ceil(ENOUGH_US / Math.max(once, 1))));
    let best = Infinity;
    for (let round = 0; round < ROUNDS; round++)
      best = Math.min(best, (await timer.measure((pass) => { for (let i = 0; i < repeats; i++) encode(pass, group); })) / repeats); // prettier-ignore
    times.push({ kernel, dispatches: group.length, micros: best, bytes: read, clock: timer.clock });
  }
  timer.dispose();
  times.push({ ...(await copyTime(opened)), clock: timer.clock });
  return times;
}

export interface Timer {
  clock: KernelTime['clock'];
  /** µs of a pass */
  measure(record: (pass: GPUComputePassEncoder) => void): Promise<number>;
  dispose(): void;
}

export function createTimer(opened: OpenedDevice): Timer {
  const { device } = opened;
  if (!device.features.has('timestamp-query'))
    return {
      clock: 'submit',
      async measure(record) {
        await settled(device, device.queue.onSubmittedWorkDone());
        const start = performance.now();
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        record(pass);
        pass.end();
        device.queue.submit([encoder.finish()]);
        await settled(device, device.queue.onSubmittedWorkDone());
        return 1000 * (performance.now() - start);
      },
      dispose: () => undefined,
    };
  const querySet = device.createQuerySet({ type: 'timestamp', count: 2 });
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
      await settled(device, mapped.mapAsync(GPUMapMode.READ));
      const [begin, end] = new BigUint64Array(mapped.getMappedRange().slice(0));
      mapped.unmap();
      return Number(end - begin) / 1000;
    },
    dispose() {
      querySet.destroy();
      opened.release(resolved);
      opened.release(mapped);
    },
  };
}

/** What the memory gives: a copy of a large buffer, read and written. */
async function copyTime(opened: OpenedDevice): Promise<Omit<KernelTime, 'clock'>> {
  const { device } = opened;
  const from = await opened.allocate('copy', COPY_BYTES);
  const to = await opened.allocate('copy', COPY_BYTES);
  const time = async (copies: number): Promise<number> => {
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < copies; i++) encoder.copyBufferToBuffer(from, 0, to, 0, COPY_BYTES);
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await settled(device, device.queue.onSubmittedWorkDone());
    return 1000 * (performance.now() - start);
  };
  await time(1);
  let [few, many] = [Infinity, Infinity];
  for (let round = 0; round < ROUNDS; round++) [few, many] = [Math.min(few, await time(2)), Math.min(many, await time(10))];
  // the difference of the two leaves the cost of a submit out
  const micros = (many - few) / 8;
  opened.release(from);
  opened.release(to);
  return { kernel: 'copy', dispatches: 1, micros, bytes: 2 * COPY_BYTES };
}
