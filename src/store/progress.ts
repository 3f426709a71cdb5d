export interface Progress {
  /** `replay`: a model that moved to another device reads its conversation again; its `bytes` and `total` are tokens */
  phase: 'resolve' | 'download' | 'read' | 'load' | 'compile' | 'replay' | 'ready';
  bytes: number;
  total: number;
  /** bytes per second, over the last few seconds */
  rate: number;
  /** seconds */
  eta?: number;
  file?: string;
  /** why the model is set up once more: what became of its device, or of its memory */
  cause?: string;
}

const WINDOW = 5000; // milliseconds over which the rate is taken
const BETWEEN = 100; // milliseconds between two calls at least

/** Turns byte counts into progress calls: not too many, with a rate that does not jump. */
export class Meter {
  readonly #samples: { time: number; bytes: number }[] = [];
  #last?: Progress;
  #told = -Infinity;

  constructor(
    readonly phase: Progress['phase'],
    readonly total: number,
    readonly onProgress?: (progress: Progress) => void,
  ) {}

  /** @param count bytes so far; a function is asked only when a call is due */
  at(count: number | (() => number), file?: string): void {
    const time = performance.now();
    if (!this.onProgress || (time - this.#told < BETWEEN && !(count === this.total))) return;
    const bytes = typeof count === 'number' ? count : count();
    this.#samples.push({ time, bytes });
    while (this.#samples.length > 2 && time - this.#samples[0].time > WINDOW) this.#samples.shift();
    const first = this.#samples[0];
    const rate = time > first.time ? Math.max(0, ((bytes - first.bytes) / (time - first.time)) * 1000) : 0;
    const same = this.#last?.bytes === bytes;
    this.#last = { phase: this.phase, bytes, total: this.total, rate, ...(rate > 0 && { eta: (this.total - bytes) / rate }), ...(file && { file }) };
    if (same) return;
    this.#told = time;
    this.onProgress(this.#last);
  }
}
