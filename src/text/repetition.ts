/** Finds the end of an answer that says one thing over and over. */

/** Tokens of the longest run that counts as one thing. */
const MAX_PERIOD = 64;
/** It has been said this often, and has at least so many tokens together: a table of zeros may repeat itself, too. */
const MIN_TIMES = 8;
const MIN_TOKENS = 128;

/** @returns takes the next token; true when the last tokens are one run of up to 64 tokens, over and over */
export function createRepetitionDetector(): (id: number) => boolean {
  const last: number[] = [];
  /** by period: how many of the last tokens equal those one period before */
  const equal = new Uint32Array(MAX_PERIOD + 1);
  let count = 0;
  return (id) => {
    let repeats = false;
    for (let period = 1; period <= MAX_PERIOD; period++) {
      const before = count - period;
      equal[period] = before >= 0 && last[before % MAX_PERIOD] === id ? equal[period] + 1 : 0;
      const tokens = equal[period] + period;
      repeats ||= tokens >= MIN_TOKENS && tokens >= MIN_TIMES * period;
    }
    last[count++ % MAX_PERIOD] = id;
    return repeats;
  };
}
