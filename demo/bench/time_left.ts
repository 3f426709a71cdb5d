/** How long the rest of a set takes: a rough cost of each step, corrected by the steps that have been timed. */
import { duration } from '../chat/format';
import { stepName } from './measure';
import type { PlannedRun } from './plan';
import { randomGgufBytes } from './random_gguf';

/** of a model whose size is unknown before the load */
const USUAL_BYTES = 300e6;
/** bytes a second of a decode step, and how many tokens of a prompt take the time of one */
const SPEED = { wasm: { bytes: 10e9, batch: 5 }, webgpu: { bytes: 50e9, batch: 20 } };

export interface Step {
  name: string;
  /** expected, in seconds */
  seconds: number;
  /** time that does not depend on the device */
  fixed?: boolean;
}

export function stepsOf(
  { source, quantization = '', backend, cases, sustained, kernels }: PlannedRun,
  repetitions: number,
): Step[] {
  const bytes =
    'shape' in source ? randomGgufBytes(source.shape, quantization) : { all: USUAL_BYTES, active: USUAL_BYTES };
  const speed = SPEED[backend];
  const token = bytes.active / speed.bytes + 0.0003;
  const steps: Step[] = [
    { name: 'load', seconds: 0.5 + bytes.all / 300e6 },
    { name: 'warm-up', seconds: 40 * token },
  ];
  for (const one of cases) {
    const read = (one.prompt * token) / speed.batch;
    const write = one.generate * token * (1 + one.prompt / 6000);
    steps.push({
      name: stepName(one),
      seconds: one.cached
        ? read + (repetitions + 1) * write
        : (repetitions + (one.prompt <= 512 ? 1 : 0)) * (read + write),
    });
  }
  if (sustained) steps.push({ name: 'sustained', seconds: sustained, fixed: true });
  if (kernels) steps.push({ name: 'times by kernel', seconds: 15 });
  return steps;
}

/** Seconds left of the steps of one backend, from those done. */
export class TimeLeft {
  /** expected and real seconds of the steps done, by backend */
  private readonly seen = new Map<string, { expected: number; real: number }>();

  done(backend: string, { seconds, fixed }: Step, real: number): void {
    if (fixed) return;
    const { expected, real: before } = this.seen.get(backend) ?? { expected: 0, real: 0 };
    this.seen.set(backend, { expected: expected + seconds, real: before + real });
  }

  of(backend: string, steps: readonly Step[]): number {
    const { expected, real } = this.seen.get(backend) ?? { expected: 1, real: 1 };
    return steps.reduce((sum, { seconds, fixed }) => sum + (fixed ? seconds : seconds * (real / expected)), 0);
  }
}

/** An estimate needs no decimals. */
export const roughly = (seconds: number): string =>
  seconds < 59.5 ? `${Math.max(1, Math.round(seconds))}\u00a0s` : duration(seconds);
