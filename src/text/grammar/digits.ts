/** The automaton of the digits of numbers that fit conditions. */
import { plainText, scaled, type Decimal } from './decimal';
import { Unsupported } from './formula';
import { DEAD, type Lexer } from './lexer';
import { memo } from './memo';

/** Numbers with conditions have at most this many digits: each of them is another number in JavaScript, too. */
const MAX_DIGITS = 15;
/** Digits behind the point where no condition asks for more. */
const FRACTION_DIGITS = 6;
export interface Bound {
  value: Decimal;
  side: 'low' | 'high';
  /** the value itself is none of the numbers */
  open: boolean;
}

export interface Conditions {
  low?: Bound;
  high?: Bound;
  multiples: readonly Decimal[];
  notMultiples: readonly Decimal[];
  excluded: readonly Decimal[];
}

const gcd = (a: bigint, b: bigint): bigint => (b ? gcd(b, a % b) : a);
const lcm = (a: bigint, b: bigint): bigint => (a / gcd(a, b)) * b;

/**
 * How many digits numbers have, and their bounds. In units of the last digit, values are whole numbers below 10^15, so
 * all arithmetic is exact.
 */
interface Scale {
  /** digits before and behind the point */
  integers: number;
  fraction: number;
  /** the greatest number of so many digits, in units of the last one, as those that follow */
  limit: number;
  lowest: number;
  highest: number;
}

/** @throws Unsupported */
function scaleOf({ low, high, multiples, notMultiples }: Conditions): Scale {
  const whole = multiples.some((of) => of.scale <= 0);
  const bounds = [low, high].flatMap((one) => one?.value ?? []);
  const needed = Math.max(0, ...[...bounds, ...multiples, ...notMultiples].map(({ scale }) => scale));
  const least = Math.max(1, ...bounds.map((one) => plainText(one).replace(/^-|\..*/g, '').length));
  const room = Math.max(0, MAX_DIGITS - least);
  const both = bounds.length === 2;
  const wanted = both ? needed + FRACTION_DIGITS : Math.max(needed, FRACTION_DIGITS);
  // the fraction of a whole number is .0
  const fraction = Math.min(room, whole ? 1 : wanted);
  const integers = both ? Math.min(MAX_DIGITS, least) : MAX_DIGITS - fraction;
  const limit = 10 ** (integers + fraction) - 1;
  // the next value inside of a bound
  const inside = ({ value, side, open }: Bound): number => {
    const { floor, exact } = scaled(value, fraction);
    return clip(floor + BigInt(side === 'low' ? (exact && !open ? 0 : 1) : exact && open ? -1 : 0), limit);
  };
  const lowest = low ? inside(low) : -limit;
  const highest = high ? inside(high) : limit;
  if (lowest > limit || highest < -limit) throw new Unsupported(`numbers of more than ${MAX_DIGITS} digits`);
  return {
    integers,
    fraction,
    limit,
    lowest: Math.max(-limit, lowest),
    highest: Math.min(limit, highest),
  };
}

/** Beyond the limit, one unit behind it. */
function clip(value: bigint, limit: number): number {
  const most = BigInt(limit) + 1n;
  return Number(value > most ? most : value < -most ? -most : value);
}

interface Counter {
  /** how many values there are from a to b, in units of the last digit */
  valuesIn(a: number, b: number): number;
  /** excluded values that would fit otherwise */
  missing: readonly number[];
  /** numbers with the same remainder fulfil the same conditions, but for bounds and excluded values */
  period: bigint;
}

