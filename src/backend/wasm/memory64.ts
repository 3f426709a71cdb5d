/** The kernels for 64-bit memory: models that do not fit into 4 GiB. They are in the side file `memory64`. */
import { modules, Op, Page, Plan, Sampling, ThreadPool, Weight } from 'virtual:rivulet-kernels/memory64';
import type { KernelBuild, KernelExports } from './module';
import { kernelStructs } from './structs';

type Call = (...values: unknown[]) => unknown;

/** which arguments of an export are addresses; the browser takes these as BigInt */
const ADDRESSES: Record<string, number[]> = { step: [0], pack: [0, 1], time_tiles: [1, 2, 3], round_to_q8: [0] };

export const KERNELS_64: KernelBuild = {
  modules,
  structs: kernelStructs({ Op, Page, Plan, Sampling, ThreadPool, Weight }),
  maxBytes: 2 ** 34, // the most that Chromium takes
  address: 'i64',
  toWasm: BigInt,
  wrap(exports) {
    const wrapped: Record<string, unknown> = { ...exports };
    for (const [name, places] of Object.entries(ADDRESSES)) {
      const call = wrapped[name] as Call;
      wrapped[name] = (...values: number[]) => call(...values.map((v, i) => (places.includes(i) ? BigInt(v) : v)));
    }
    return wrapped as unknown as KernelExports;
  },
};
