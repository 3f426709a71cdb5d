/** A circuit breaker: after failures in a row an endpoint is left alone for a while, then one request tries it. */
import type { BreakerOptions } from './types';

export interface Breaker {
  /** 'probing': the time is over, and the next request is the only one until it ends */
  state(): 'closed' | 'open' | 'probing';
  /** milliseconds until it may be asked; 0 now */
  waitMs(): number;
  /** Takes a turn. False: it may not be asked now */
  enter(): boolean;
  /** Each turn ends with one of these. */
  success(): void;
  /** @param pauseMs leaves it alone so long at once, as Retry-After asks */
  failure(pauseMs?: number): void;
  /** neither: the caller stopped */
  leave(): void;
  /** the network is back: the pause ends, unless the server asked for it */
  wake(): void;
}

export const BREAKER = { failures: 3, openMs: 5_000, maxOpenMs: 120_000 };

export function createBreaker(options: BreakerOptions, now: () => number): Breaker {
  const { failures: most, openMs, maxOpenMs } = { ...BREAKER, ...options };
  let failures = 0;
  let openFor = openMs;
  let until = -Infinity;
  let asked = false;
  let probing = false;
  const open = (): boolean => until > -Infinity;
  const breaker: Breaker = {
    state: () => (!open() ? 'closed' : now() < until ? 'open' : 'probing'),
    waitMs: () => (!open() ? 0 : Math.max(probing ? 1 : 0, until - now())),
    enter() {
      if (breaker.waitMs() > 0) return false;
      probing = open();
      return true;
    },
    success() {
      failures = 0;
      openFor = openMs;
      until = -Infinity;
      asked = false;
      probing = false;
    },
    failure(pauseMs) {
      failures++;
      if (probing) openFor = Math.min(maxOpenMs, openFor * 2);
      if (pauseMs !== undefined) {
        until = Math.max(until, now() + Math.min(pauseMs, LONGEST_PAUSE_MS));
        asked = true;
      } else if (probing || failures >= most) until = Math.max(until, now() + openFor);
      probing = false;
    },
    leave() {
      probing = false;
    },
    wake() {
      if (open() && !asked) until = Math.min(until, now());
    },
  };
  return breaker;
}

/** A server that asks for a longer pause is asked once an hour all the same. */
const LONGEST_PAUSE_MS = 3_600_000;
