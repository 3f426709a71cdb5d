/** The WASM backend: C kernels over one shared memory, on as many threads as make them faster. */
import { fail } from '../../errors';
import type { Matrix, Vector } from '../../model/ops';
import { DTYPES, rowBytes, type Dtype } from '../../tensor/dtype';
import { simpleRowBytes, simplify } from '../../tensor/nibbles';
import { ROW_SLICE_MULTIPLE, type Backend, type BackendInfo } from '../backend';
import { matricesOf, shareRead, type PlanNode } from '../plan';
import { setFasterAccumulatorWidth } from './accumulator_width';
import type { PagedMatrix } from './lower';
import { createWasmMemory, WasmHeap } from './memory';
import {
  instantiateKernels,
  KERNELS_32,
  kernelsFor,
  loadKernelModule,
  packedBytes,
  type KernelExports,
  type SimdVariant,
} from './module';
import { createWasmProgram } from './program';
import { ThreadPool, whyNoThreads } from './threads';

export interface WasmOptions {
  /** number of threads; by default the fastest of 1 … 8, as far as the device has them */
  threads?: number;
  /** by default the fastest that the browser supports */
  variant?: SimdVariant;
  /** keep activations, keys and values in f32 instead of int8 and int16: slower */
  exact?: boolean;
}

const MAX_THREADS = 8;
const STAGING_BYTES = 1 << 20;

/** A packed matrix: the address of its Weight structs, and the bytes of its data. */
interface PackedMatrix {
  address: number;
  bytes: number;
  /** of experts that are read when a token needs them */
  paged?: PagedMatrix;
}

/** Exists from the moment when the size of the model is known. */
interface WasmInstance {
  heap: WasmHeap;
  kernels: KernelExports;
  pool: ThreadPool;
  /** bytes in use before threads start and anything is loaded */
  startBytes: number;
  /** resolves when the threads run, to the reason if there are fewer than wanted */
  started: Promise<string | undefined>;
}

export interface WasmBackend extends Backend {
  /** for cost.ts */
  internals(): WasmInstance & { maxThreads: number; exact: boolean };
}

