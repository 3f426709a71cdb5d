/**
 * A pool of worker threads over one shared memory. Workers start from source text, so that the bundle needs no other
 * file on its host. The page creates them if it offers to, else this worker.
 */
import { fail } from '../../errors';
import { HeapScope, type WasmHeap } from './memory';
import type { KernelExports } from './module';

const STACK_BYTES = 65536;
const START_TIMEOUT_MS = 10_000;

const WORKER_SOURCE = `
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
      exports.serve(data.pool, data.thread);
    } catch (error) {
      const words = new Int32Array(memory.buffer);
      Atomics.store(words, data.aborted, 1);
      Atomics.notify(words, data.generation);
      throw error;
    }
  };
};
`;

/**
 * Messages between the engine's worker and its page (src/api/lend_threads.ts): the page offers to create threads; the
 * worker asks it to start or end one.
 */
export type ThreadLendingMessage =
  | { rivuletThreads: 'lent' }
  | { rivuletThreads: 'start'; id: number; url: string; port: MessagePort }
  | { rivuletThreads: 'end'; id: number }
  | { rivuletThreads: 'failed'; id: number; reason: string };

/** the page creates the threads */
let createdByPage = false;
const failures = new Map<number, (reason: string) => void>();
let nextId = 0;
if (typeof document === 'undefined' && typeof addEventListener === 'function')
  addEventListener('message', ({ data }: MessageEvent<ThreadLendingMessage | undefined>) => {
    if (data?.rivuletThreads === 'lent') createdByPage = true;
    if (data?.rivuletThreads === 'failed') failures.get(data.id)?.(data.reason);
  });

/** The reason why there can be only one thread here; undefined when there can be more. */
export function whyNoThreads(): string | undefined {
  if (typeof SharedArrayBuffer === 'undefined' && globalThis.crossOriginIsolated)
    return 'WASM runs on one thread: this browser has no SharedArrayBuffer.';
  if (typeof SharedArrayBuffer === 'undefined' || globalThis.crossOriginIsolated === false)
    return 'WASM runs on one thread: the page is not cross-origin isolated. Its server must send the headers Cross-Origin-Opener-Policy and Cross-Origin-Embedder-Policy.';
  if (typeof Worker === 'undefined') return 'WASM runs on one thread: there are no web workers here.';
  if (typeof document !== 'undefined')
    return 'WASM runs on one thread: the main thread of a page may not wait for other threads. Open the backend in a worker.';
  return undefined;
}

/** The threads of one backend. Thread 0 is the caller of `runStep`; the others sleep between steps. */
export class ThreadPool {
  /** address of the C struct ThreadPool */
  readonly address: number;
  private readonly scope: HeapScope;
  private threads: Thread[] = [];
  private url: string | undefined;

  constructor(
    private readonly kernels: KernelExports,
    private readonly heap: WasmHeap,
  ) {
    this.scope = new HeapScope(heap);
    this.address = this.scope.alloc(heap.build.structs.THREAD_POOL.bytes, 'threads');
  }

  get size(): number {
    return 1 + this.threads.length;
  }

  /** bytes that it holds, with the stacks of threads that have ended: these may still run for a moment */
  get bytes(): number {
    return this.scope.bytes;
  }

  /** Starts threads until there are `wanted`; resolves to the reason if there are fewer. */
  async start(wanted: number, module: WebAssembly.Module): Promise<string | undefined> {
    if (wanted <= 1) return undefined;
    const stacks = Array.from({ length: wanted - 1 }, () => this.scope.alloc(STACK_BYTES, 'threads'));
    const url = (this.url = URL.createObjectURL(new Blob([WORKER_SOURCE], { type: 'text/javascript' })));
    const threads = Array.from({ length: wanted - 1 }, () => startThread(url));
    this.threads = threads; // so that `stop` also ends threads that still start
    const started = await Promise.allSettled(threads.map((thread) => thread.ask({ module, memory: this.heap.memory })));
    if (!this.url) return undefined;
    this.threads = threads.filter((thread, i) => started[i].status === 'fulfilled' || void thread.end());
    for (const unused of stacks.slice(this.threads.length)) this.scope.release(unused);
    const { toWasm, structs: { THREAD_POOL } } = this.heap.build; // prettier-ignore
    const word = (field: string): number => (this.address + THREAD_POOL.offset(field)) / 4;
    const pool = { pool: toWasm(this.address), aborted: word('aborted'), generation: word('generation') };
    const serving = this.threads.map((thread, i) =>
      thread.ask({ ...pool, thread: i + 1, stack: toWasm(stacks[i] + STACK_BYTES) }),
    );
    await Promise.all(serving);
    const failed = started.find((s) => s.status === 'rejected');
    return failed && `${this.size} of ${wanted} threads: ${String(failed.reason)}`;
  }

  /**
   * Runs a step of a plan on the first `threads` threads. @throws DeviceError when a kernel traps; then no other call
   * may follow
   */
  runStep(plan: number, threads: number): void {
    const { THREAD_POOL } = this.heap.build.structs;
    THREAD_POOL.write(this.heap, this.address, { plan });
    try {
      this.kernels.step(this.address, threads);
    } catch (cause) {
      this.stop();
      fail(
        'DeviceError',
        { what: 'The WASM kernels failed', got: String(cause), cure: 'Load the model again.' },
        cause,
      );
    }
  }

  /** Ends all threads but the first `threads`. */
  keepOnly(threads: number): void {
    for (const thread of this.threads.splice(Math.max(threads - 1, 0))) thread.end();
  }

  stop(): void {
    this.keepOnly(0);
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = undefined;
  }
}

interface Thread {
  /** Sends a message and waits for the answer. */
  ask(message: object): Promise<void>;
  end(): void;
}

function startThread(url: string): Thread {
  const id = nextId++;
  const { port1, port2 } = new MessageChannel();
  let rejectAnswer: (reason: string) => void = () => undefined;
  let failure: string | undefined;
  let worker: Worker | undefined;
  const fail = (reason: string): void => {
    failure = reason || 'the worker did not start; the Content-Security-Policy needs worker-src blob:';
    rejectAnswer(failure);
  };

  if (createdByPage) {
    failures.set(id, fail);
    postMessage({ rivuletThreads: 'start', id, url, port: port2 } satisfies ThreadLendingMessage, [port2]);
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
        const timer = setTimeout(() => rejectAnswer('a worker did not answer'), START_TIMEOUT_MS);
        rejectAnswer = (reason) => (clearTimeout(timer), reject(reason));
        if (failure !== undefined) return rejectAnswer(failure);
        port1.onmessage = ({ data }) =>
          data === 'ready' ? (clearTimeout(timer), resolve()) : rejectAnswer(String(data));
        port1.postMessage(message);
      }),
    end() {
      port1.close();
      failures.delete(id);
      worker?.terminate();
      if (!worker && createdByPage) postMessage({ rivuletThreads: 'end', id } satisfies ThreadLendingMessage);
    },
  };
}

/**
 * Measures `run` with 1, 2, 3, 4, 6 and 8 threads, up to `most`, and returns the fastest number; more threads must be
 * faster by 7 %. Cores differ in speed, and other programs may use some of them.
 */
export function fastestThreadCount(run: (threads: number) => void, most: number): number {
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
