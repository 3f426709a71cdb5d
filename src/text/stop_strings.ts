/** Ends a stream of text at stop strings. */
import { fail } from '../errors';

export interface StopFilter {
  /** returns the text that may be shown; text that may begin a stop string is held back */
  push(text: string): string;
  /** the end of the stream: returns the text that was held back */
  flush(): string;
  /** the stop string that was found; later text is dropped */
  readonly stopped: string | undefined;
}

/**
 * The first complete stop string ends the text and is not part of it. The result does not depend on how the text is
 * split into pieces.
 * @throws RequestError for an empty stop string
 */
export function createStopFilter(stops: readonly string[]): StopFilter {
  if (stops.some((stop) => stop === ''))
    fail('RequestError', { what: 'A stop string is empty', wanted: 'at least one character' });
  let held = '';
  let stopped: string | undefined;

  return {
    get stopped() {
      return stopped;
    },
    push(text) {
      if (stopped !== undefined) return '';
      held += text;
      const met = stops
        .map((stop) => ({ stop, start: held.indexOf(stop) }))
        .filter(({ start }) => start >= 0)
        .sort((a, b) => a.start + a.stop.length - (b.start + b.stop.length) || a.start - b.start)[0];
      if (met) stopped = met.stop;
      const end = met ? met.start : held.length - longestPartialMatch(held, stops);
      const shown = held.slice(0, end);
      held = met ? '' : held.slice(end);
      return shown;
    },
    flush() {
      const rest = held;
      held = '';
      return rest;
    },
  };
}

/** The length of the longest end of `text` that is the beginning of a stop string. */
export function longestPartialMatch(text: string, stops: readonly string[]): number {
  const longest = Math.min(
    text.length,
    stops.reduce((most, stop) => Math.max(most, stop.length - 1), 0),
  );
  for (let n = longest; n > 0; n--)
    if (stops.some((stop) => n < stop.length && text.endsWith(stop.slice(0, n)))) return n;
  return 0;
}
