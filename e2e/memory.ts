/**
 * Memory of a Chromium's processes, from /proc (Linux): what the machine really gave, WASM memory and GPU process
 * included.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** Bytes of anonymous and shared memory of all processes below this one, by kind of process. */
function processes(): { renderer: number; gpu: number } {
  const parents = new Map<number, number>();
  for (const entry of readdirSync('/proc'))
    if (/^\d+$/.test(entry))
      try {
        const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
        parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
      } catch {
        // the process is gone
      }
  const ours = (pid: number): boolean => pid === process.pid || (parents.has(pid) && ours(parents.get(pid)!));
  const sum = { renderer: 0, gpu: 0 };
  for (const pid of parents.keys())
    if (pid !== process.pid && ours(pid))
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        const kind = command.includes('--type=renderer')
          ? 'renderer'
          : command.includes('--type=gpu-process')
            ? 'gpu'
            : undefined;
        if (!kind) continue;
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        const kilobytes = (field: string): number => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
        sum[kind] += (kilobytes('RssAnon') + kilobytes('RssShmem')) * 1024;
      } catch {
        // the process is gone
      }
  return sum;
}

/**
 * Samples until stopped; the peak of renderer and GPU process together, over what they had at the start. Undefined
 * where there is no /proc.
 */
export function watchMemory(intervalMs = 20): { stop(): { peak: number; baseline: number } | undefined } {
  const total = (): number => {
    const { renderer, gpu } = processes();
    return renderer + gpu;
  };
  if (process.platform !== 'linux') return { stop: () => undefined };
  const baseline = total();
  let peak = baseline;
  const timer = setInterval(() => (peak = Math.max(peak, total())), intervalMs);
  return {
    stop() {
      clearInterval(timer);
      peak = Math.max(peak, total());
      return { peak: peak - baseline, baseline };
    },
  };
}
