/** Loads the compiled kernels: selects the variant that the browser supports, and instantiates it over a memory. */
import { modules } from 'virtual:rivulet-kernels';
import { fail, RivuletError } from '../../errors';
import { DTYPES, type Dtype } from '../../tensor/dtype';
import { ROW_SLICE_MULTIPLE } from '../backend';
import { createUnpacker, fromBase64 } from '../unpack';
import { STRUCTS, type KernelStructs } from './structs';

/** The instruction set of the kernels: plain WASM SIMD, or with relaxed SIMD. */
export type SimdVariant = 'simd' | 'relaxed';

/** Both modules in the form of the bundle (kernels/build.ts), the relaxed one first, and the bytes of each. */
export interface PackedKernels {
  text: string;
  /** 0: there is none */
  simd: number;
  relaxed: number;
}

/** The exports of the kernels (kernels/interpreter.c). Addresses are in bytes. */
export interface KernelExports {
  __heap_base: WebAssembly.Global;
  step(pool: number, threads: number): void;
  pack(weight: number, source: number, firstRow: number, rows: number): void;
  packed_size(format: number, rows: number, cols: number): number;
  quantized_size(T: number, cols: number): number;
  takes_int8(format: number): number;
  attention_size(heads: number, kvHeads: number, headDim: number): number;
  /** relaxed SIMD only: runs `count` tiles for accumulator_width.ts */
  time_tiles?(int16: number, panel: number, x: number, y: number, count: number): void;
  /** relaxed SIMD only: sets the accumulator width for all threads */
  use_int16_sums?(yes: number): void;
  /** of encoders: rounds packed floats to Q8_0 in their place; 0 if it cannot, or for other formats */
  round_to_q8?(weight: number): number;
  /** of encoders: scratch of a thread for attention in int8 within so many rows */
  within_bytes?(rows: number, headDim: number): number;
}

/** The kernels for memory of 32 or of 64 bits, and all that differs between these. */
export interface KernelBuild {
  modules: PackedKernels;
  structs: KernelStructs;
  /** most bytes of a memory */
  maxBytes: number;
  /** the type of addresses, for the constructor of a memory */
  address: 'i32' | 'i64';
  /** an address, or a number of pages, as the browser's interface to WebAssembly takes it */
  toWasm(value: number): number | bigint;
  /** the exports, with addresses as numbers */
  wrap(exports: KernelExports): KernelExports;
}

export const KERNELS_32: KernelBuild = {
  modules,
  structs: STRUCTS,
  maxBytes: 2 ** 32,
  address: 'i32',
  toWasm: (value) => value,
  wrap: (exports) => exports,
};

/** Backends that are opened later run the kernels of a side file, which has the engine's ops, too. */
export const registerKernels = (kernels: Partial<PackedKernels>): void => void Object.assign(modules, kernels);

let kernels64: KernelBuild | undefined;

/** Backends that are opened later can run models that do not fit into 32-bit memory. */
export const registerKernels64 = (kernels: KernelBuild): void => void (kernels64 = kernels);

/** what 32-bit memory must have beside the weights: else the model gets 64-bit memory, where the browser has it */
const LEAST_ROOM = 256 << 20;

function hasMemory64(): boolean {
  try {
    return !!new WebAssembly.Memory({ address: 'i64', initial: 0n } as never);
  } catch {
    return false;
  }
}

/**
 * The kernels for weights of so many bytes. Those for 64-bit memory come in one variant.
 * @throws SourceError with `sideFiles`, from which the page knows what this worker lacks
 */
export function kernelsFor(bytes: number, variant: SimdVariant): KernelBuild {
  if (bytes <= KERNELS_32.maxBytes - LEAST_ROOM || variant !== 'relaxed' || !hasMemory64()) return KERNELS_32;
  if (kernels64) return kernels64;
  // `load` gets the file; a model that comes here while it is used, when its GPU is lost, shows the cure
  const cure = "Load the model again, with backend 'wasm'.";
  const error = new RivuletError('SourceError', { what: 'The model needs the kernels for 64-bit memory', cure });
  throw Object.assign(error, { sideFiles: ['memory64'] });
}

/** Compiles the variant `wanted`, or the fastest one that the browser supports. @throws DeviceError */
export function loadKernelModule(
  shared: boolean,
  wanted?: SimdVariant,
  { text, relaxed, simd } = modules,
): { module: WebAssembly.Module; variant: SimdVariant } {
  const unpack = createUnpacker(fromBase64(text), relaxed + simd);
  for (const variant of wanted ? [wanted] : (['relaxed', 'simd'] as const)) {
    const bytes = variant === 'relaxed' ? unpack(0, relaxed) : unpack(relaxed, relaxed + simd);
    if (!shared) unshareMemory(bytes);
    if (WebAssembly.validate(bytes)) return { module: compile(bytes), variant };
  }
  fail('DeviceError', {
    what: 'This browser cannot run the WASM kernels',
    wanted: wanted === 'relaxed' ? 'relaxed SIMD' : 'WebAssembly SIMD with atomics',
    cure: wanted === 'relaxed' ? "Use the variant 'simd'." : 'Update the browser.',
  });
}

/**
 * A module that is valid and does not compile is one that the page's policy forbids; browsers say so in many ways.
 * @throws DeviceError
 */
function compile(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  try {
    return new WebAssembly.Module(bytes);
  } catch (cause) {
    return fail(
      'DeviceError',
      {
        what: 'The WASM kernels do not compile',
        got: String(cause).slice(0, 80),
        cure: "A Content Security Policy must allow script-src 'wasm-unsafe-eval'.",
      },
      cause,
    );
  }
}

export const instantiateKernels = (
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  { wrap }: KernelBuild = KERNELS_32,
): KernelExports =>
  wrap(
    new WebAssembly.Instance(module, { env: { memory, now: () => performance.now() } })
      .exports as unknown as KernelExports,
  );

/** Bytes of a packed matrix. The kernels count in 32 bits, so they are asked for a part of it. */
export function packedBytes({ packed_size }: KernelExports, dtype: Dtype, rows: number, cols: number): number {
  const { ggml } = DTYPES[dtype];
  const rest = rows % ROW_SLICE_MULTIPLE;
  const part = packed_size(ggml, ROW_SLICE_MULTIPLE, cols);
  return ((rows - rest) / ROW_SLICE_MULTIPLE) * part + packed_size(ggml, rest, cols);
}

const IMPORT_SECTION = 2;
const [FUNCTION, MEMORY] = [0, 2];
const SHARED = 2;

/**
 * Clears the shared flag of the memory import: without threads the memory is not shared. Atomic instructions work on
 * any memory.
 */
function unshareMemory(wasm: Uint8Array): void {
  let at = 8;
  const leb = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = wasm[at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
  };
  for (let section = wasm[at++], size = leb(); section !== IMPORT_SECTION; section = wasm[at++], size = leb())
    at += size;
  for (let imports = leb(); imports > 0; imports--) {
    for (let name = 0; name < 2; name++) {
      const length = leb();
      at += length;
    }
    const kind = wasm[at++];
    if (kind === MEMORY) return void (wasm[at] &= ~SHARED);
    if (kind !== FUNCTION) throw new Error(`the kernels import something of kind ${kind}`);
    leb();
  }
}
