/** Times by kernel: compares each kernel with a copy of memory. */
import { PROFILE_BASELINES, type KernelTime } from '../../src/backend/backend';

/** The times of one kernel of a token, or of all its kernels, compared with a memory copy. */
export interface KernelRow {
  kernel: string;
  dispatches: number;
  /** µs of all its dispatches together */
  micros: number;
  microsEach: number;
  /** µs for the bytes that must be read, at the bandwidth of the copy */
  roofMicros: number;
  gigabytesPerSecond: number;
  /** share of the bandwidth of the copy; absent when the kernel reads no weights */
  shareOfCopy?: number;
}

export interface Profile {
  clock: KernelTime['clock'];
  /** of a memory copy, read and write */
  copyGigabytesPerSecond: number;
  /** µs of a dispatch with almost no work, after another dispatch */
  emptyDispatchMicros: number;
  /** µs of a draw with every filter and penalty; the token measured here has a greedy draw instead */
  sampledDrawMicros: number;
  kernels: KernelRow[];
  token: KernelRow;
  /** µs per dispatch beyond the roofline */
  overheadMicrosEach: number;
}

/**
 * The roofline is an estimate: the bytes that a kernel must read, at the bandwidth of a memory copy on the same device.
 * A kernel that reads almost nothing costs a dispatch. Returns undefined when the backend does not measure kernels.
 */
export function profileOf(times: KernelTime[]): Profile | undefined {
  const [copy, empty, draw] = [
    PROFILE_BASELINES.memoryCopy,
    PROFILE_BASELINES.emptyDispatch,
    PROFILE_BASELINES.sampledDraw,
  ].map((name) => times.find(({ kernel }) => kernel === name));
  if (!copy || !empty || !draw) return undefined;
  const kernels = times.filter((entry) => entry !== copy && entry !== empty && entry !== draw);
  const sum = (key: 'dispatches' | 'micros' | 'bytes'): number =>
    kernels.reduce((total, entry) => total + entry[key], 0);
  const rate = ({ bytes, micros }: Pick<KernelTime, 'bytes' | 'micros'>): number => bytes / micros / 1000;
  const round = (v: number): number => Number(v.toPrecision(4));
  const row = (entry: Omit<KernelTime, 'clock'>): KernelRow => ({
    kernel: entry.kernel,
    dispatches: entry.dispatches,
    micros: round(entry.micros),
    microsEach: round(entry.micros / entry.dispatches),
    roofMicros: round(entry.bytes / rate(copy) / 1000),
    gigabytesPerSecond: round(rate(entry)),
    ...(entry.bytes && { shareOfCopy: round(rate(entry) / rate(copy)) }),
  });
  const token = row({ kernel: 'token', dispatches: sum('dispatches'), micros: sum('micros'), bytes: sum('bytes') });
  return {
    clock: copy.clock,
    copyGigabytesPerSecond: round(rate(copy)),
    emptyDispatchMicros: round(empty.micros),
    sampledDrawMicros: round(draw.micros),
    kernels: kernels.map(row),
    token,
    overheadMicrosEach: round((token.micros - token.roofMicros) / token.dispatches),
  };
}
