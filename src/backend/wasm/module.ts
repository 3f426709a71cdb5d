/** Loads the compiled kernels: selects the variant that the browser supports, and instantiates it over a memory. */
import { modules } from 'virtual:rivulet-kernels';
import { fail } from '../../errors';
import { createUnpacker, fromBase64 } from '../unpack';

/** The instruction set of the kernels: plain WASM SIMD, or with relaxed SIMD. */
export type SimdVariant = 'simd' | 'relaxed';

/** Both modules in the form of the bundle (kernels/build.ts), the relaxed one first, and the bytes of each. */
export interface PackedKernels {
  text: string;
  simd: number;
  relaxed: number;
}

/**
 * The exports of the kernels (kernels/interpreter.c). Addresses are in bytes. Results are signed; `>>> 0` makes an
 * address of them.
 */
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
}

/** Backends that are opened later run the kernels of a side file, which has the engine's ops, too. */
export const registerKernels = (kernels: Partial<PackedKernels>): void => void Object.assign(modules, kernels);

/** Compiles the variant `wanted`, or the fastest one that the browser supports. @throws DeviceError */
export function loadKernelModule(
  shared: boolean,
  wanted?: SimdVariant,
): { module: WebAssembly.Module; variant: SimdVariant } {
  const { text, relaxed, simd } = modules;
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

export const instantiateKernels = (module: WebAssembly.Module, memory: WebAssembly.Memory): KernelExports =>
  new WebAssembly.Instance(module, { env: { memory, now: () => performance.now() } })
    .exports as unknown as KernelExports;

const IMPORT_SECTION = 2;
const [FUNCTION, MEMORY] = [0, 2];
const [HAS_MAXIMUM, SHARED] = [1, 2];

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
    if (kind === MEMORY && wasm[at] === (HAS_MAXIMUM | SHARED)) wasm[at] = HAS_MAXIMUM;
    else if (kind !== FUNCTION) throw new Error(`the kernels import something of kind ${kind}`);
    if (kind === MEMORY) return;
    leb();
  }
}
