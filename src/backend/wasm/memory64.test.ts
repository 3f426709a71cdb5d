/** 64-bit memory as far as Node shows it: e2e/conformance.spec.ts and e2e/memory64.spec.ts run it in browsers. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { kernelDeclarations, packKernels } from './kernels/build';
import { createWasmMemory, WasmHeap } from './memory';
import { KERNELS_64 } from './memory64';
import { instantiateKernels, KERNELS_32, kernelsFor, loadKernelModule, packedBytes } from './module';

afterEach(() => void vi.unstubAllGlobals());

/** A memory of either width: it takes what browsers take, has no bytes, and refuses to grow above `most` pages. */
const fakeMemory = (most = Infinity) =>
  class {
    buffer = { byteLength: 0 };
    constructor(readonly descriptor: { address?: string; initial: bigint | number; maximum?: bigint | number }) {
      const type = descriptor.address === 'i64' ? 'bigint' : 'number';
      if (typeof descriptor.initial !== type) throw new TypeError(`initial is no ${type}`);
      this.grow(descriptor.initial);
    }
    grow(pages: bigint | number): void {
      if (typeof pages !== typeof this.descriptor.initial) throw new TypeError('pages of another type');
      const next = this.buffer.byteLength + Number(pages) * 65536;
      if (next > most * 65536) throw new RangeError('no more memory');
      this.buffer = { byteLength: next };
    }
  };
const stub = (Memory: unknown): void => void vi.stubGlobal('WebAssembly', { ...WebAssembly, Memory });

describe('the width of the memory', () => {
  const MODEL = 4.7e9;

  it('is 32 bits as long as there is room for states beside the weights', () => {
    stub(fakeMemory());
    for (const bytes of [0, 1e9, 2 ** 32 - 2 ** 28]) expect(kernelsFor(bytes, 'relaxed')).toBe(KERNELS_32);
  });

  it('is 64 bits above that: the error names the side file for the page, and the cure for people', () => {
    stub(fakeMemory());
    expect(() => kernelsFor(MODEL, 'relaxed')).toThrow(
      expect.objectContaining({ name: 'SourceError', sideFiles: ['memory64'], cure: expect.stringMatching(/'wasm'/) }),
    );
  });

  it.each([
    ['plain SIMD', 'simd', fakeMemory()],
    [
      'a browser without it',
      'relaxed',
      class {
        constructor() {
          throw new TypeError('a BigInt is no number');
        }
      },
    ],
  ] as const)('is 32 bits for %s, and the model is refused with the reason', (_, variant, Memory) => {
    stub(Memory);
    expect(kernelsFor(MODEL, variant)).toBe(KERNELS_32);
    expect(() => createWasmMemory(MODEL, true, KERNELS_32)).toThrow(
      expect.objectContaining({ name: 'MemoryError', message: expect.stringMatching(/4700 MB.*only 64-bit memory/) }),
    );
  });
});

describe('a memory of 64 bits', () => {
  it('has at most the 16 GiB that Chromium takes; a larger model is refused', () => {
    stub(fakeMemory());
    const { descriptor } = createWasmMemory(12e9, true, KERNELS_64) as never as InstanceType<
      ReturnType<typeof fakeMemory>
    >;
    expect(descriptor).toMatchObject({ address: 'i64', maximum: 262144n, shared: true });
    expect(() => createWasmMemory(17.2e9, true, KERNELS_64)).toThrow(/17200 MB, wanted less than 17180 MB\. Use/);
  });

  it('that the browser refuses, or that grows no further, is a MemoryError with a cure', () => {
    stub(fakeMemory(100_000));
    const refused = { name: 'MemoryError', cure: expect.stringMatching(/smaller/) };
    expect(() => createWasmMemory(8e9, true, KERNELS_64)).toThrow(expect.objectContaining(refused));
    const memory = createWasmMemory(5e9, true, KERNELS_64);
    const heap = new WasmHeap(memory, 1024, KERNELS_64);
    expect(heap.alloc(5e9, 'the first')).toBe(1024);
    expect(heap.alloc(1e9, 'the second')).toBe(5_000_001_024);
    expect(() => heap.alloc(1e9, 'the third')).toThrow(expect.objectContaining(refused));
    expect(() => heap.alloc(1e9, 'the third')).toThrow(/memory for the third.*17180 MB/);
  });
});

describe('the kernels for it', () => {
  it('come in the relaxed variant, with the layout of pointers of 8 bytes', async () => {
    expect(await packKernels('memory64')).toEqual(KERNELS_64.modules);
    expect(KERNELS_64.modules.simd).toBe(0);
    for (const [name, { bytes }] of kernelDeclarations(8).structs)
      expect(KERNELS_64.structs[name.replace(/(?!^)[A-Z]/g, '_$&').toUpperCase() as 'OP'].bytes, name).toBe(bytes);
  });

  it('get addresses as BigInt, and all else as numbers', () => {
    const calls: unknown[][] = [];
    const record = (...values: unknown[]): void => void calls.push(values);
    const exports = { step: record, pack: record, time_tiles: record, packed_size: record } as never;
    const kernels = KERNELS_64.wrap(exports);
    kernels.step(2 ** 33, 2);
    kernels.pack(1, 2 ** 40, 3, 4);
    kernels.time_tiles!(1, 2, 3, 4, 5);
    kernels.packed_size(1, 2, 3);
    expect(calls).toEqual([
      [2n ** 33n, 2],
      [1n, 2n ** 40n, 3, 4],
      [1, 2n, 3n, 4n, 5],
      [1, 2, 3],
    ]);
  });
});

it('the bytes of a packed matrix are those that the kernels tell, and right above 4 GiB', () => {
  const { module } = loadKernelModule(false, 'simd');
  const kernels = instantiateKernels(module, new WebAssembly.Memory({ initial: 16, maximum: 16 }));
  for (const rows of [0, 1, 8, 15, 16, 17, 31, 4096])
    expect(packedBytes(kernels, 'Q4_0', rows, 256), `${rows} rows`).toBe(kernels.packed_size(2, rows, 256));
  expect(packedBytes(kernels, 'F32', 2 ** 20 + 3, 2048)).toBe((2 ** 20 + 8) * 2048 * 4);
});
