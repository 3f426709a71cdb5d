/** What the router needs of the platform; tests and simulations give their own. */
export interface Environment {
  fetch: typeof globalThis.fetch;
  /** milliseconds of a clock that nobody sets: deadlines and breakers follow it */
  now(): number;
  /** milliseconds since 1970: the ledger follows it */
  wall(): number;
  /** 0 to 1, for the jitter of retries */
  random(): number;
  /** a hint: false is believed, true is not */
  online(): boolean;
  /** @returns ends it */
  onOnline(listener: (online: boolean) => void): () => void;
}

export function platform(given: Partial<Environment> = {}): Environment {
  return {
    fetch: (input, init) => globalThis.fetch(input, init),
    now: () => performance.now(),
    wall: () => Date.now(),
    random: () => Math.random(),
    online: () => globalThis.navigator?.onLine !== false,
    onOnline(listener) {
      const target = globalThis as Partial<EventTarget>;
      const [on, off] = [(): void => listener(true), (): void => listener(false)];
      target.addEventListener?.('online', on);
      target.addEventListener?.('offline', off);
      return () => {
        target.removeEventListener?.('online', on);
        target.removeEventListener?.('offline', off);
      };
    },
    ...given,
  };
}

/** Browsers run a timer with a longer time at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A timer that also takes Infinity. */
export const startTimer = (act: () => void, ms: number): ReturnType<typeof setTimeout> =>
  setTimeout(act, Math.min(ms, LONGEST_TIMER_MS));

/** A pause that an abort ends, with AbortError. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(new DOMException('The call was aborted.', 'AbortError'));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop, { once: true });
  });
