import type { Progress } from '../store/progress';

/** How long a listener hears nothing, in ms, before the last progress is repeated. */
const QUIET_MS = 8000;

/**
 * Calls a listener of the page and never waits for it: what it throws is reported as an unhandled rejection, what it
 * returns is ignored.
 * Until `stop`, it hears something every 8 s; `cause` then says so.
 */
export function watchProgress(listener: ((progress: Progress) => unknown) | undefined): {
  report(progress: Progress): void;
  stop(): void;
} {
  let last: Progress = { phase: 'resolve', bytes: 0, total: 0, rate: 0 };
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = !listener;
  const wait = (): void => {
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(repeat, QUIET_MS);
  };
  const report = (progress: Progress): void => {
    last = progress;
    wait();
    if (listener) void Promise.resolve(progress).then(listener);
  };
  const repeat = (): void =>
    report({
      ...last,
      rate: 0,
      eta: undefined,
      ...(/resolve|download/.test(last.phase) && {
        cause: last.cause ?? `No byte has arrived for ${QUIET_MS / 1000} s.`,
      }),
    });
  wait();
  return {
    report,
    stop() {
      stopped = true;
      wait();
    },
  };
}
