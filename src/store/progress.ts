import type { ModelCopies } from './model_locks';

export interface Progress {
  /** `replay`: after a reload the model reads its conversation again; `bytes` and `total` are then tokens */
  phase: 'resolve' | 'download' | 'read' | 'load' | 'compile' | 'replay' | 'ready';
  bytes: number;
  total: number;
  /** bytes per second over the last few seconds */
  rate: number;
  /** remaining seconds */
  eta?: number;
  file?: string;
  /** why the model is loaded again (what happened to its device or memory), or why nothing arrives from the server */
  cause?: string;
  /** before anything is read, if the model is in memory already, in this tab or in others of this site */
  copies?: ModelCopies;
}

const RATE_WINDOW_MS = 5000;
const MIN_INTERVAL_MS = 100;

/** Turns byte counts into progress calls: at most ten a second, with a smooth rate. */
export class ProgressMeter {
  readonly #samples: { time: number; bytes: number }[] = [];
  #last?: Progress;
  #reportedAt = -Infinity;

  constructor(
    readonly phase: Progress['phase'],
    readonly total: number,
    readonly onProgress?: (progress: Progress) => void,
  ) {}

  /** @param count bytes so far; a function is called only when a report is due */
  update(count: number | (() => number), file?: string): void {
    const time = performance.now();
    if (!this.onProgress || (time - this.#reportedAt < MIN_INTERVAL_MS && !(count === this.total))) return;
    const bytes = typeof count === 'number' ? count : count();
    this.#samples.push({ time, bytes });
    while (this.#samples.length > 2 && time - this.#samples[0].time > RATE_WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    const rate = time > first.time ? Math.max(0, ((bytes - first.bytes) / (time - first.time)) * 1000) : 0;
    const same = this.#last?.bytes === bytes;
    this.#last = {
      phase: this.phase,
      bytes,
      total: this.total,
      rate,
      ...(rate > 0 && this.total > 0 && { eta: (this.total - bytes) / rate }),
      ...(file && { file }),
    };
    if (same) return;
    this.#reportedAt = time;
    this.onProgress(this.#last);
  }
}
