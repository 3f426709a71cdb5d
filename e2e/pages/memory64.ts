/** The WASM backend with 64-bit memory for models of any size, on addresses that need more than 32 bits. */
import { openWasmBackend, type WasmBackend, type WasmOptions } from '../../src/backend/wasm/backend';
import { KERNELS_64 } from '../../src/backend/wasm/memory64';
import { registerKernels64 } from '../../src/backend/wasm/module';

const FIRST_ADDRESS = 2 ** 32;
/** bytes behind the kernels' own memory; models of tests are seldom larger */
const WATCHED_BYTES = 8 << 20;

/** where the kernels' own memory ends, by backend */
const ends = new WeakMap<object, number>();

/** The heap begins at 4 GiB: nothing is written below, but by an address that lost its upper bits. */
export async function openAbove4GiB(options: WasmOptions): Promise<WasmBackend> {
  let end = 0;
  registerKernels64({
    ...KERNELS_64,
    wrap(exports) {
      end = Number(exports.__heap_base.value);
      const base = { value: FIRST_ADDRESS } as WebAssembly.Global;
      return { ...KERNELS_64.wrap(exports), __heap_base: base };
    },
  });
  const backend = await openWasmBackend(options);
  await backend.reserve(FIRST_ADDRESS);
  registerKernels64(KERNELS_64);
  if (backend.internals().heap.build.address !== 'i64') throw new Error('the backend has no 64-bit memory');
  ends.set(backend, end);
  return backend;
}

/** @throws Error if a backend that `openAbove4GiB` opened has written below */
export function checkAbove4GiB(backend: object): void {
  const end = ends.get(backend);
  if (end === undefined) return;
  const { u32 } = (backend as WasmBackend).internals().heap;
  const at = u32.subarray(end / 4, (end + WATCHED_BYTES) / 4).findIndex((word) => word !== 0);
  if (at >= 0) throw new Error(`an address lost its upper bits: ${end + 4 * at} was written`);
}
