/**
 * Runs in the engine's worker before the engine: counts what is asked of the GPU, and loses the device when it is told to. A message
 * `{ lose: [n, …] }` starts the count anew, 0 is at once, and sets the clock on, so that losses of before are long ago; `{ count: true }` is
 * answered with the count.
 */
import type { Acts } from './loss';

let device: GPUDevice | undefined;
let acts = 0;
let reads: number[] = [];
let losses: number[] = [];
let later = 0;

const now = performance.now.bind(performance);
performance.now = () => now() + later;

function act(): void {
  if (losses.includes(++acts)) device?.destroy();
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
    act();
    reads.push(acts);
  });
}

addEventListener('message', ({ data }: MessageEvent<{ lose?: number[]; count?: boolean }>) => {
  if (data.lose) {
    [acts, reads, losses] = [0, [], data.lose];
    later += 3_600_000;
    if (losses.includes(0)) device?.destroy();
  }
  if (data.count) postMessage({ acts, reads } satisfies Acts);
});