/** @throws Unsupported */
function counterOf(
  { multiples, notMultiples, excluded }: Conditions,
  { fraction, limit, lowest, highest }: Scale,
): Counter {
  if (notMultiples.length > 3) throw new Unsupported('more than three excluded multiples of a number');
  const LIMIT = BigInt(limit);
  /** A multiple in units of the last digit; every value that has these digits and is one is one of these units. */
  const unitsOf = (of: Decimal): bigint => {
    const scale = Math.max(fraction, of.scale);
    const unit = 10n ** BigInt(scale - fraction);
    // x · unit is a multiple of `of` in the finer scale exactly if x is one of of / gcd(of, unit)
    const fine = scaled(of, scale).floor;
    return fine / gcd(fine, unit);
  };
  const step = multiples.map(unitsOf).reduce(lcm, 1n);
  const barred = notMultiples.map(unitsOf);
  const asStep = (value: bigint): number => Number(value > LIMIT ? LIMIT + 1n : value);
  /** steps to count, with signs: inclusion and exclusion of the barred multiples */
  const steps: { step: number; sign: number }[] = [];
  for (let subset = 0; subset < 1 << barred.length; subset++) {
    const chosen = barred.filter((_, i) => subset & (1 << i));
    steps.push({ step: asStep(chosen.reduce(lcm, step)), sign: chosen.length % 2 ? -1 : 1 });
  }
  const period = steps.reduce((all, { step: one }) => (all > LIMIT ? all : lcm(all, BigInt(one))), 1n);
  const out = excluded
    .map((value) => scaled(value, fraction))
    .filter(({ exact }) => exact)
    .map(({ floor }) => clip(floor, limit));
  const isValue = (x: number): boolean => steps.reduce((sum, { step: one, sign }) => sum + (x % one ? 0 : sign), 0) > 0;
  const missing = [...new Set(out)].filter(isValue);

  /** how many values there are from a to b */
  function valuesIn(a: number, b: number): number {
    const from = Math.max(a, lowest);
    const to = Math.min(b, highest);
    if (from > to) return 0;
    let sum = 0;
    for (const { step: one, sign } of steps) sum += sign * (Math.floor(to / one) - Math.ceil(from / one) + 1);
    for (const x of missing) if (x >= from && x <= to) sum--;
    return sum;
  }
  return { valuesIn, missing, period };
}

/** The lexer of numbers that fit conditions. @throws Unsupported */
export function createDigits(conditions: Conditions): Lexer & { count: number } {
  const scale = scaleOf(conditions);
  const { integers, fraction, limit, lowest, highest } = scale;
  const { valuesIn, missing, period } = counterOf(conditions, scale);

  // a state: sign, digits read, how many of them before and behind the point (−1: no point yet)
  interface State {
    sign: 1 | -1;
    digits: number;
    before: number;
    behind: number;
  }
  const ids = new Map<string, number>();
  const states: State[] = [];
  const rows: (Int32Array | undefined)[] = [];

  function idOf(state: State): number {
    const { sign, digits, before, behind } = state;
    let alive = false;
    // what follows depends on the digits only where a bound or an excluded value is near, and on their remainder
    let exact = before === 0 || digits === 0 || period > limit;
    let inside = '';
    /** an interval that the digits can become, without the sign */
    const look = (low: number, high: number): void => {
      const a = sign > 0 ? low : -high;
      const b = sign > 0 ? high : -Math.max(low, 1);
      alive ||= valuesIn(a, b) > 0;
      exact ||= (a < lowest && b >= lowest) || (a <= highest && b > highest) || missing.some((x) => x >= a && x <= b);
      inside += a >= lowest && b <= highest ? 1 : 0;
    };
    if (before === 0) look(0, limit);
    else
      for (let more = 0; more <= (behind < 0 && digits > 0 ? integers - before : 0); more++) {
        const unit = 10 ** (fraction - Math.max(behind, 0) + more);
        look(digits * unit, digits * unit + unit - 1);
      }
    if (!alive) return DEAD;
    const what = exact ? digits : `${digits % Number(period)}r${inside}`;
    const key = `${sign} ${before} ${behind} ${what}`;
    return memo(ids, key, () => states.push(state) - 1);
  }

  function buildRow(id: number): Int32Array {
    const row = new Int32Array(256).fill(DEAD);
    const state = states[id];
    const { sign, digits, before, behind } = state;
    if (before === 0 && sign > 0) row[45] = idOf({ ...state, sign: -1 });
    if (before > 0 && behind < 0 && fraction > 0) row[46] = idOf({ ...state, behind: 0 });
    for (let digit = 0; digit < 10; digit++) {
      const next = digits * 10 + digit;
      if (behind >= 0) {
        if (behind < fraction) row[48 + digit] = idOf({ ...state, digits: next, behind: behind + 1 });
      } else if (before < integers && (before === 0 || digits > 0))
        row[48 + digit] = idOf({ ...state, digits: next, before: before + 1 });
    }
    return row;
  }

  function label(id: number): number {
    const { sign, digits, before, behind } = states[id];
    if (before === 0 || behind === 0) return -1;
    const value = digits * 10 ** (fraction - Math.max(0, behind));
    if (sign < 0 && value === 0) return -1;
    return valuesIn(sign * value, sign * value) > 0 ? 0 : -1;
  }

  const all = valuesIn(-limit, limit);
  return {
    // also where all values are negative
    start: all > 0 ? states.push({ sign: 1, digits: 0, before: 0, behind: -1 }) - 1 : DEAD,
    open: true,
    row: (state) => (rows[state] ??= buildRow(state)),
    label,
    isAny: () => false,
    partial: () => 0,
    targets: (state) => [state],
    need: () => 0,
    count: all > 1_000_000 ? Infinity : all,
  };
}
