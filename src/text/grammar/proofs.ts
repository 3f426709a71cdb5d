/** What the parts of a formula ask of the whole: whether there are values, and how many. */
import { memo } from './memo';
import { canonical, type Formula, type Formulas } from './formula';
import type { Terms } from './term';

export interface Proofs {
  readonly terms: Terms;
  readonly formulas: Formulas;
  /** Whether some value is such. @throws Unsupported */
  has(formula: Formula): boolean;
  /** A lower bound of the number of such values. */
  count(formula: Formula): number;
  /** records that a proof was not found, though there may be one */
  doubt(): false;
}

/**
 * What a part says of all its lists or objects.
 * @param begin the state before any item or property
 * @param excluded lists or objects that are none of them
 * @param reaches whether one can be completed from a state, but for those
 * @param countFrom a lower bound of the number of them from a state
 */
export function createWhole<State>(
  begin: () => State,
  excluded: readonly unknown[],
  reaches: (state: State) => boolean,
  countFrom: (state: State) => number,
) {
  let made: State | undefined;
  let found = false;
  const start = (): State => (made ??= begin());
  const has = (): boolean => (found ||= reaches(start()) && (!excluded.length || countFrom(start()) > excluded.length));
  return {
    /** whether there is one */
    has,
    begin: () => (has() ? start() : null),
    /** a lower bound of their number */
    count: () => Math.max(0, countFrom(start()) - excluded.length),
  };
}

const valuesAt = (others: readonly object[], at: string | number): unknown[] =>
  others.flatMap((other) => (Object.hasOwn(other, at) ? [(other as Record<string | number, unknown>)[at]] : []));

/** Those of some lists or objects that have this item or property. */
export function othersWith<T extends object>(others: readonly T[], at: string | number, value: unknown): T[] {
  const text = canonical(value);
  return others.filter((other) => valuesAt([other], at).some((one) => canonical(one) === text));
}

/** What an item or property must not be: it leaves as many excluded lists or objects as there are completions. */
export function forbiddenAt(others: readonly object[], at: string | number, completions: () => number): unknown[] {
  const groups = new Map<string, unknown[]>();
  for (const value of valuesAt(others, at)) memo(groups, canonical(value), () => []).push(value);
  const left = groups.size ? completions() : 0;
  return [...groups.values()].flatMap((same) => (left <= same.length ? same.slice(0, 1) : []));
}
