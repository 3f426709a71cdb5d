/** The WebAssembly.Memory of a backend: its maximum size, and an allocator for it. */
import { fail } from '../../errors';
import { KERNELS_32, type KernelBuild } from './module';

const WASM_PAGE_BYTES = 65536;
const ALIGNMENT = 64;
const MIN_GROWTH = 4 << 20;

export const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;
const CURE = 'Use a smaller model, a smaller quantization or a shorter context.';

/**
 * Creates a memory for weights of `bytes`. A shared memory reserves its maximum at once, and phones refuse far less
 * than 4 GB: then it tries again with less room for the context.
 * @throws MemoryError
 */
export function createWasmMemory(bytes: number, shared: boolean, build: KernelBuild): WebAssembly.Memory {
  const { maxBytes, address, toWasm } = build;
  if (bytes > maxBytes - (64 << 20))
    fail('MemoryError', {
      what: 'The model does not fit in WebAssembly memory',
      got: megabytes(bytes),
      wanted: `less than ${megabytes(maxBytes)}${build === KERNELS_32 ? '; only 64-bit memory with relaxed SIMD has more' : ''}`,
      cure: CURE,
    });
  let cause: unknown;
  for (const headroom of [maxBytes, 2 ** 31, 2 ** 30, 2 ** 29, 2 ** 28]) {
    const maximum = Math.min(maxBytes, Math.ceil(bytes * 1.25) + headroom) / WASM_PAGE_BYTES;
    const initial = Math.min(maximum, Math.ceil((bytes * 1.125 + 2 * MIN_GROWTH) / WASM_PAGE_BYTES));
    try {
      const pages = { initial: toWasm(initial), maximum: toWasm(Math.floor(maximum)) };
      return new WebAssembly.Memory({ ...pages, address, shared } as WebAssembly.MemoryDescriptor);
    } catch (error) {
      cause = error;
    }
  }
  fail(
    'MemoryError',
    { what: 'The browser refused the memory for the model', got: megabytes(bytes), cure: CURE },
    cause,
  );
}

interface FreeBlock {
  address: number;
  size: number;
}

/** A first-fit allocator in a memory from the address `base` on; it grows the memory. Allocations are few and large. */
export class WasmHeap {
  private free: FreeBlock[];
  private readonly sizes = new Map<number, number>();
  private views:
    { buffer: ArrayBufferLike; u8: Uint8Array; u32: Uint32Array; f32: Float32Array; f64: Float64Array } | undefined;
  /** bytes that are allocated, including those below `base` */
  used: number;
  /** memory from here on was never allocated: it is zero, and the system has not provided it yet */
  private untouched: number;

  constructor(
    readonly memory: WebAssembly.Memory,
    base: number,
    readonly build: KernelBuild,
  ) {
    const start = align(base);
    this.used = this.untouched = start;
    this.free = [{ address: start, size: memory.buffer.byteLength - start }];
  }

  /** @throws MemoryError */
  alloc(bytes: number, what: string): number {
    const size = allocatedBytes(bytes);
    let block = this.free.find((b) => b.size >= size);
    if (!block) {
      this.grow(size, what);
      block = this.free[this.free.length - 1];
    }
    const { address } = block;
    block.address += size;
    block.size -= size;
    if (block.size === 0) this.free.splice(this.free.indexOf(block), 1);
    this.sizes.set(address, size);
    this.used += size;
    this.untouched = Math.max(this.untouched, address + size);
    return address;
  }

  /** As `alloc`, zeroed. */
  zeros(bytes: number, what: string): number {
    const { untouched } = this;
    const address = this.alloc(bytes, what);
    if (address < untouched) this.u8.fill(0, address, Math.min(address + bytes, untouched));
    return address;
  }

  release(address: number): void {
    const size = this.sizes.get(address);
    if (size === undefined) return;
    this.sizes.delete(address);
    this.used -= size;
    this.free.push({ address, size });
    this.free.sort((a, b) => a.address - b.address);
    this.free = this.free.reduce<FreeBlock[]>((merged, b) => {
      const last = merged.at(-1);
      if (last && last.address + last.size === b.address) last.size += b.size;
      else merged.push(b);
      return merged;
    }, []);
  }

  // the buffer changes when the memory grows
  private get view(): NonNullable<typeof this.views> {
    const { buffer } = this.memory;
    if (this.views?.buffer !== buffer)
      this.views = {
        buffer,
        u8: new Uint8Array(buffer),
        u32: new Uint32Array(buffer),
        f32: new Float32Array(buffer),
        f64: new Float64Array(buffer),
      };
    return this.views;
  }

  get u8(): Uint8Array {
    return this.view.u8;
  }
  /** index is address / 4 */
  get u32(): Uint32Array {
    return this.view.u32;
  }
  get f32(): Float32Array {
    return this.view.f32;
  }
  /** index is address / 8 */
  get f64(): Float64Array {
    return this.view.f64;
  }

  private grow(size: number, what: string): void {
    const end = this.memory.buffer.byteLength;
    const last = this.free.at(-1);
    const tail = last && last.address + last.size === end ? last : undefined;
    const missing = size - (tail?.size ?? 0);
    const grow = (bytes: number): number => (
      this.memory.grow(this.build.toWasm(Math.ceil(bytes / WASM_PAGE_BYTES)) as number),
      this.memory.buffer.byteLength - end
    );
    let grown: number;
    try {
      grown = grow(Math.max(missing, MIN_GROWTH));
    } catch {
      try {
        grown = grow(missing);
      } catch (error) {
        fail(
          'MemoryError',
          {
            what: `There is no WASM memory for ${what}`,
            got: `${megabytes(end)} in use and ${megabytes(missing)} more`,
            wanted: `less than ${megabytes(this.build.maxBytes)} and as much as the browser allows`,
            cure: CURE,
          },
          error,
        );
      }
    }
    if (tail) tail.size += grown;
    else this.free.push({ address: end, size: grown });
  }
}

/** Allocations that are released together. */
export class HeapScope {
  /** what they take */
  bytes = 0;
  private readonly addresses = new Set<number>();

  constructor(private readonly heap: WasmHeap) {}

  /** Zeroed memory. @throws MemoryError */
  alloc(bytes: number, what: string): number {
    const { used } = this.heap;
    const address = this.heap.zeros(bytes, what);
    this.addresses.add(address);
    this.bytes += this.heap.used - used;
    return address;
  }

  release(address: number): void {
    if (!this.addresses.delete(address)) return;
    const { used } = this.heap;
    this.heap.release(address);
    this.bytes += this.heap.used - used;
  }

  dispose(): void {
    for (const address of this.addresses) this.release(address);
  }
}

const align = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** What `alloc` takes for so many bytes. */
export const allocatedBytes = (bytes: number): number => align(Math.max(bytes, 1));
