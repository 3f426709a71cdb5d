import { expect, test } from 'vitest';
import type { BackendInfo } from '../../../src/index';
import { whereItRuns } from './where_it_runs';

const wasm = (threads: number, ...notes: string[]): BackendInfo => ({
  name: 'wasm',
  device: 'relaxed-simd',
  variant: 'relaxed',
  threads,
  notes,
});

test.each<[BackendInfo, 'address' | 'settings' | undefined, string]>([
  [
    { ...wasm(1), name: 'webgpu', device: 'apple m3' },
    undefined,
    'Runs on the GPU (apple m3), because this browser has WebGPU',
  ],
  [
    { ...wasm(1), name: 'webgpu', device: 'apple m3' },
    'settings',
    'Runs on the GPU (apple m3), because it is chosen in Settings',
  ],
  [wasm(2), 'address', 'Runs on the CPU with 2 threads, because the page’s address asks for it'],
  [
    wasm(2, 'WebGPU: This browser has no WebGPU. Use a browser with WebGPU, or the WASM backend.'),
    undefined,
    'Runs on the CPU with 2 threads, because this browser has no WebGPU',
  ],
  [
    wasm(1, 'WebGPU: WebGPU needs https or localhost. Serve the page over https, or use the WASM backend.'),
    undefined,
    'Runs on the CPU with 1 thread, because WebGPU needs https or localhost',
  ],
  [
    wasm(4, 'WebGPU: The browser found no WebGPU adapter. Update the graphics driver, or use the WASM backend.'),
    undefined,
    'Runs on the CPU with 4 threads, because the browser found no usable GPU',
  ],
  [
    wasm(
      4,
      'WebGPU: Only a software adapter is available for WebGPU: got swiftshader, wanted a GPU. Use the WASM backend, which is faster.',
    ),
    undefined,
    'Runs on the CPU with 4 threads, because the only GPU that the browser offers is emulated, which is slower',
  ],
  [
    wasm(4, 'WebGPU: The GPU device was lost: got unknown.'),
    undefined,
    'Runs on the CPU with 4 threads, because the GPU was lost',
  ],
  [
    wasm(4, 'WebGPU: This GPU failed the self test: got matvec.'),
    undefined,
    'Runs on the CPU with 4 threads, because the GPU computed wrong results in a test',
  ],
  [wasm(4, 'WebGPU: something new.'), undefined, 'Runs on the CPU with 4 threads, because WebGPU does not work here'],
  [
    wasm(1, 'WASM runs on one thread: the page is not cross-origin isolated.'),
    undefined,
    'Runs on the CPU with 1 thread',
  ],
])('%o by %s', (backend, chosenBy, wanted) => expect(whereItRuns(backend, chosenBy)).toBe(wanted));
