/** The one WebAssembly.Memory of a backend: how large it may get, and who holds which part of it. */
import { fail } from '../../errors';

const PAGE = 65536;
const LIMIT = 2 ** 32;
const ALIGNMENT = 64;
const GROWTH = 4 << 20;

const MB = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;
const CURE = 'Take a smaller model, a smaller quantisation or a shorter context.';

/**
 * A memory for weights of `bytes`. A shared memory reserves its maximum when it is made, which phones refuse long before 4 GB: then less
 * is left for the context.
 * @throws MemoryError
 */
export function createMemory(bytes: number, shared: boolean): WebAssembly.Memory {
  if (bytes > LIMIT - (64 << 20)) fail('MemoryError', { what: 'The model does not fit in WebAssembly memory', got: MB(bytes), wanted: `less than ${MB(LIMIT)}`, cure: CURE });
  let cause: unknown;
  for (const headroom of [LIMIT, 2 ** 31, 2 ** 30, 2 ** 29, 2 ** 28]) {
    const maximum = Math.min(LIMIT, Math.ceil(bytes * 1.25) + headroom) / PAGE;
    const initial = Math.min(maximum, Math.ceil((bytes * 1.125 + 2 * GROWTH) / PAGE));
    try {
      return new WebAssembly.Memory({ initial, maximum: Math.floor(maximum), shared });
    } catch (error) {
      cause = error;
    }
  }
  fail('MemoryError', { what: 'The browser refuses the memory for the model', got: MB(bytes), cure: CURE }, cause);
}

interface Block {
  address: number;
  size: number;
}

/** First-fit allocation in a memory, from `base` on; it grows the memory. Blocks are few and large. */
export class Heap {
  private free: Block[];
  private readonly sizes = new Map<number, number>();
  private views: { buffer: ArrayBufferLike; u8: Uint8Array; u32: Uint32Array; f32: Float32Array; f64: Float64Array } | undefined;
  /** bytes handed out */
  used: number;
  /** nothing from here on was ever handed out: it is zero, and takes no real memory yet */
  private untouched: number;

  constructor(
    readonly memory: WebAssembly.Memory,
    base: number,
  ) {
    const start = align(base);
    this.used = this.untouched = start;
    this.free = [{ address: start, size: memory.buffer.byteLength - start }];
  }

  /** @throws MemoryError */
  alloc(bytes: number, what: string): number {
    const size = align(Math.max(bytes, 1));
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
    this.free = this.free.reduce<Block[]>((merged, b) => {
      const last = merged.at(-1);
      if (last && last.address + last.size === b.address) last.size += b.size;
      else merged.push(b);
      return merged;
    }, []);
  }

  // a growth replaces the buffer
  private get view(): NonNullable<typeof this.views> {
    const { buffer } = this.memory;
    if (this.views?.buffer !== buffer)
      this.views = { buffer, u8: new Uint8Array(buffer), u32: new Uint32Array(buffer), f32: new Float32Array(buffer), f64: new Float64Array(buffer) };
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
    const grow = (bytes: number): number => (this.memory.grow(Math.ceil(bytes / PAGE)), this.memory.buffer.byteLength - end);
    let grown: number;
    try {
      grown = grow(Math.max(missing, GROWTH));
    } catch {
      try {
        grown = grow(missing);
      } catch (error) {
        fail('MemoryError', { what: `There is no memory for ${what}`, got: `${MB(end)} in use and ${MB(missing)} more`, wanted: `less than ${MB(LIMIT)} and what the browser allows`, cure: CURE }, error);
      }
    }
    if (tail) tail.size += grown;
    else this.free.push({ address: end, size: grown });
  }
}

const align = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
