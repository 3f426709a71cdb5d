/**
 * What a plan takes in WASM memory: runners are created in a heap that has no memory and counts what is asked of it.
 */
import { KV_PAGE_POSITIONS } from 'virtual:rivulet-kernels';
import { DTYPES } from '../../tensor/dtype';
import type { CompileOptions, PlanSizes } from '../backend';
import type { Plan } from '../plan';
import type { WasmBackend } from './backend';
import { lowerPlanToWasmOps } from './lower';
import { allocatedBytes, WasmHeap } from './memory';
import { createWasmRunner } from './runner';
import { WEIGHT } from './structs';
import type { ThreadPool } from './threads';

/** Every address is 0, and what is written is lost. */
class CountingHeap extends WasmHeap {
  constructor() {
    super(new WebAssembly.Memory({ initial: 0 }), 0);
  }
  override alloc(bytes: number): number {
    this.used += allocatedBytes(bytes);
    return 0;
  }
  override zeros(bytes: number): number {
    return this.alloc(bytes);
  }
}

export function wasmSizes({ kernels, maxThreads, startBytes, exact }: ReturnType<WasmBackend['internals']>): PlanSizes {
  function runner(plan: Plan, options: CompileOptions): number {
    const heap = new CountingHeap();
    const addresses = { matrix: () => 0, vector: () => 0, int8: () => false };
    const pool = { size: maxThreads } as ThreadPool;
    createWasmRunner(plan, options, {
      heap,
      kernels,
      pool,
      addresses,
      weightBytes: () => 0,
      threads: 1,
      int16: !exact,
      check: () => undefined,
    });
    const { pageBytes } = lowerPlanToWasmOps(
      plan,
      options.prefillBatch,
      !exact,
      new CountingHeap(),
      kernels,
      addresses,
    );
    const pages = Math.ceil(options.contextLength / KV_PAGE_POSITIONS);
    return heap.used + (pages - 1) * allocatedBytes(pageBytes + 64); // every runner begins with one page
  }
  return {
    matrix: ({ cols, segments }) =>
      segments.reduce(
        (sum, { rows, dtype }) => sum + allocatedBytes(kernels.packed_size(DTYPES[dtype].ggml, rows, cols) >>> 0),
        allocatedBytes(WEIGHT.bytes * segments.length),
      ),
    vector: ({ length }) => allocatedBytes(4 * length + 16),
    empty: startBytes,
    runner,
  };
}
