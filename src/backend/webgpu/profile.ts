/**
 * Measures each kernel of a decode step: its dispatches of all layers, many times in one pass. For tools: no file of
 * the library holds it.
 */
import { PROFILE_BASELINES, type KernelTime, type State } from '../backend';
import { ALL_FILTERS_SAMPLING, GREEDY_SAMPLING } from '../sampling';
import { encodeDispatches, type OpenedDevice, type PreparedDispatch } from './device';
import { shapeOfTuneKey, STEP, wholeBuffer, type Dispatch } from './dispatch';
import { createGpuTimer, MIN_US, repetitionsPerSample, type GpuTimer } from './gpu_timer';
import { bytesRead, copyLastRowDispatch, lowerPlanToDispatches } from './lower';
import { contextBucket } from './scratch';
import type { WebGpuState } from './state';

const SAMPLES = 3;
const COPY_BYTES = 256 << 20;
const MAX_COPIES = 1024;

/** Kernels are grouped by label and shape of the matrix: 'matvec.q8_0.norm 65536×2048'. */
const kernelName = ({ label, tuneKey }: Dispatch): string => (tuneKey ? `${label} ${shapeOfTuneKey(tuneKey)}` : label);

/**
 * Measures each kernel of a greedy decode step after `position` tokens, then the PROFILE_BASELINES. The state is at
 * position 0 afterwards.
 * @returns nothing for a state of another backend
 */
export async function profileAt(state: State, position: number, prefillBatch: number): Promise<KernelTime[]> {
  state.rewind(0);
  for (let at = 0; at < Math.max(1, position); at += prefillBatch)
    await state.prefill(new Uint32Array(Math.min(prefillBatch, Math.max(1, position) - at)));
  if (!('scratch' in state.program.internals!())) return [];
  const { gpu, prepared, buffers: own, counts, program } = (state as WebGpuState).internals();
  const { opened, plan, scratch, sampler, skipped, contextLength } = program;
  const buffers = { ...scratch, ...own };
  opened.throwIfFailed();
  const at = Math.min(state.position, contextLength - 1);
  const context = contextBucket(at + 1, prepared.span);
  const kernels = [
    ...lowerPlanToDispatches(gpu, plan, buffers, 1, context)
      .flatMap((dispatches, i) =>
        dispatches.map((dispatch) => ({
          name: kernelName(dispatch),
          bytes: bytesRead(dispatch, plan.nodes[i], buffers, at + 1),
        })),
      )
      .slice(skipped),
    ...(sampler?.dispatches(gpu.tokens, counts!).greedy ?? []).map((dispatch) => ({
      name: kernelName(dispatch),
      bytes: 0,
    })),
  ];
  // the draw advances the position, so it is measured last
  const all = [...prepared.decode.get(context)!.slice(skipped), ...(prepared.greedy ?? [])];
  sampler?.write(GREEDY_SAMPLING);
  opened.device.queue.writeBuffer(gpu.step.buffer, 0, STEP.pack({ position: at, count: 1, prompt: at + 1 }));
  const timer = await createGpuTimer(opened);
  const { clock } = timer;
  const times: KernelTime[] = [];
  for (const kernel of new Set(kernels.map(({ name }) => name))) {
    const group = all.filter((_, i) => kernels[i].name === kernel);
    const bytes = kernels.reduce((sum, one) => sum + (one.name === kernel ? one.bytes : 0), 0);
    times.push({ kernel, dispatches: group.length, micros: await bestMicros(timer, group), bytes, clock });
  }
  const draw = prepared.sampled ?? [];
  sampler?.write(ALL_FILTERS_SAMPLING);
  if (draw.length)
    times.push({
      kernel: PROFILE_BASELINES.sampledDraw,
      dispatches: draw.length,
      micros: await bestMicros(timer, draw),
      bytes: 0,
      clock,
    });
  times.push({
    kernel: PROFILE_BASELINES.emptyDispatch,
    dispatches: 1,
    micros: await emptyDispatchMicros(opened, timer),
    bytes: 0,
    clock,
  });
  timer.dispose();
  times.push({ kernel: PROFILE_BASELINES.memoryCopy, dispatches: 1, ...(await measureMemoryCopy(opened)), clock });
  state.rewind(0);
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

/** µs of a dispatch that copies 64 numbers, after one that wrote to the same place: the cost of any dispatch. */
async function emptyDispatchMicros(opened: OpenedDevice, timer: GpuTimer): Promise<number> {
  const [x, y] = [
    await opened.allocateBuffer('empty dispatch', 256),
    await opened.allocateBuffer('empty dispatch', 256),
  ];
  opened.device.queue.writeBuffer(opened.step.buffer, 0, STEP.pack({ position: 0, count: 1, prompt: 1 }));
  const micros = await bestMicros(
    timer,
    await opened.prepare([copyLastRowDispatch(opened, 64, wholeBuffer(x), wholeBuffer(y))]),
  );
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
  for (let sample = 0; sample < SAMPLES; sample++)
    [few, many] = [Math.min(few, await time(1)), Math.min(many, await time(1 + more))];
  for (const buffer of buffers) opened.releaseBuffer(buffer);
  return { micros: Math.max((many - few) / more, 1e-3), bytes: 2 * size };
}

async function allocateCopyBuffers(opened: OpenedDevice): Promise<{ buffers: GPUBuffer[]; size: number }> {
  for (
    let size = Math.min(opened.software ? COPY_BYTES / 4 : COPY_BYTES, opened.device.limits.maxBufferSize);
    ;
    size /= 2
  ) {
    const buffers: GPUBuffer[] = [];
    try {
      for (let i = 0; i < 2; i++)
        buffers.push(await opened.allocateBuffer('copy', size, GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST));
      return { buffers, size };
    } catch (error) {
      for (const buffer of buffers) opened.releaseBuffer(buffer);
      if ((error as Error).name !== 'MemoryError' || size <= 1 << 20) throw error;
    }
  }
}
