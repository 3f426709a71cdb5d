/**
 * Log probabilities on the GPU, as `logprobs` of src/backend/sampling.ts defines them: only 2 · (n + 2) words are read
 * back.
 */
import type { ChosenLogprob } from '../sampling';
import { encodeDispatches, type OpenedDevice, type PreparedDispatch } from './device';
import type { BufferGroup } from './buffer_group';
import { reductionLibrary, type BufferRegion } from './dispatch';
import type { ReadbackPool } from './readback';
import { uniformLayout } from './shader';

const REQUEST = uniformLayout('logprobs#Request');

/** The log probabilities of the current logits, for the drawn token and the n ≤ 20 most likely ones. */
export type ComputeGpuLogprobs = (chosen: number, n: number) => Promise<ChosenLogprob>;

/**
 * @param take allocates a buffer that lives as long as the program
 * @param readback with slots of at least 176 bytes
 */
export async function createGpuLogprobs(
  opened: OpenedDevice,
  logits: BufferRegion,
  V: number,
  take: BufferGroup['take'],
  readback: ReadbackPool,
): Promise<ComputeGpuLogprobs> {
  const { device } = opened;
  const request = await take('logprobs request', REQUEST.bytes, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
  const result = await take('logprobs', 176);
  /** prepared at the first call: few answers need it */
  let prepared: Promise<PreparedDispatch[]> | undefined;

  return async (chosen, n) => {
    prepared ??= opened.prepare([
      {
        label: 'logprobs',
        sources: [reductionLibrary(opened.features), 'logprobs'],
        constants: { group_size: 256 },
        bindings: { request, logits, result },
        grid: [1, 1, 1],
      },
    ]);
    const dispatches = await prepared;
    const count = Math.min(n, V);
    device.queue.writeBuffer(request.buffer, 0, REQUEST.pack({ V, chosen, n: count }));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, dispatches);
    pass.end();
    const copy = readback.copy(encoder, result.buffer, 0, 8 * (count + 2));
    device.queue.submit([encoder.finish()]);
    const bytes = await copy.read();
    const [values, ids] = [new Float32Array(bytes), new Uint32Array(bytes)];
    const logSum = values[0] + Math.log(values[1]);
    const [own, ...top] = Array.from({ length: count + 1 }, (_, i) => ({
      id: ids[2 * i + 3],
      logprob: values[2 * i + 2] - logSum,
    }));
    return { ...own, top };
  };
}
