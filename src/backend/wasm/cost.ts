/**
 * What a plan takes in WASM memory: a program and a state are created in a heap that has no memory
 * and counts what is asked of it.
 */
import { KV_PAGE_POSITIONS } from 'virtual:rivulet-kernels';
import type { PlanSizes } from '../backend';
import type { WasmBackend } from './backend';
import { allocatedBytes, WasmHeap } from './memory';
import { packedBytes, type KernelBuild } from './module';
import { createWasmProgram } from './program';
import type { ThreadPool } from './threads';

/** Every address is 0, and what is written is lost. */
class CountingHeap extends WasmHeap {
  constructor(build: KernelBuild) {
    super(new WebAssembly.Memory({ initial: 0 }), 0, build);
  }
  override alloc(bytes: number): number {
    this.used += allocatedBytes(bytes);
    return 0;
  }
  override zeros(bytes: number): number {
    return this.alloc(bytes);
  }
}

export function wasmSizes(internals: ReturnType<WasmBackend['internals']>): PlanSizes {
  const { kernels, maxThreads, startBytes, exact, pool, heap: { build } } = internals; // prettier-ignore
  return {
    matrix: ({ cols, segments }) =>
      segments.reduce(
        (sum, { rows, dtype }) => sum + allocatedBytes(packedBytes(kernels, dtype, rows, cols)),
        allocatedBytes(build.structs.WEIGHT.bytes * segments.length),
      ),
    vector: ({ length }) => allocatedBytes(4 * length + 16),
    empty: startBytes + pool.bytes,
    async compiled(plan, options) {
      const heap = new CountingHeap(build);
      const program = await createWasmProgram(plan, options, {
        heap,
        // there are no weights that could be rounded
        kernels: { ...kernels, round_to_q8: () => 1 },
        pool: { size: maxThreads } as ThreadPool,
        at: { matrix: () => 0, vector: () => 0, int8: () => false, paged: () => undefined },
        weightBytes: () => 0,
        threads: 1,
        int16: !exact,
        check: () => undefined,
      });
      const scratch = heap.used;
      const { bytes } = await program.newState();
      const pages = Math.ceil(options.contextLength / KV_PAGE_POSITIONS);
      return { scratch, state: bytes + pages * allocatedBytes(program.internals().lowered.pageBytes + 64) };
    },
  };
}
