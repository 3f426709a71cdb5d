/** Worker threads over one shared memory. They are started from source text, so that any bundle on any static host can have them. */
import { fail } from '../../errors';
import type { Heap } from './memory';
import type { Kernels } from './module';

// word offsets of Team in kernels/plan.h
const PLAN = 1;
const ABORTED = 2;
const GENERATION = 16;
const TEAM_BYTES = 256;

const STACK_BYTES = 65536;
const START_MS = 10_000;

const SOURCE = `
let exports, memory;
onmessage = async ({ data }) => {
  if (data.module) {
    memory = data.memory;
    ({ exports } = await WebAssembly.instantiate(data.module, { env: { memory, now: () => 0 } }));
    return postMessage('ready');
  }
  exports.__stack_pointer.value = data.stack;
  try {
    exports.serve(data.team, data.thread);
  } catch (error) {
    const words = new Int32Array(memory.buffer, data.team, ${TEAM_BYTES / 4});
    Atomics.store(words, ${ABORTED}, 1);
    Atomics.notify(words, ${GENERATION});
    throw error;
  }
};
onunhandledrejection = ({ reason }) => postMessage(String(reason));
`;

/** Why threads cannot be had here; undefined when they can. */
export function whyNoThreads(): string | undefined {
  if (typeof SharedArrayBuffer === 'undefined' && globalThis.crossOriginIsolated) return 'One thread: this browser has no SharedArrayBuffer.';
  if (typeof SharedArrayBuffer === 'undefined' || globalThis.crossOriginIsolated === false)
    return 'One thread: the page is not cross-origin isolated (it needs the headers Cross-Origin-Opener-Policy and Cross-Origin-Embedder-Policy).';
  if (typeof Worker === 'undefined') return 'One thread: there are no workers here.';
  if (typeof document !== 'undefined') return 'One thread: the main thread of a page may not wait for others. Open the backend in a worker.';
  return undefined;
}

/** The threads of one backend. Thread 0 is the caller of `step`; the others sleep between steps. */
export class Team {
  /** address of the struct where they meet */
  readonly address: number;
  private workers: Worker[] = [];
  private url: string | undefined;

  constructor(
    private readonly kernels: Kernels,
    private readonly heap: Heap,
  ) {
    this.address = heap.zeros(TEAM_BYTES, 'threads');
  }

  get size(): number {
    return 1 + this.workers.length;
  }

  /** Starts workers until there are `threads`; returns why there are fewer. */
  async start(threads: number, module: WebAssembly.Module): Promise<string | undefined> {
    if (threads <= 1) return undefined;
    this.url = URL.createObjectURL(new Blob([SOURCE], { type: 'text/javascript' }));
    const started = await Promise.allSettled(Array.from({ length: threads - 1 }, () => startWorker(this.url!, module, this.heap.memory)));
    if (!this.url) return undefined; // stopped meanwhile
    this.workers = started.flatMap((s) => (s.status === 'fulfilled' ? [s.value] : []));
    this.workers.forEach((worker, i) =>
      worker.postMessage({ team: this.address, thread: i + 1, stack: this.heap.alloc(STACK_BYTES, 'threads') + STACK_BYTES }),
    );
    const failed = started.find((s) => s.status === 'rejected');
    return failed && `${this.size} of ${threads} threads: ${String(failed.reason)}`;
  }

  /** Runs a plan's step on the first `threads` threads. @throws DeviceError when a kernel traps; then nothing may follow */
  step(plan: number, threads: number): void {
    this.heap.u32[this.address / 4 + PLAN] = plan;
    try {
      this.kernels.step(this.address, threads);
    } catch (cause) {
      this.stop();
      fail('DeviceError', { what: 'The WASM kernels failed', got: String(cause), cure: 'Load the model again.' }, cause);
    }
  }

  /** Ends the threads from `threads` on. */
  shrink(threads: number): void {
    for (const worker of this.workers.splice(Math.max(threads - 1, 0))) worker.terminate();
  }

  stop(): void {
    this.shrink(0);
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = undefined;
  }
}

function startWorker(url: string, module: WebAssembly.Module, memory: WebAssembly.Memory): Promise<Worker> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(url);
    const timer = setTimeout(() => end('the worker did not start'), START_MS);
    function end(reason: unknown): void {
      clearTimeout(timer);
      worker.onmessage = worker.onerror = null;
      if (reason === 'ready') return resolve(worker);
      worker.terminate();
      reject(reason);
    }
    worker.onmessage = ({ data }: MessageEvent) => end(data);
    worker.onerror = (event) => end(event.message || 'the worker could not be started (Content-Security-Policy: worker-src blob:)');
    worker.postMessage({ module, memory });
  });
}

/**
 * The number of threads with the least time for `run`, among 1, 2, 3, 4, 6, 8 … `most`; a larger number must be clearly better. Cores differ,
 * and some of those that the browser counts may be busy.
 */
export function fastest(run: (threads: number) => void, most: number): number {
  const counts = [1, 2, 3, 4, 6, 8].filter((n) => n <= most);
  const warmUntil = performance.now() + 30;
  do run(most);
  while (performance.now() < warmUntil);
  const best = counts.map(() => Infinity);
  const until = performance.now() + 60;
  for (let round = 0; round < 2 || (round < 8 && performance.now() < until); round++)
    counts.forEach((threads, i) => {
      const start = performance.now();
      run(threads);
      best[i] = Math.min(best[i], performance.now() - start);
    });
  return counts.reduce((a, b) => (best[counts.indexOf(b)] < 0.93 * best[counts.indexOf(a)] ? b : a));
}
