/** What the readers of regular expressions and of grammars share. */

export const MAX_REPEATS = 10_000;
export const MAX_DEPTH = 200;

export type Match = (pattern: RegExp) => RegExpExecArray | undefined;

/** Reads a text from its beginning. */
export function createReader(source: string): { match: Match; readonly at: number } {
  let at = 0;
  return {
    /** What matches here: it is behind the reader then. @param pattern with the flag y */
    match(pattern) {
      pattern.lastIndex = at;
      const found = pattern.exec(source) ?? undefined;
      if (found) at = pattern.lastIndex;
      return found;
    },
    get at() {
      return at;
    },
  };
}

/**
 * How often something is repeated; undefined if that is too often.
 * @param found a sign, the least number, a comma and the greatest number
 */
export function repetitions([sign, from, comma, to]: readonly string[]): [min: number, max: number] | undefined {
  const least = sign[0] === '+' ? 1 : Number(from ?? 0);
  const most = sign[0] === '?' ? 1 : to ? Number(to) : comma || !from ? Infinity : least;
  return least > most || (most < Infinity ? most : least) > MAX_REPEATS ? undefined : [least, most];
}
