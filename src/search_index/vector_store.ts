/** The vectors of an index in WASM memory, as int8 with a scale each, and exact MaxSim over them. */
import { wasm } from 'virtual:rivulet-max-sim';
import { fail } from '../errors';

interface Kernel {
  memory: WebAssembly.Memory;
  __heap_base: WebAssembly.Global;
  /** @param search the address of a Search (kernels/max_sim.c) */
  max_sim(search: number): void;
}

/** Vectors rounded to 127 steps of the largest number of each. */
export interface PackedVectors {
  /** [n, width] */
  bytes: Int8Array<ArrayBuffer>;
  /** [n] */
  scales: Float32Array<ArrayBuffer>;
}

export interface VectorStore {
  /** numbers of a vector in memory, a multiple of 16 */
  readonly width: number;
  /** vectors that belong to documents, and bytes of memory */
  readonly vectors: number;
  readonly bytes: number;
  has(id: string): boolean;
  ids(): IterableIterator<string>;
  /** Replaces the vectors of a document. @throws MemoryError */
  set(id: string, packed: PackedVectors): void;
  delete(id: string): void;
  packed(id: string): PackedVectors;
  /** The MaxSim of a query, [n, size] of floats, with each of these documents. */
  scores(query: Float32Array, ids: readonly string[]): Float32Array;
}

/** 14 bits with the sign: sums of MAX_SIZE products with 8 bits fit into 32. */
const QUERY_STEPS = 8191;
/** numbers of a vector */
export const MAX_SIZE = 2048;
const PAGE = 65_536;
/** of the struct with which the kernel is called */
const SEARCH_BYTES = 64;
/** The part of the memory that may be dead before it is packed again. */
const DEAD_SHARE = 0.25;

export const widthOf = (size: number): number => Math.ceil(size / 16) * 16;

/** Rounds vectors [n, size]. A vector with a number that is none becomes zero. */
export function packVectors(vectors: Float32Array, size: number): PackedVectors {
  const [n, width] = [vectors.length / size, widthOf(size)];
  const bytes = new Int8Array(n * width);
  const scales = new Float32Array(n);
  for (let v = 0; v < n; v++) {
    let most = 0;
    for (let i = 0; i < size; i++) most = Math.max(most, Math.abs(vectors[v * size + i]));
    if (!(most > 1e-30 && most < Infinity)) continue;
    scales[v] = most / 127;
    for (let i = 0; i < size; i++) bytes[v * width + i] = Math.round((vectors[v * size + i] / most) * 127);
  }
  return { bytes, scales };
}

interface Place {
  first: number;
  end: number;
}

/** @param size numbers of a vector, at most 2048. @throws MemoryError */
export async function createVectorStore(size: number): Promise<VectorStore> {
  const { instance } = (await WebAssembly.instantiate(
    Uint8Array.from(atob(wasm), (c) => c.charCodeAt(0)),
  )) as unknown as { instance: { exports: Kernel } };
  if (size > MAX_SIZE)
    fail('RequestError', { what: 'The vectors are too long for an index', got: size, wanted: `at most ${MAX_SIZE}` });
  const { memory, __heap_base: heap, max_sim: maxSim } = instance.exports;
  const width = widthOf(size);
  const base = Math.ceil(Number(heap.value) / 64) * 64;
  const places = new Map<string, Place>();
  /** vectors that there is room for, and that are in use or dead */
  let [room, used, alive] = [0, 0, 0];

  // vectors, scales, then what a search needs
  const scalesAt = (): number => base + room * width;
  const scratchAt = (): number => scalesAt() + room * 4;

  function grow(bytes: number): void {
    const missing = Math.ceil((bytes - memory.buffer.byteLength) / PAGE);
    if (missing <= 0) return;
    try {
      memory.grow(missing);
    } catch (cause) {
      fail('MemoryError', { what: 'The index does not fit into memory', got: `${bytes} bytes` }, cause);
    }
  }

  function reserve(vectors: number): void {
    if (vectors <= room) return;
    const next = Math.max(vectors, Math.ceil(room * 1.25), 1024);
    grow(base + next * (width + 4));
    const before = scalesAt();
    room = next;
    new Uint8Array(memory.buffer).copyWithin(scalesAt(), before, before + used * 4);
  }

  /** Moves what is alive together, in its order. */
  function compact(): void {
    const all = new Uint8Array(memory.buffer);
    const scales = scalesAt();
    let to = 0;
    for (const place of [...places.values()].sort((a, b) => a.first - b.first)) {
      const { first, end } = place;
      all.copyWithin(base + to * width, base + first * width, base + end * width);
      all.copyWithin(scales + to * 4, scales + first * 4, scales + end * 4);
      Object.assign(place, { first: to, end: to + end - first });
      to += end - first;
    }
    used = to;
  }

  function remove(id: string): void {
    const place = places.get(id);
    if (!place) return;
    places.delete(id);
    alive -= place.end - place.first;
    if (used - alive > 4096 && used - alive > DEAD_SHARE * used) compact();
  }

  return {
    width,
    get vectors() {
      return alive;
    },
    get bytes() {
      return memory.buffer.byteLength;
    },
    has: (id) => places.has(id),
    ids: () => places.keys(),
    set(id, { bytes, scales }) {
      remove(id);
      reserve(used + scales.length);
      new Int8Array(memory.buffer).set(bytes, base + used * width);
      new Float32Array(memory.buffer).set(scales, (scalesAt() + used * 4) / 4);
      places.set(id, { first: used, end: used + scales.length });
      used += scales.length;
      alive += scales.length;
    },
    delete: remove,
    packed(id) {
      const { first, end } = places.get(id)!;
      const scales = (scalesAt() + first * 4) / 4;
      return {
        bytes: new Int8Array(memory.buffer).slice(base + first * width, base + end * width),
        scales: new Float32Array(memory.buffer).slice(scales, scales + end - first),
      };
    },
    scores(query, ids) {
      const count = Math.ceil(query.length / size / 4) * 4;
      const search = scratchAt();
      const queries = search + SEARCH_BYTES;
      const queryScales = queries + count * width * 2;
      const ranges = queryScales + count * 4;
      const scores = ranges + ids.length * 8;
      grow(scores + ids.length * 4);
      const rows = new Int16Array(memory.buffer, queries, count * width).fill(0);
      const factors = new Float32Array(memory.buffer, queryScales, count).fill(0);
      for (let q = 0; q * size < query.length; q++) {
        const own = query.subarray(q * size, (q + 1) * size);
        const most = own.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
        if (!(most > 1e-30)) continue;
        factors[q] = most / QUERY_STEPS;
        own.forEach((v, i) => (rows[q * width + i] = Math.round((v / most) * QUERY_STEPS)));
      }
      const u32 = new Uint32Array(memory.buffer, ranges, 2 * ids.length);
      ids.forEach((id, i) => {
        const { first, end } = places.get(id)!;
        u32[2 * i] = first;
        u32[2 * i + 1] = end;
      });
      const fields = [ranges, ids.length, base, scalesAt(), queries, queryScales, count, width, scores];
      new Uint32Array(memory.buffer, search, fields.length).set(fields);
      maxSim(search);
      return new Float32Array(memory.buffer, scores, ids.length).slice();
    },
  };
}
