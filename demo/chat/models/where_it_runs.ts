/** Where a model runs, and why there, in plain words. */
import type { BackendInfo } from '../../../src/index';

/** The reasons that the library gives, and what they mean to a reader. */
const REASONS: [RegExp, string][] = [
  [/needs https or localhost/, 'WebGPU needs https or localhost'],
  [/found no WebGPU adapter/, 'the browser found no usable GPU'],
  [/has no WebGPU/, 'this browser has no WebGPU'],
  [/software|computes on the CPU/i, 'the only GPU that the browser offers is emulated, which is slower'],
  [/lost/, 'the GPU was lost'],
  [/memory|fit/i, 'the memory of the GPU is too small'],
  [/self test|wrong/i, 'the GPU computed wrong results in a test'],
];

/** @param chosenBy who asked for this backend; undefined: it was chosen automatically */
export function whereItRuns(
  { name, device, threads = 1, notes }: Pick<BackendInfo, 'name' | 'device' | 'threads' | 'notes'>,
  chosenBy?: 'address' | 'settings',
): string {
  const asked =
    chosenBy && { address: 'the page’s address asks for it', settings: 'it is chosen in Settings' }[chosenBy];
  if (name === 'webgpu') return `Runs on the GPU (${device}), because ${asked ?? 'this browser has WebGPU'}`;
  if (name === 'reference') return 'Runs on the reference backend';
  const about = notes.filter((note) => /webgpu|gpu/i.test(note)).join(' ');
  const found = REASONS.find(([pattern]) => pattern.test(about))?.[1];
  const reason = asked ?? found ?? (about ? 'WebGPU does not work here' : undefined);
  return `Runs on the CPU with ${threads === 1 ? '1 thread' : `${threads} threads`}${reason ? `, because ${reason}` : ''}`;
}
