/**
 * Which experts of a mixture are in memory, if not all have room: each lies in a frame, and one that is missing takes
 * the frame of another. Both backends have frames of their own kind.
 */
import { abortError } from '../errors';
import type { PagingStats } from './backend';

/** The experts of a layer. */
export interface ExpertLayer {
  readonly count: number;
  /** a number that grows with each step that used the expert */
  lastUsed(expert: number): number;
}

/** Memory for one expert. */
export interface ExpertFrame<L extends ExpertLayer> {
  layer?: L;
  expert: number;
}

export interface FrameMemory<L extends ExpertLayer, F extends ExpertFrame<L>> {
  /** @throws MemoryError */
  newFrame(): F;
  /** Reads the expert of a frame into it. No read may be under way when it settles. @returns the bytes read */
  read(frame: F & { layer: L }): Promise<number>;
  /** The expert of a frame is there. */
  filled(frame: F & { layer: L }): void;
  /** The expert of a frame goes; or it could not be read. */
  emptied(frame: F & { layer: L }): void;
}

/** What is known of a layer here. */
interface Known {
  /** its place among the layers */
  readonly order: number;
  /** experts in memory */
  readonly present: Set<number>;
  /** of the last batch, how often each was chosen */
  readonly chosen: Uint32Array;
}

/** more than an expert is chosen in a batch */
const MOST_CHOICES = 1 << 16;
/** Experts that are read at the same time: their bytes are in memory twice meanwhile. */
const READS_IN_FLIGHT = 2;

export class ExpertFrames<L extends ExpertLayer, F extends ExpertFrame<L>> {
  readonly frames: F[];
  private readonly known = new Map<L, Known>();

  /**
   * @param layers whose experts share the frames
   * @param least frames that one layer may need at once
   * @param most frames that the budget allows; fewer when the device gives no more
   * @throws MemoryError if there are not so many as one layer needs
   */
  constructor(
    layers: readonly L[],
    private readonly memory: FrameMemory<L, F>,
    private readonly stats: Pick<PagingStats, 'misses' | 'bytesRead'>,
    least: number,
    public most: number,
  ) {
    layers.forEach((layer, order) =>
      this.known.set(layer, { order, present: new Set(), chosen: new Uint32Array(layer.count) }),
    );
    this.frames = Array.from({ length: least }, () => memory.newFrame());
  }

  /**
   * Reads the experts that a layer lacks.
   * @param numbers of the experts that the tokens of the step chose, once or as often as they did
   * @throws what reading throws, MemoryError, AbortError; then no read is under way, and the experts that were read
   * stay
   */
  async load(layer: L, numbers: Iterable<number>, signal?: AbortSignal): Promise<void> {
    const { present, chosen } = this.known.get(layer)!;
    const all = [...numbers];
    const wanted = new Set(all);
    const missing = [...wanted].filter((e) => !present.has(e));
    const scan = 2 * wanted.size > layer.count;
    if (scan || all.length > wanted.size) {
      chosen.fill(0);
      for (const expert of all) chosen[expert]++;
    }
    this.stats.misses += missing.length;
    let failure: unknown;
    const next = async (): Promise<void> => {
      for (let expert = missing.shift(); expert !== undefined && !failure; expert = missing.shift())
        if (signal?.aborted) failure = abortError();
        else await this.read(layer, expert, { wanted, scan }).catch((error: unknown) => (failure ??= error));
    };
    await Promise.all(Array.from({ length: READS_IN_FLIGHT }, next));
    if (failure) throw failure;
  }

  private async read(layer: L, expert: number, step: { wanted: Set<number>; scan: boolean }): Promise<void> {
    const frame = Object.assign(this.freeFrame(layer, step), { layer, expert });
    try {
      const bytes = await this.memory.read(frame);
      this.stats.bytesRead += bytes;
      this.known.get(layer)!.present.add(expert);
      this.memory.filled(frame);
    } catch (error) {
      this.empty(frame);
      throw error;
    }
  }

  /**
   * A frame without an expert: that of the expert that was not used for longest. A step that takes most experts of all
   * layers would then take from each layer what it needs next: there the expert goes that was chosen least, rather in a
   * layer that the step has passed. Those that the layer wants now stay.
   */
  private freeFrame(present: L, { wanted, scan }: { wanted: Set<number>; scan: boolean }): F {
    const empty = this.frames.find(({ layer }) => !layer);
    if (empty) return empty;
    if (this.frames.length < this.most)
      try {
        const frame = this.memory.newFrame();
        this.frames.push(frame);
        return frame;
      } catch {
        this.most = this.frames.length; // the browser gives less than the budget
      }
    const { order: now } = this.known.get(present)!;
    const worth = ({ layer, expert }: F & { layer: L }): number => {
      const { order, chosen } = this.known.get(layer)!;
      return scan ? chosen[expert] * (order < now ? 1 : 2) : layer.lastUsed(expert) + chosen[expert] / MOST_CHOICES;
    };
    const [oldest] = (this.frames as (F & { layer: L })[])
      .filter(({ layer, expert }) => layer !== present || !wanted.has(expert))
      .sort((a, b) => worth(a) - worth(b));
    this.empty(oldest);
    return oldest;
  }

  private empty(frame: F & { layer: L }): void {
    this.memory.emptied(frame);
    this.known.get(frame.layer)!.present.delete(frame.expert);
    (frame as F).layer = undefined;
  }

  /** Empties all frames. */
  dispose(): void {
    for (const frame of this.frames) if (frame.layer) this.empty(frame as F & { layer: L });
  }
}
