/**
 * Experts of a model that is larger than its memory budget: they lie in frames of the heap, each with W1, W3 and W2 of
 * one expert of one layer. A step stops before an op that lacks some, and goes on when they are read.
 */
import type { PagingStats } from '../backend';
import { abortError, fail } from '../../errors';
import type { NodeOf, Plan } from '../plan';
import type { LoweredPlan, PagedMatrix, WeightAddressLookup } from './lower';
import { megabytes, type WasmHeap } from './memory';
import type { Interpreter, PagedExperts } from './interpreter';

/** The experts of a layer. */
interface Layer {
  matrices: PagedMatrix[];
  /** address of the clocks of their last uses, u32 [E] */
  lastUsed: number;
  /** those in memory */
  readonly present: Set<number>;
}

interface Frame {
  address: number;
  layer?: Layer;
  expert: number;
}

/** Experts that are read at the same time: their bytes are in memory twice meanwhile. */
const READS_IN_FLIGHT = 2;
const align = (bytes: number): number => Math.ceil(bytes / 64) * 64;

export class ExpertCache implements PagedExperts {
  private readonly stats: PagingStats;
  /** by the index of its op expertsSwiglu */
  private readonly layers = new Map<number, Layer>();
  private readonly frames: Frame[];
  private readonly frameBytes: number;
  /** frames that one layer may need */
  private readonly least: number;

  /** @throws RequestError if the budget has no room for the experts of a layer, MemoryError if the browser has none */
  constructor(
    private readonly heap: WasmHeap,
    { nodes }: Plan,
    { list }: LoweredPlan,
    at: WeightAddressLookup,
    { budget, other }: { budget: number; other: number },
  ) {
    nodes.forEach((node, i) => {
      if (!('chosen' in node && 'w1' in node)) return;
      const { w } = nodes[i + 1] as NodeOf<'expertsLinear'>;
      const matrices = [node.w1, node.w3, w].flatMap((matrix) => at.paged(matrix) ?? []);
      if (matrices.length) this.layers.set(i, { matrices, lastUsed: list[i].lastUsed!, present: new Set() });
    });
    const all = [...this.layers.values()];
    this.least = Math.max(...all.map(({ matrices: [{ bytes }] }) => bytes.length));
    this.frameBytes = Math.max(
      ...all.flatMap(({ matrices }) =>
        matrices[0].bytes.map((_, e) => matrices.reduce((sum, { bytes }) => sum + align(bytes[e]), 0)),
      ),
    );
    const inMemory = Math.floor((budget - other) / this.frameBytes);
    if (inMemory < this.least)
      fail('RequestError', {
        what: 'The memory budget is too small for the model',
        got: megabytes(budget),
        wanted: `at least ${megabytes(other + this.least * this.frameBytes)}, which holds the experts of one layer`,
        cure: 'Raise memoryBudget, shorten the context, or use a smaller model.',
      });
    const experts = all.reduce((sum, { matrices: [{ bytes }] }) => sum + bytes.length, 0);
    this.frames = Array.from({ length: this.least }, () => this.newFrame());
    this.stats = { experts, inMemory: Math.min(inMemory, experts), uses: 0, misses: 0, bytesRead: 0, tokens: 0 };
  }

  async goOn(program: Interpreter, end: number, signal?: AbortSignal): Promise<void> {
    for (let op = program.word('stopped'); op !== end; op = program.word('stopped')) {
      const { chosen } = program.plan.nodes[op] as NodeOf<'expertsSwiglu'>;
      const rows = program.rowsOf(chosen, chosen.rows === 1 ? 1 : program.word('T'));
      await this.load(
        op,
        rows.filter((_, i) => i % chosen.cols < chosen.cols / 2),
        signal,
      );
      program.runUpTo(op, end);
    }
  }

  paging(program: Interpreter): PagingStats {
    return { ...this.stats, uses: program.word('expertUses'), tokens: program.tokensRead[0] + program.tokensRead[1] };
  }

  /**
   * Reads the experts that the op lacks, in place of those that were not used for longest.
   * @param chosen by the tokens of the step
   * @throws what the reader throws, MemoryError, AbortError; then no read is under way, and the experts that were read
   * stay
   */
  private async load(op: number, chosen: Iterable<number>, signal?: AbortSignal): Promise<void> {
    const layer = this.layers.get(op)!;
    const wanted = new Set(chosen);
    const missing = [...wanted].filter((e) => !layer.present.has(e));
    this.stats.misses += missing.length;
    let failure: unknown;
    const next = async (): Promise<void> => {
      for (let expert = missing.shift(); expert !== undefined && !failure; expert = missing.shift())
        if (signal?.aborted) failure = abortError();
        else await this.read(layer, expert, wanted).catch((error: unknown) => (failure ??= error));
    };
    await Promise.all(Array.from({ length: READS_IN_FLIGHT }, next));
    if (failure) throw failure;
  }

  private async read(layer: Layer, expert: number, wanted: Set<number>): Promise<void> {
    const frame = this.freeFrame(layer, wanted);
    frame.layer = layer;
    frame.expert = expert;
    try {
      let data = frame.address;
      for (const matrix of layer.matrices) {
        this.setData(matrix, expert, data);
        data += align(matrix.bytes[expert]);
      }
      // all end before the frame may be emptied: each writes to where its Weight says
      const reads = await Promise.allSettled(layer.matrices.map((matrix) => matrix.load(expert)));
      for (const read of reads)
        if (read.status === 'rejected') throw read.reason;
        else this.stats.bytesRead += read.value;
      layer.present.add(expert);
    } catch (error) {
      this.empty(frame);
      throw error;
    }
  }

  /** A frame without an expert; those that the layer wants now stay. */
  private freeFrame(present: Layer, wanted: Set<number>): Frame {
    const empty = this.frames.find(({ layer }) => !layer);
    if (empty) return empty;
    if (this.frames.length < this.stats.inMemory)
      try {
        const frame = this.newFrame();
        this.frames.push(frame);
        return frame;
      } catch {
        this.stats.inMemory = this.frames.length; // the browser gives less than the budget
      }
    const lastUsed = ({ layer, expert }: Frame): number => this.heap.u32[layer!.lastUsed / 4 + expert];
    const [oldest] = this.frames
      .filter(({ layer, expert }) => layer !== present || !wanted.has(expert))
      .sort((a, b) => lastUsed(a) - lastUsed(b));
    this.empty(oldest);
    return oldest;
  }

  private newFrame(): Frame {
    return { address: this.heap.alloc(this.frameBytes, 'experts'), expert: 0 };
  }

  private empty(frame: Frame): void {
    for (const matrix of frame.layer!.matrices) this.setData(matrix, frame.expert, 0);
    frame.layer!.present.delete(frame.expert);
    frame.layer = undefined;
  }

  private setData({ weights }: PagedMatrix, expert: number, data: number): void {
    const { WEIGHT } = this.heap.build.structs;
    WEIGHT.write(this.heap, weights + expert * WEIGHT.bytes, { data });
  }

  dispose(): void {
    for (const frame of this.frames) {
      if (frame.layer) this.empty(frame);
      this.heap.release(frame.address);
    }
  }
}
