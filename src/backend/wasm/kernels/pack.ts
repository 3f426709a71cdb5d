/** Packs the kernels for unpack.ts, into as few bytes as a search over all ways to repeat finds. */
import { createModel, createUnpacker, FIRST_TOKEN, type PackedToken } from '../../unpack.ts';

/** A repeat of `length` bytes, and of any fewer, from `distance` back. */
type Repeat = Pick<PackedToken, 'length' | 'distance'>;

/** The cheapest way to a position, and its last token. */
interface Way {
  bits: number;
  from: number;
  token: PackedToken;
}

/** How far ahead the search looks, and how much of what it finds is used. */
const [AHEAD, USED] = [3000, 2000];
const LONGEST = 2000;
/** of a repeat, how many lengths below its longest are tried */
const LENGTHS = 40;

/** of a bit that has the probability n/4096 */
const BITS = Float64Array.from({ length: 4097 }, (_, n) => -Math.log2(n / 4096));

/** For each position the repeats that start there: each is longer than those that are nearer. */
function findRepeats(bytes: Uint8Array): Repeat[][] {
  const latest = new Map<number, number>();
  const earlier = new Int32Array(bytes.length);
  return Array.from(bytes, (byte, at) => {
    const pair = byte * 256 + bytes[at + 1];
    const found: Repeat[] = [];
    let longest = 1;
    const most = Math.min(LONGEST, bytes.length - at);
    for (let from = latest.get(pair) ?? -1; from >= 0 && longest < most; from = earlier[from]) {
      if (bytes[from + longest] !== bytes[at + longest]) continue;
      const length = countEqual(bytes, from, at);
      if (length > longest) found.push({ length: (longest = length), distance: at - from });
    }
    earlier[at] = latest.get(pair) ?? -1;
    latest.set(pair, at);
    return found;
  });
}

function countEqual(bytes: Uint8Array, from: number, at: number): number {
  let length = 0;
  while (at + length < bytes.length && bytes[from + length] === bytes[at + length] && length < LONGEST) length++;
  return length;
}

/** @returns what createUnpacker takes. @throws if that does not give the bytes back */
export function pack(bytes: Uint8Array): Uint8Array {
  const coder = createRangeCoder();
  let price: number | undefined;
  const model = createModel((ones, bit) => {
    if (price === undefined) coder.code(ones, bit);
    else price += BITS[bit ? ones : 4096 - ones];
    return bit;
  });
  const priceOf = (code: () => unknown): number => {
    [price, model.learns] = [0, false];
    code();
    const bits = price;
    [price, model.learns] = [undefined, true];
    return bits;
  };
  const out = Uint8Array.from(bytes);
  const repeats = findRepeats(bytes);
  let last = FIRST_TOKEN;
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + AHEAD);
    const stop = end === bytes.length ? end : at + USED;
    for (const token of cheapestTokens(out, repeats, { at, end, last }, model, priceOf)) {
      if (at >= stop) break;
      last = model.token(out, at, last, token);
      at += token.length || 1;
    }
  }
  const packed = coder.finish();
  if (Buffer.compare(createUnpacker(packed, bytes.length)(0, bytes.length), bytes))
    throw new Error('the packed bytes do not unpack to the same');
  return packed;
}

/** The way through a stretch of the bytes that takes the fewest bits. */
function cheapestTokens(
  out: Uint8Array,
  repeats: Repeat[][],
  { at: start, end, last }: { at: number; end: number; last: PackedToken },
  model: ReturnType<typeof createModel>,
  priceOf: (code: () => unknown) => number,
): PackedToken[] {
  const ways: Way[] = [];
  ways[start] = { bits: 0, from: -1, token: last };
  const known = new Map<string, number>();
  const cached = (key: string, code: () => unknown): number => {
    const price = known.get(key) ?? priceOf(code);
    known.set(key, price);
    return price;
  };
  for (let at = start; at < end; at++) {
    const { token, bits } = ways[at];
    const tryToken = (price: number, length: number, distance: number): void => {
      const to = at + (length || 1);
      if (bits + price >= (ways[to]?.bits ?? Infinity)) return;
      const history = ((token.history * 2) & 7) + +(length > 0);
      ways[to] = { bits: bits + price, from: at, token: { length, distance, history } };
    };
    const flags = [0, 1].map((flag) => priceOf(() => model.flag(out, at, token, flag)));
    const agains = [0, 1].map((again) => priceOf(() => model.again(out, at, token, again)));
    const tryRepeat = (again: number, distance: number, shortest: number, longest: number): void => {
      for (let length = Math.min(longest, end - at), i = 0; length >= shortest && i < LENGTHS; length--, i++) {
        let price = flags[1] + agains[again] + cached(`${again} ${length}`, () => model.length(again, length));
        if (!again) price += cached(`${length} at ${distance}`, () => model.distance(length, distance));
        tryToken(price, length, distance);
      }
    };
    tryToken(flags[0] + priceOf(() => model.byte(out, at, token, out[at])), 0, token.distance);
    const { distance } = token;
    if (!(token.history & 1) && at >= distance) tryRepeat(1, distance, 1, countEqual(out, at - distance, at));
    let shortest = 2;
    for (const repeat of repeats[at]) {
      if (token.history & 1 || repeat.distance !== distance) tryRepeat(0, repeat.distance, shortest, repeat.length);
      shortest = repeat.length + 1;
    }
  }
  const tokens: PackedToken[] = [];
  for (let at = end; at > start; at = ways[at].from) tokens.unshift(ways[at].token);
  return tokens;
}

/** A range coder with carries, for the unpacker's. */
function createRangeCoder() {
  const bytes: number[] = [];
  // the bytes of `low` that may still change, and the range, have 30 bits, of which the unpacker first reads 24
  let [low, range] = [0, 2 ** 24];
  const shift = (): void => {
    bytes.push(Math.floor(low / 2 ** 16));
    low = (low % 2 ** 16) * 256;
    range *= 256;
  };
  return {
    code(ones: number, bit: number): void {
      const bound = (range >> 12) * ones;
      if (bit) range = bound;
      else [low, range] = [low + bound, range - bound];
      while (range < 2 ** 22) shift();
    },
    finish(): Uint8Array {
      for (let i = 0; i < 4; i++) shift();
      for (let i = bytes.length - 1; i > 0; i--) {
        bytes[i - 1] += bytes[i] >> 8;
        bytes[i] &= 255;
      }
      return Uint8Array.from(bytes);
    },
  };
}
