/** Sets of code points as lists [low, high, low, high, …]: inclusive, ascending, apart from each other. */

export type Ranges = readonly number[];

const LAST = 0x10ffff;

/** Every character: surrogates are none. */
export const ANY: Ranges = [0, 0xd7ff, 0xe000, LAST];

export function normalize(pairs: readonly (readonly [number, number])[]): number[] {
  const sorted = [...pairs].sort((a, b) => a[0] - b[0]);
  const out: number[] = [];
  for (const [low, high] of sorted) {
    const last = out.length - 1;
    if (low <= out[last] + 1) out[last] = Math.max(out[last], high);
    else out.push(low, high);
  }
  return out;
}

export const pairsOf = (set: Ranges): [number, number][] =>
  Array.from({ length: set.length / 2 }, (_, i) => [set[2 * i], set[2 * i + 1]]);

export const union = (...sets: Ranges[]): number[] => normalize(sets.flatMap(pairsOf));

export function complement(set: Ranges): number[] {
  const out: number[] = [];
  let at = 0;
  for (const [low, high] of pairsOf(set)) {
    if (low > at) out.push(at, low - 1);
    at = high + 1;
  }
  if (at <= LAST) out.push(at, LAST);
  return intersect(out, ANY);
}

export function intersect(a: Ranges, b: Ranges): number[] {
  const out: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const low = Math.max(a[i], b[j]);
    const high = Math.min(a[i + 1], b[j + 1]);
    if (low <= high) out.push(low, high);
    if (a[i + 1] < b[j + 1]) i += 2;
    else j += 2;
  }
  return out;
}

export function containsPoint(set: Ranges, point: number): boolean {
  let low = 0;
  let high = set.length / 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (set[2 * middle + 1] < point) low = middle + 1;
    else high = middle;
  }
  return 2 * low < set.length && set[2 * low] <= point;
}

/** Every character in order, as UTF-16: those of one unit, then those of two. */
let everything: string | undefined;
const SINGLE = 0x10000 - 0x800;
const pointAt = (index: number): number =>
  index >= SINGLE ? 0x10000 + (index - SINGLE) / 2 : index < 0xd800 ? index : index + 0x800;

function allCharacters(): string {
  const units = new Uint16Array(SINGLE + 2 * 0x100000);
  for (let i = 0; i < SINGLE; i++) units[i] = pointAt(i);
  for (let i = 0; i < 0x100000; i++) {
    units[SINGLE + 2 * i] = 0xd800 + (i >> 10);
    units[SINGLE + 2 * i + 1] = 0xdc00 + (i & 0x3ff);
  }
  return new TextDecoder('utf-16le', { ignoreBOM: true }).decode(units);
}

/** The characters that a class of a regular expression matches. @param source of one character, as `\p{L}` */
export function rangesOf(source: string): number[] {
  everything ??= allCharacters();
  const found: [number, number][] = [];
  for (const { 0: run, index } of everything.matchAll(new RegExp(`(?:${source})+`, 'gu'))) {
    const end = index + run.length;
    found.push([pointAt(index), end > SINGLE ? pointAt(end) - 1 : pointAt(end - 1)]);
  }
  return intersect(normalize(found), ANY);
}
