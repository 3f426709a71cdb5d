/** The side file `memory64`: kernels for 64-bit memory. */
import { KERNELS_64 } from '../backend/wasm/memory64';
import { registerKernels64 } from '../backend/wasm/module';

registerKernels64(KERNELS_64);
