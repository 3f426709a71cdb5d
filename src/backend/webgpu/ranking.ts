/** What the model says of a chosen token, taken on the GPU (src/backend/sampling.ts, `logprobs`, is its definition): 2 · (n + 2) words come back. */
import type { ChosenLogprob } from '../sampling';
import { encode, type OpenedDevice, type PreparedStep } from './device';
import { sumLibrary, whole, type Gpu, type Region } from './gpu';
import type { Readback } from './readback';

/** By the logits that are there when it is called; n is at most 20. */
export type Ranking = (chosen: number, n: number) => Promise<ChosenLogprob>;

/**
 * @param take a buffer that lives as long as the runner
 * @param readback of 176 bytes or more
 */
export async function createRanking(
  opened: OpenedDevice,
  gpu: Gpu,
  logits: Region,
  V: number,
  take: (label: string, bytes: number, usage?: GPUBufferUsageFlags) => Promise<GPUBuffer>,
  readback: Readback,
): Promise<Ranking> {
  const { device } = gpu;
  const ranking = whole(await take('ranking', 16, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST));
  const told = whole(await take('told', 176));
  /** made when it is first asked for: few answers want it */
  let prepared: Promise<PreparedStep[]> | undefined;

  return async (chosen, n) => {
    prepared ??= opened.prepare([
      { label: 'rank', sources: [sumLibrary(gpu.features), 'rank'], constants: { group_size: 256 }, bindings: { ranking, logits, told }, grid: [1, 1, 1] },
    ]);
    const steps = await prepared;
    const count = Math.min(n, V);
    device.queue.writeBuffer(ranking.buffer, 0, new Uint32Array([V, chosen, count]));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    encode(pass, steps);
    pass.end();
    const copy = readback.copy(encoder, told.buffer, 0, 8 * (count + 2));
    device.queue.submit([encoder.finish()]);
    const bytes = await copy.read();
    const [values, ids] = [new Float32Array(bytes), new Uint32Array(bytes)];
    const log = values[0] + Math.log(values[1]);
    const [own, ...top] = Array.from({ length: count + 1 }, (_, i) => ({ id: ids[2 * i + 3], logprob: values[2 * i + 2] - log }));
    return { ...own, top };
  };
}
