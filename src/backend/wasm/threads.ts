/**
 * Worker threads over one shared memory. They are started from source text, so that any bundle on any static host can have them; by the page
 * where it lends them, else by this worker.
 */
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
onmessage = ({ data: { port } }) => {
  port.onmessage = async ({ data }) => {
    if (data.module) {
      memory = data.memory;
      try {
        ({ exports } = await WebAssembly.instantiate(data.module, { env: { memory, now: () => 0 } }));
        port.postMessage('ready');
      } catch (error) {
        port.postMessage(String(error));
      }
      return;
    }
    exports.__stack_pointer.value = data.stack;
    port.postMessage('ready');
    try {
      exports.serve(data.team, data.thread);
    } catch (error) {
      const words = new Int32Array(memory.buffer, data.team, ${TEAM_BYTES / 4});
      Atomics.store(words, ${ABORTED}, 1);
      Atomics.notify(words, ${GENERATION});
      throw error;
    }
  };
};
`;

/** Between an engine's worker and its page (src/api/lend.ts): the page says that it makes threads, the worker asks for one or ends one. */
export type Lending =
  | { rivuletThreads: 'lent' }
  | { rivuletThreads: 'start'; id: number; url: string; port: MessagePort }
  | { rivuletThreads: 'end'; id: number }
  | { rivuletThreads: 'failed'; id: number; reason: string };

let lent = false;
const failures = new Map<number, (reason: string) => void>();
let nextId = 0;
if (typeof document === 'undefined' && typeof addEventListener === 'function')
  addEventListener('message', ({ data }: MessageEvent<Lending | undefined>) => {
    if (data?.rivuletThreads === 'lent') lent = true;
    if (data?.rivuletThreads === 'failed') failures.get(data.id)?.(data.reason);
  });

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
  private threads: Thread[] = [];
  private url: string | undefined;

  constructor(
    private readonly kernels: Kernels,
    private readonly heap: Heap,
  ) {
    this.address = heap.zeros(TEAM_BYTES, 'threads');
  }

  get size(): number {
    return 1 + this.threads.length;
  }

  /** Starts threads until there are `wanted`; returns why there are fewer. */
  async start(wanted: number, module: WebAssembly.Module): Promise<string | undefined> {
    if (wanted <= 1) return undefined;
    const url = (this.url = URL.createObjectURL(new Blob([SOURCE], { type: 'text/javascript' })));
    const threads = Array.from({ length: wanted - 1 }, () => startThread(url));
    this.threads = threads; // so that `stop` ends those under way too
    const started = await Promise.allSettled(threads.map((thread) => thread.ask({ module, memory: this.heap.memory })));
    if (!this.url) return undefined;
    this.threads = threads.filter((thread, i) => started[i].status === 'fulfilled' || void thread.end());
    const serving = this.threads.map((thread, i) =>
      thread.ask({ team: this.address, thread: i + 1, stack: this.heap.alloc(STACK_BYTES, 'threads') + STACK_BYTES }),
    );
    await Promise.all(serving);
    const failed = started.find((s) => s.status === 'rejected');
    return failed && `${this.size} of ${wanted} threads: ${String(failed.reason)}`;
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
    for (const thread of this.threads.splice(Math.max(threads - 1, 0))) thread.end();
  }

  stop(): void {
    this.shrink(0);
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = undefined;
  }
}

interface Thread {
  /** Sends a message; settles with the answer. */
  ask(message: object): Promise<void>;
  end(): void;
}

function startThread(url: string): Thread {
  const id = nextId++;
  const { port1, port2 } = new MessageChannel();
  let refuse: (reason: string) => void = () => undefined;
  let refused: string | undefined;
  let worker: Worker | undefined;
  const fail = (reason: string): void => {
    refused = reason || 'the worker could not be started (Content-Security-Policy: worker-src blob:)';
    refuse(refused);
  };

  if (lent) {
    failures.set(id, fail);
    postMessage({ rivuletThreads: 'start', id, url, port: port2 } satisfies Lending, [port2]);
  } else
    try {
      worker = new Worker(url);
      worker.onerror = ({ message }) => fail(message);
      worker.postMessage({ port: port2 }, [port2]);
    } catch (error) {
      fail(String(error));
    }

  return {
    ask: (message) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => refuse('a worker does not answer'), START_MS);
        refuse = (reason) => (clearTimeout(timer), reject(reason));
        if (refused !== undefined) return refuse(refused);
        port1.onmessage = ({ data }) => (data === 'ready' ? (clearTimeout(timer), resolve()) : refuse(String(data)));
        port1.postMessage(message);
      }),
    end() {
      port1.close();
      failures.delete(id);
      worker?.terminate();
      if (!worker && lent) postMessage({ rivuletThreads: 'end', id } satisfies Lending);
    },
  };
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
