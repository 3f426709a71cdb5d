/** Which runs need more memory than this device has: the page says so before it starts. */
import { bytes } from '../chat/format';
import { fitOf, memoryFor, peakOf, type Device as MemoryOfDevice } from '../chat/models/recommend';
import type { PlannedRun } from './plan';
import { randomGgufBytes } from './random_gguf';
import type { Device } from './result';

/** Bytes of stored models by id, and of chosen files by name. */
export type Sizes = ReadonlyMap<string, number>;

export type MemoryFacts = Pick<Device, 'memoryGB' | 'mobile'> & { memory64: boolean };

const sizeOf = ({ source, quantization = '' }: PlannedRun, sizes: Sizes): number => {
  if ('shape' in source) return randomGgufBytes(source.shape, quantization).all;
  return sizes.get('stored' in source ? source.stored : source.file) ?? 0;
};

const deviceOf = (
  { memoryGB, mobile, memory64 }: MemoryFacts,
  { backend }: PlannedRun,
): Pick<MemoryOfDevice, 'memory' | 'mobile' | 'backend' | 'memory64'> => ({
  ...(memoryGB !== undefined && { memory: memoryGB * 2 ** 30 }),
  mobile,
  backend,
  memory64,
});

/** The others fit, or their size is not known. */
export const tooLarge = (plan: readonly PlannedRun[], sizes: Sizes, facts: MemoryFacts): PlannedRun[] =>
  plan.filter((run) => fitOf({ megabytes: sizeOf(run, sizes) / 1e6 }, deviceOf(facts, run)) === 'too large');

const MOST_NAMED = 3;

/** Sentences about runs that are too large. */
export function describeTooLarge(runs: readonly PlannedRun[], sizes: Sizes, facts: MemoryFacts): string {
  const named = runs.slice(0, MOST_NAMED).map((run) => {
    const name = [run.name, run.quantization].filter(Boolean).join(' ');
    const need = bytes(peakOf(sizeOf(run, sizes)));
    const limit = bytes(memoryFor(deviceOf(facts, run)));
    return `${name} does not fit on the ${run.backend === 'webgpu' ? 'GPU' : 'CPU'}: it needs about ${need} of memory, and this page can have about ${limit}.`;
  });
  const more = runs.length - named.length;
  return [...named, ...(more > 0 ? [`${more} more ${more === 1 ? 'run does' : 'runs do'} not fit.`] : [])].join(' ');
}