/** @throws DeviceError when the browser lacks WebAssembly SIMD */
export async function openWasmBackend({
  threads,
  variant: wanted,
  exact = false,
}: WasmOptions = {}): Promise<WasmBackend> {
  const obstacle = whyNoThreads();
  const maxThreads = obstacle ? 1 : Math.min(threads ?? navigator.hardwareConcurrency ?? 1, MAX_THREADS);
  const shared = maxThreads > 1;
  const { module, variant } = loadKernelModule(shared, wanted);
  const info: BackendInfo = { name: 'wasm', device: '', variant: exact ? `${variant} exact` : variant, notes: [] };
  const describeDevice = (n: number): void => {
    info.threads = n;
    info.device = `${variant === 'relaxed' ? 'relaxed SIMD' : 'SIMD'} × ${n}`;
  };
  describeDevice(maxThreads);
  if (obstacle && threads !== 1) info.notes.push(obstacle);
  if (!wanted && variant === 'simd')
    info.notes.push('This browser has no relaxed SIMD; the plain SIMD kernels are slower.');

  const matrices = new Map<Matrix, PackedMatrix>();
  const vectors = new Map<Vector, number>();
  let instance: WasmInstance | undefined;
  let disposed = false;
  let compiled = false; // a program: then the number of threads has been measured

  const check = (): void => {
    if (disposed) fail('DeviceError', { what: 'The WASM backend is closed', cure: 'Load the model again.' });
  };

  function start(bytes: number): WasmInstance {
    check();
    if (instance) return instance;
    const build = kernelsFor(bytes, variant);
    const memory = createWasmMemory(bytes, shared, build);
    const code = build === KERNELS_32 ? module : loadKernelModule(shared, variant, build.modules).module;
    if (code !== module) {
      info.variant += ' 64-bit';
      info.notes.push('The model does not fit in 4 GB: WASM uses 64-bit memory.');
    }
    const kernels = instantiateKernels(code, memory, build);
    const heap = new WasmHeap(memory, Number(kernels.__heap_base.value), build);
    setFasterAccumulatorWidth(kernels, heap);
    const startBytes = heap.used;
    const pool = new ThreadPool(kernels, heap);
    const started = pool.start(maxThreads, code);
    instance = { heap, kernels, pool, started, startBytes };
    return instance;
  }

  /** Allocates the Weight structs of a matrix, without data, and tells how many bytes each has. */
  function describe({ name, cols, segments }: Matrix): { weights: number; sizes: number[] } {
    const { heap, kernels } = start(0);
    const { WEIGHT } = heap.build.structs;
    const weights = heap.alloc(segments.length * WEIGHT.bytes, name);
    const sizes = segments.map(({ rows, dtype }, i) => {
      WEIGHT.write(heap, weights + i * WEIGHT.bytes, { format: DTYPES[dtype].ggml, rows, cols, data: 0 });
      return packedBytes(kernels, dtype, rows, cols);
    });
    return { weights, sizes };
  }

  /** Packs rows in checkpoint format into a Weight. */
  function pack(weight: number, dtype: Dtype, cols: number, part: { firstRow: number; bytes: Uint8Array }): void {
    const { heap, kernels } = start(0);
    const [row, staged] = [rowBytes(dtype, cols), simpleRowBytes(dtype, cols)];
    const count = part.bytes.length / row;
    const step = Math.max(Math.floor(STAGING_BYTES / staged / ROW_SLICE_MULTIPLE), 1) * ROW_SLICE_MULTIPLE;
    const staging = heap.alloc(Math.min(step, count) * staged, 'loading the weights');
    for (let first = 0; first < count; first += step) {
      const rows = Math.min(step, count - first);
      heap.u8.set(simplify(dtype, part.bytes.subarray(first * row, (first + rows) * row)), staging);
      kernels.pack(weight, staging, part.firstRow + first, rows);
    }
    heap.release(staging);
  }

  function dispose(): void {
    disposed = true;
    instance?.pool.stop();
    instance = undefined;
    matrices.clear();
    vectors.clear();
  }

  const weightBytes = (node: PlanNode): number =>
    shareRead(node) * matricesOf(node).reduce((sum, w) => sum + (matrices.get(w)?.bytes ?? 0), 0);

  return {
    info,
    limits: {
      prefillBatch: 64,
      pagedBatch: 256,
      decodesInFlight: 1,
      decodeSteps: 1,
      get memory() {
        return (instance?.heap.build ?? KERNELS_32).maxBytes;
      },
    },
    reserve: (bytes) => void start(bytes),

    matrix(spec) {
      const { heap } = start(0);
      const { WEIGHT } = heap.build.structs;
      const { weights, sizes } = describe(spec);
      const segments = spec.segments.map(({ rows, dtype }, i) => {
        WEIGHT.write(heap, weights + i * WEIGHT.bytes, { data: heap.alloc(sizes[i], spec.name) });
        return { rows, dtype, row: rowBytes(dtype, spec.cols), written: 0 };
      });
      return {
        write(index, firstRow, slice) {
          check();
          const segment = segments[index];
          const count = slice.byteLength / segment.row;
          if (
            firstRow !== segment.written ||
            !Number.isInteger(count) ||
            firstRow + count > segment.rows ||
            firstRow % ROW_SLICE_MULTIPLE
          )
            fail('CheckpointError', {
              what: `The rows of ${spec.segments[index].name} are not in order`,
              got: `${count} rows at ${firstRow}`,
              wanted: `rows from ${segment.written} on, ${segment.rows} in all`,
            });
          pack(weights + index * WEIGHT.bytes, segment.dtype, spec.cols, { firstRow, bytes: slice });
          segment.written += count;
        },
        finish() {
          check();
          segments.forEach(({ rows, written }, i) => {
            if (written !== rows)
              fail('CheckpointError', {
                what: `Rows of ${spec.segments[i].name} are missing`,
                got: written,
                wanted: rows,
              });
          });
          const handle: Matrix = { ...spec };
          matrices.set(handle, { address: weights, bytes: sizes.reduce((a, b) => a + b, 0) });
          return handle;
        },
      };
    },

    pagedMatrix(spec, read) {
      const { WEIGHT } = start(0).heap.build.structs;
      const { weights, sizes } = describe(spec);
      const handle: Matrix = { ...spec };
      const load: PagedMatrix['load'] = async (segment) => {
        let bytesRead = 0;
        await read(segment, (bytes) => {
          check();
          pack(weights + segment * WEIGHT.bytes, spec.segments[segment].dtype, spec.cols, { firstRow: 0, bytes });
          bytesRead = bytes.length;
        });
        return bytesRead;
      };
      matrices.set(handle, {
        address: weights,
        bytes: sizes.reduce((a, b) => a + b, 0),
        paged: { weights, bytes: sizes, load, packed: read.packed },
      });
      return handle;
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
      const { heap, kernels, pool, started } = start(0);
      const failure = await started;
      check();
      if (failure && !info.notes.includes(failure)) info.notes.push(failure);
      const known = <K extends { name: string }, W>(map: Map<K, W>, key: K): W =>
        map.get(key) ??
        fail('DeviceError', { what: `${key.name} is not in this backend`, cure: 'Load the model again.' });
      const fixedThreads = compiled || threads !== undefined ? pool.size : undefined;
      const program = await createWasmProgram(plan, options, {
        heap,
        kernels,
        pool,
        weightBytes,
        check,
        threads: fixedThreads,
        int16: !exact,
        at: {
          matrix: (m) => known(matrices, m).address,
          paged: (m) => known(matrices, m).paged,
          vector: (v) => known(vectors, v),
          int8: (m) => !exact && m.segments.some(({ dtype }) => kernels.takes_int8(DTYPES[dtype].ggml)),
        },
      });
      pool.keepOnly(program.threads);
      describeDevice(program.threads);
      compiled = true;
      return program;
    },

    memory: () => instance?.heap.used ?? 0,
    internals: () => ({ ...start(0), maxThreads, exact }),
    dispose,
  };
}
