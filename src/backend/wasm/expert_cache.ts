/**
 * Experts of a model that is larger than its memory budget: they lie in frames of the heap, each with W1, W3 and W2 of
 * one expert of one layer. A step stops before an op that lacks some, and goes on when they are read.
 */
import type { PagingStats } from '../backend';
import { ExpertFrames, type ExpertFrame, type ExpertLayer } from '../expert_frames';
import { fail } from '../../errors';
import type { NodeOf, Plan } from '../plan';
import type { LoweredPlan, PagedMatrix, WeightAddressLookup } from './lower';
import { megabytes, type WasmHeap } from './memory';
import type { Interpreter, PagedExperts } from './interpreter';

interface Layer extends ExpertLayer {
  matrices: PagedMatrix[];
}

interface Frame extends ExpertFrame<Layer> {
  address: number;
}

const align = (bytes: number): number => Math.ceil(bytes / 64) * 64;

export class ExpertCache implements PagedExperts {
  private readonly stats: PagingStats;
  /** by the index of its op expertsSwiglu */
  private readonly layers = new Map<number, Layer>();
  private readonly frames: ExpertFrames<Layer, Frame>;

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
      const clocks = list[i].lastUsed! / 4; // of the last uses, u32 [E]
      const lastUsed = (expert: number): number => heap.u32[clocks + expert];
      if (matrices.length) this.layers.set(i, { matrices, count: w.segments.length, lastUsed });
    });
    const all = [...this.layers.values()];
    const least = Math.max(...all.map(({ count }) => count));
    const frameBytes = Math.max(
      ...all.flatMap(({ matrices }) =>
        matrices[0].bytes.map((_, e) => matrices.reduce((sum, { bytes }) => sum + align(bytes[e]), 0)),
      ),
    );
    const most = Math.floor((budget - other) / frameBytes);
    if (most < least)
      fail('RequestError', {
        what: 'The memory budget is too small for the model',
        got: megabytes(budget),
        wanted: `at least ${megabytes(other + least * frameBytes)}, which holds the experts of one layer`,
        cure: 'Raise memoryBudget, shorten the context, or use a smaller model.',
      });
    const experts = all.reduce((sum, { count }) => sum + count, 0);
    this.stats = { experts, inMemory: 0, uses: 0, misses: 0, swapped: 0, bytesRead: 0, tokens: 0 };
    const memory = {
      newFrame: (): Frame => ({ address: heap.alloc(frameBytes, 'experts'), expert: 0 }),
      read: (frame: Frame & { layer: Layer }) => this.read(frame),
      filled: () => undefined,
      emptied: ({ layer, expert }: Frame & { layer: Layer }) =>
        layer.matrices.forEach((matrix) => this.setData(matrix, expert, 0)),
    };
    this.frames = new ExpertFrames(all, memory, this.stats, least, Math.min(most, experts));
  }

  async goOn(program: Interpreter, end: number, signal?: AbortSignal): Promise<void> {
    for (let op = program.word('stopped'); op !== end; op = program.word('stopped')) {
      const { chosen } = program.plan.nodes[op] as NodeOf<'expertsSwiglu'>;
      const rows = program.rowsOf(chosen, chosen.rows === 1 ? 1 : program.word('T'));
      await this.frames.load(
        this.layers.get(op)!,
        rows.filter((_, i) => i % chosen.cols < chosen.cols / 2),
        signal,
      );
      program.runUpTo(op, end);
    }
  }

  paging(program: Interpreter): PagingStats {
    const { stats, frames } = this;
    const tokens = program.tokensRead[0] + program.tokensRead[1];
    return { ...stats, inMemory: frames.most, uses: program.word('expertUses'), tokens };
  }

  private async read({ layer: { matrices }, expert, address }: Frame & { layer: Layer }): Promise<number> {
    let data = address;
    for (const matrix of matrices) {
      this.setData(matrix, expert, data);
      data += align(matrix.bytes[expert]);
    }
    const packed = await matrices[0].packed?.();
    // after each await: the heap may have grown
    const frame = (): Uint8Array => this.heap.u8.subarray(address, data);
    if (packed?.read(expert, frame())) {
      this.stats.swapped++;
      return data - address;
    }
    // all end before the frame may be emptied: each writes to where its Weight says
    const reads = await Promise.allSettled(matrices.map((matrix) => matrix.load(expert)));
    let bytesRead = 0;
    for (const read of reads)
      if (read.status === 'rejected') throw read.reason;
      else bytesRead += read.value;
    packed?.write(expert, frame());
    return bytesRead;
  }

  private setData({ weights }: PagedMatrix, expert: number, data: number): void {
    const { WEIGHT } = this.heap.build.structs;
    WEIGHT.write(this.heap, weights + expert * WEIGHT.bytes, { data });
  }

  dispose(): void {
    this.frames.dispose();
    for (const { address } of this.frames.frames) this.heap.release(address);
  }
}
