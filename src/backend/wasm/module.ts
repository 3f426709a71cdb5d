/** The compiled kernels: which variant this engine can run, and how they become an instance over a memory. */
import { relaxed, simd } from 'virtual:rivulet-kernels';
import { fail } from '../../errors';

export type Variant = 'simd' | 'relaxed';

/** What the kernels export (kernels/walk.c). Addresses are bytes; results are signed, `>>> 0` makes them addresses. */
export interface Kernels {
  __heap_base: WebAssembly.Global;
  step(team: number, threads: number): void;
  pack(weight: number, source: number, firstRow: number, rows: number): void;
  packed_size(format: number, rows: number, cols: number): number;
  quantized_size(T: number, cols: number): number;
  takes_int8(format: number): number;
  attention_size(op: number): number;
  /** Of relaxed SIMD alone, see dots.ts. */
  try_tiles?(brief: number, panel: number, x: number, y: number, count: number): void;
  /** The same, for all threads. */
  sum_briefly?(yes: number): void;
}

/** Compiles the best variant that the engine validates, or the one asked for. @throws DeviceError */
export async function compileModule(shared: boolean, wanted?: Variant): Promise<{ module: WebAssembly.Module; variant: Variant }> {
  for (const variant of wanted ? [wanted] : (['relaxed', 'simd'] as const)) {
    const bytes = await inflate(variant === 'relaxed' ? relaxed : simd);
    if (!shared) unshareMemory(bytes);
    if (WebAssembly.validate(bytes)) return { module: new WebAssembly.Module(bytes), variant };
  }
  fail('DeviceError', {
    what: 'This browser cannot run the WASM kernels',
    wanted: wanted === 'relaxed' ? 'relaxed SIMD' : 'WebAssembly SIMD with atomics',
    cure: wanted === 'relaxed' ? "Take the variant 'simd'." : 'Update the browser.',
  });
}

/** Base64 of raw deflate, as the bundle holds a module (kernels/build.ts). */
async function inflate(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Uint8Array(await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw'))).arrayBuffer());
}

export const instantiate = (module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels =>
  new WebAssembly.Instance(module, { env: { memory, now: () => performance.now() } }).exports as unknown as Kernels;

const IMPORT_SECTION = 2;
const [FUNCTION, MEMORY] = [0, 2];
const [HAS_MAXIMUM, SHARED] = [1, 2];

/** The modules import a shared memory; without threads the import must not say so. Atomic instructions may work on any memory. */
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
  for (let section = wasm[at++], size = leb(); section !== IMPORT_SECTION; section = wasm[at++], size = leb()) at += size;
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
