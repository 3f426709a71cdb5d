/** Which lists a value may be, item by item. */
import { canonical, ofType, rangeOf, Unsupported, type Formula, type Literal } from './formula';
import { memo } from './memo';
import { createWhole, forbiddenAt, othersWith, type Proofs } from './proofs';

/** How far a list is. */
export interface ArrayState {
  readonly part: ArrayPart;
  /** items so far, as far as that matters */
  readonly length: number;
  /** for each `contains`, how many items so far are such, as far as that matters */
  readonly found: readonly number[];
  /** the items so far, where they may not be repeated */
  readonly values?: readonly string[];
  readonly items?: readonly unknown[];
  /** lists that this one must not be and that begin like it */
  readonly others: readonly (readonly unknown[])[];
  readonly key: string;
}

/** What the next item may be, and how far the list is behind it. */
export interface ItemOption {
  value: Formula;
  state: ArrayState;
}

const MAX_SEARCH = 20_000;

export type ArrayPart = ReturnType<typeof createArrayPart>;

export function createArrayPart(solver: Proofs, literals: readonly Literal[]) {
  const { and, not, otherThan } = solver.formulas;
  const [min, max] = rangeOf(ofType(literals, 'count'));
  const contains = ofType(literals, 'contains');
  const unique = ofType(literals, 'unique').length > 0;
  const excluded = ofType(literals, 'other').map(({ value }) => value as unknown[]);
  const lists = ofType(literals, 'items');
  /** from here on all items are alike */
  const steady = Math.max(0, ...lists.map(({ prefix }) => prefix.length), ...contains.map(({ from }) => from));
  const alike = new Map<number, Formula>();

  function stateOf(
    length: number,
    found: readonly number[],
    items: readonly unknown[],
    others: ArrayState['others'],
  ): ArrayState {
    const exact = unique || others.length > 0;
    const cap = Math.max(steady, min);
    const own = exact || max < Infinity ? length : Math.min(length, cap);
    const values = unique ? items.map(canonical) : undefined;
    const key = `${own}|${found.join()}|${values?.join() ?? ''}|${others.map(canonical).join()}`;
    return { part, length: own, found, others, key, ...(values && { values, items }) };
  }

  /** What the item at an index must be. */
  function itemAt(index: number): Formula {
    const at = Math.min(index, steady);
    return memo(alike, at, () => and(...lists.map(({ prefix, rest }) => prefix[at] ?? rest)));
  }

  /** What an item may be, with the `contains` that it counts for. */
  function optionsAt(index: number, found: readonly number[]): { value: Formula; found: readonly number[] }[] {
    let options = [{ value: itemAt(index), found }];
    contains.forEach(({ from, of, min, max }, i) => {
      if (index < from || (max === Infinity && found[i] >= min)) return;
      options = options.flatMap((option) => {
        const counted = option.found.map((n, j) => (j === i ? n + 1 : n));
        const without = max < Infinity ? and(option.value, not(of)) : option.value;
        return [
          ...(found[i] < max ? [{ value: and(option.value, of), found: counted }] : []),
          { value: without, found: option.found },
        ];
      });
    });
    return options.filter(({ value }) => solver.has(value));
  }

  const done = (found: readonly number[]): boolean =>
    contains.every(({ min, max }, i) => found[i] >= min && found[i] <= max);

  function canClose({ length, found, others }: ArrayState): boolean {
    return length >= min && done(found) && !others.some((other) => other.length === length);
  }

  /** Whether a list can be completed from here. */
  function reaches(state: ArrayState): boolean {
    if (state.length > max || min > max) return false;
    if (unique && !enoughValues(state)) return solver.doubt();
    if (!contains.length) {
      const last = Math.min(min, steady + 1);
      for (let i = state.length; i < last; i++) if (!solver.has(itemAt(i))) return false;
      return true;
    }
    // breadth first over lengths and counts
    const seen = new Set<string>();
    let layer = [{ length: state.length, found: state.found }];
    while (layer.length) {
      const next: typeof layer = [];
      for (const { length, found } of layer) {
        if (length >= min && done(found)) return true;
        if (length >= max) continue;
        for (const option of optionsAt(length, found)) {
          const at = length + 1;
          const key = `${at > steady && at >= min && max === Infinity ? steady : at} ${option.found.join()}`;
          if (seen.has(key)) continue;
          seen.add(key);
          if (seen.size > MAX_SEARCH) return solver.doubt();
          next.push({ length: at, found: option.found });
        }
      }
      layer = next;
    }
    return false;
  }

  /** Each of the items that must still come has more values than there are items before it. */
  function enoughValues(state: ArrayState): boolean {
    const wanted = contains.reduce((sum, one, i) => sum + Math.max(0, one.min - state.found[i]), 0);
    const last = Math.max(min, wanted ? state.length + wanted : 0);
    for (let i = state.length; i < last; i++) {
      const value = itemAt(i);
      const kinds = wanted ? contains.map(({ of }) => and(value, of)) : [value];
      if (!kinds.every((one) => solver.count(one) > i)) return false;
      if (i > steady && solver.count(value) === Infinity) break;
    }
    return true;
  }

  /** A lower bound of the number of lists from here. */
  function countFrom(state: ArrayState): number {
    if (!reaches(state)) return 0;
    const limited = contains.some((one) => one.max < Infinity);
    const rest = itemAt(Infinity);
    const endless = (formula: Formula): boolean =>
      solver.has(formula) && (!unique || solver.count(formula) === Infinity);
    if (max === Infinity && !limited && endless(rest)) {
      let through = true;
      for (let i = state.length; through && i < steady; i++) through = endless(itemAt(i));
      if (through) return Infinity;
    }
    if (contains.length) return 1;
    let sum = 0;
    let product = 1;
    for (let i = state.length; i <= max && product > 0 && sum < 1e6 && i < state.length + 1000; i++) {
      if (i >= min) sum += product;
      product *= Math.max(0, solver.count(itemAt(i)) - (unique ? i : 0));
    }
    return sum > 1e6 ? Infinity : sum;
  }
  function optionsFor(state: ArrayState): ItemOption[] {
    const { length } = state;
    if (length >= max) return [];
    return optionsAt(length, state.found).flatMap(({ value, found }) => {
      const next = stateOf(length + 1, found, [...(state.items ?? []), null], []);
      if (!reaches(next)) return [];
      const forbidden = forbiddenAt(state.others, length, () => countFrom(next));
      const wanted = and(value, ...[...(state.items ?? []), ...forbidden].map(otherThan));
      return solver.has(wanted) ? [{ value: wanted, state: next }] : [];
    });
  }

  /** The state behind an item, once it is known. */
  function after(before: ArrayState, option: ArrayState, item: unknown): ArrayState {
    if (!needsValues(before)) return option;
    const others = othersWith(before.others, before.length, item);
    return stateOf(before.length + 1, option.found, unique ? [...before.items!, item] : [], others);
  }

  const needsValues = ({ others }: ArrayState): boolean => unique || others.length > 0;

  /** All that items can have to be. */
  function inner(): Formula[] {
    const all: Formula[] = [];
    for (let i = 0; i <= steady && i < max; i++) {
      const value = itemAt(i);
      all.push(value);
      for (const { of, max } of contains) {
        all.push(and(value, of));
        if (max < Infinity) all.push(and(value, not(of)));
      }
    }
    if (unique && contains.some(({ max }) => max < Infinity)) throw new Unsupported('uniqueItems beside maxContains');
    return all;
  }

  const begin = (): ArrayState =>
    stateOf(
      0,
      contains.map(() => 0),
      [],
      excluded,
    );
  const part = {
    ...createWhole(begin, excluded, reaches, countFrom),
    canClose,
    options: optionsFor,
    after,
    needsValues,
    inner,
  };
  return part;
}
