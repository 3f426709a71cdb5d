/**
 * Prefill batches go to the GPU in submits of about SUBMIT_MS: a watchdog kills submits of a second or two, and the
 * page has to render in between. The time of the previous batch gives the number of submits.
 */
import { encodeDispatches, type OpenedDevice, type PreparedDispatch } from './device';

const SUBMIT_MS = 50;
/** Tokens per workgroup of the prefill kernels: the cost of a batch is proportional to its tiles. */
const TILE_TOKENS = 64;

/**
 * @param bucket of T, for which the dispatches are prepared
 * @param T tokens
 */
export type SubmitBatch = (dispatches: PreparedDispatch[], bucket: number, T: number) => Promise<void>;

/** Runs dispatches in one submit. */
export function submitDispatches(device: GPUDevice, dispatches: PreparedDispatch[]): void {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  encodeDispatches(pass, dispatches);
  pass.end();
  device.queue.submit([encoder.finish()]);
}

/** At most two batches are queued on the GPU: a call waits for the batch before the last. */
export function createBatchSubmitter(opened: OpenedDevice): SubmitBatch {
  const { device } = opened;
  const { queue } = device;
  let batchDone: Promise<void> = Promise.resolve();
  let lastDone = 0;
  /** ms per tile of the last batch of each bucket */
  const tileMs = new Map<number, number>();

  const submit = (dispatches: PreparedDispatch[]): void => submitDispatches(device, dispatches);

  /** Submits a batch of unknown time: it waits for each submit, and the next one has up to twice as many dispatches. */
  async function submitGradually(dispatches: PreparedDispatch[]): Promise<void> {
    for (let at = 0, length = 1; at < dispatches.length;) {
      const begun = performance.now();
      submit(dispatches.slice(at, at + length));
      at += length;
      await opened.waitFor(queue.onSubmittedWorkDone());
      length = Math.max(1, Math.floor(length * Math.min(2, SUBMIT_MS / 2 / (performance.now() - begun))));
    }
  }

  return async (dispatches, bucket, T) => {
    const begun = performance.now();
    const tiles = Math.ceil(T / TILE_TOKENS);
    const known = bucket === 1 ? 0 : tileMs.get(bucket);
    if (known === undefined) await submitGradually(dispatches);
    else {
      const length = Math.ceil(dispatches.length / Math.max(1, Math.ceil((known * tiles) / SUBMIT_MS)));
      for (let at = 0; at < dispatches.length; at += length) submit(dispatches.slice(at, at + length));
    }
    const before = batchDone;
    batchDone = opened.waitFor(queue.onSubmittedWorkDone()).then(() => {
      const now = performance.now();
      tileMs.set(bucket, (now - Math.max(begun, lastDone)) / tiles);
      lastDone = now;
    });
    batchDone.catch(() => undefined); // the next batch or the next readback reports the error
    await before;
  };
}
