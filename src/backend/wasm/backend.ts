/** The WASM backend: C kernels over one memory, walked by as many threads as help. */
import { fail } from '../../errors';
import type { Matrix, Vector } from '../../model/ops';
import { DTYPES, rowBytes } from '../../tensor/dtype';
import { ROW_STEP, type Backend, type BackendInfo } from '../backend';
import type { Node } from '../plan';
import { chooseDots } from './dots';
import { createMemory, Heap } from './memory';
import { compileModule, instantiate, type Kernels, type Variant } from './module';
import { createRunner, type WasmRunner } from './runner';
import { Team, whyNoThreads } from './threads';

export interface WasmOptions {
  /** measured when absent, among 1 … 8 and what the device has */
  threads?: number;
  /** the best that the browser runs when absent */
  variant?: Variant;
  /** f32 activations, keys and values instead of int8 and int16 ones: slower */
  exact?: boolean;
}

const MOST_THREADS = 8;
const STAGING_BYTES = 1 << 20;
/** four words: format, rows, cols, address */
const WEIGHT_WORDS = 4;

interface Packed {
  address: number;
  bytes: number;
}

/** What exists once the size of the model is known. */
interface Machine {
  heap: Heap;
  kernels: Kernels;
  team: Team;
  started: Promise<string | undefined>;
}

/** @throws DeviceError when the browser lacks WebAssembly SIMD */
export async function openWasm({ threads, variant: wanted, exact = false }: WasmOptions = {}): Promise<Backend> {
  const obstacle = whyNoThreads();
  const most = obstacle ? 1 : Math.min(threads ?? navigator.hardwareConcurrency ?? 1, MOST_THREADS);
  const shared = most > 1;
  const { module, variant } = await compileModule(shared, wanted);
  const info: BackendInfo = { name: 'wasm', device: '', variant: exact ? `${variant} exact` : variant, notes: [] };
  const describeDevice = (n: number): void => {
    info.threads = n;
    info.device = `${variant === 'relaxed' ? 'relaxed SIMD' : 'SIMD'} × ${n}`;
  };
  describeDevice(most);
  if (obstacle && threads !== 1) info.notes.push(obstacle);
  if (!wanted && variant === 'simd') info.notes.push('Plain SIMD: this browser has no relaxed SIMD.');

  const matrices = new Map<Matrix, Packed>();
  const vectors = new Map<Vector, number>();
  const runners = new Set<WasmRunner>();
  let machine: Machine | undefined;
  let disposed = false;

  const check = (): void => {
    if (disposed) fail('DeviceError', { what: 'This backend is closed', cure: 'Load the model again.' });
  };

  function start(bytes: number): Machine {
    check();
    if (machine) return machine;
    const memory = createMemory(bytes, shared);
    const kernels = instantiate(module, memory);
    const heap = new Heap(memory, kernels.__heap_base.value as number);
    chooseDots(kernels, heap);
    const team = new Team(kernels, heap);
    machine = { heap, kernels, team, started: team.start(most, module) };
    return machine;
  }

  function dispose(): void {
    disposed = true;
    machine?.team.stop();
    machine = undefined;
    runners.clear();
    matrices.clear();
    vectors.clear();
  }

  const bytesOf = (node: Node): number => {
    const weights = node.op === 'linear' ? [node.w] : node.op === 'swiglu' ? [node.w1, node.w3] : node.op === 'embed' ? [node.table] : [];
    return weights.reduce((sum, w) => sum + (matrices.get(w)?.bytes ?? 0), 0);
  };

  return {
    info,
    reserve: (bytes) => void start(bytes),

    matrix(spec) {
      const { heap, kernels } = start(0);
      const weights = heap.alloc(spec.segments.length * WEIGHT_WORDS * 4, spec.name);
      let bytes = 0;
      const held = spec.segments.map(({ rows, dtype }, i) => {
        const format = DTYPES[dtype].ggml;
        const size = kernels.packed_size(format, rows, spec.cols) >>> 0;
        const data = heap.alloc(size, spec.name);
        heap.u32.set([format, rows, spec.cols, data], weights / 4 + i * WEIGHT_WORDS);
        bytes += size;
        return { rows, row: rowBytes(dtype, spec.cols), written: 0 };
      });
      return {
        write(index, firstRow, slice) {
          check();
          const segment = held[index];
          const count = slice.byteLength / segment.row;
          if (firstRow !== segment.written || !Number.isInteger(count) || firstRow + count > segment.rows || firstRow % ROW_STEP)
            fail('CheckpointError', { what: `Rows of ${spec.segments[index].name} do not follow each other`, got: `${count} rows at ${firstRow}`, wanted: `rows from ${segment.written} on, ${segment.rows} in all` });
          const staged = Math.max(Math.floor(STAGING_BYTES / segment.row / ROW_STEP), 1) * ROW_STEP;
          const staging = heap.alloc(Math.min(staged, count) * segment.row, 'loading');
          for (let row = 0; row < count; row += staged) {
            const rows = Math.min(staged, count - row);
            heap.u8.set(slice.subarray(row * segment.row, (row + rows) * segment.row), staging);
            kernels.pack(weights + index * WEIGHT_WORDS * 4, staging, firstRow + row, rows);
          }
          heap.release(staging);
          segment.written += count;
        },
        finish() {
          check();
          held.forEach(({ rows, written }, i) => {
            if (written !== rows) fail('CheckpointError', { what: `Rows of ${spec.segments[i].name} are missing`, got: written, wanted: rows });
          });
          const handle: Matrix = { ...spec };
          matrices.set(handle, { address: weights, bytes });
          return handle;
        },
      };
    },

    vector(name, values) {
      const { heap } = start(0);
      const address = heap.alloc(values.byteLength + 16, name);
      heap.f32.set(values, address / 4);
      const handle: Vector = { name, length: values.length };
      vectors.set(handle, address);
      return handle;
    },

    async compile(plan, options) {
      const { heap, kernels, team, started } = start(0);
      const failure = await started;
      check();
      if (failure && !info.notes.includes(failure)) info.notes.push(failure);
      const known = <K extends { name: string }, W>(map: Map<K, W>, key: K): W =>
        map.get(key) ?? fail('DeviceError', { what: `${key.name} was not loaded into this backend` });
      const fixed = runners.size > 0 || threads !== undefined ? team.size : undefined;
      const runner = createRunner(plan, options, {
        heap,
        kernels,
        team,
        bytesOf,
        check,
        threads: fixed,
        int16: !exact,
        addresses: {
          matrix: (m) => known(matrices, m).address,
          vector: (v) => known(vectors, v),
          int8: (m) => !exact && m.segments.some(({ dtype }) => kernels.takes_int8(DTYPES[dtype].ggml)),
        },
      });
      team.shrink(runner.threads);
      describeDevice(runner.threads);
      runners.add(runner);
      return runner;
    },

    memory: () => machine?.heap.used ?? 0,
    dispose,
  };
}
