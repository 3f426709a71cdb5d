/**
 * Work that a reader can wait for, a little at a time: the page stays responsive. The last job comes first, since it is
 * of what was drawn last.
 */
const SLICE_MS = 10;

const waiting: (() => void)[] = [];

export function soon(job: () => void): void {
  if (waiting.push(job) === 1) setTimeout(work);
}

function work(): void {
  const end = performance.now() + SLICE_MS;
  do waiting.pop()?.();
  while (waiting.length && performance.now() < end);
  if (waiting.length) setTimeout(work);
}
