/**
 * Runs in the engine's worker before the engine: counts what is asked of the GPU, and loses the device when it is told
 * to. A message
 * `{ lose: [n, …] }` starts the count anew, 0 is at once, and sets the clock on, so that losses of before are long ago;
 * with `latest: r` the first loss is at the r-th reading of a result at the latest, for how many submits a prompt takes
 * depends on the time; `{ count: true }` is answered with the count.
 */
import type { Acts } from './loss';

let device: GPUDevice | undefined;
let acts = 0;
let reads: number[] = [];
let losses: number[] = [];
let latest = Infinity;
let later = 0;

const now = performance.now.bind(performance);
performance.now = () => now() + later;

function act(): void {
  acts++;
  const due = reads.length === latest && losses.every((n) => n > acts);
  if (due || losses.includes(acts)) device?.destroy();
  if (due) [losses, latest] = [losses.slice(1), Infinity];
}

function before<T extends object, K extends keyof T>(prototype: T, method: K, call: () => void): void {
  const original = prototype[method] as (...parameters: unknown[]) => unknown;
  prototype[method] = function (this: T, ...parameters: unknown[]) {
    call();
    return original.apply(this, parameters);
  } as T[K];
}

if ('GPUAdapter' in globalThis) {
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    return (device = await requestDevice.call(this, descriptor));
  };
  before(GPUDevice.prototype, 'createBuffer', act);
  before(GPUDevice.prototype, 'createComputePipelineAsync', act);
  before(GPUQueue.prototype, 'submit', act);
  before(GPUBuffer.prototype, 'mapAsync', () => {
    reads.push(acts + 1);
    act();
  });
}

addEventListener('message', ({ data }: MessageEvent<{ lose?: number[]; latest?: number; count?: boolean }>) => {
  if (data.lose) {
    [acts, reads, losses, latest] = [0, [], data.lose, data.latest ?? Infinity];
    later += 3_600_000;
    if (losses.includes(0)) device?.destroy();
  }
  if (data.count) postMessage({ acts, reads } satisfies Acts);
});
