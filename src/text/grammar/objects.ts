/** Which objects a value may be, property by property. */
import { wordsDfa } from './dfa';
import { canonical, Unsupported, type Formula, type Literal } from './formula';
import type { Writing } from './lexer';
import type { PieceKind } from './piece';
import { createWhole, forbiddenAt, othersWith, type Proofs } from './proofs';
import { createNames, readLiterals, type Some } from './property_names';
import { accepts, kindWithout, lexerOf } from './strings';

/** How far an object is. */
export interface ObjectState {
  readonly part: ObjectPart;
  /** the known names that it has, by number */
  readonly present: ReadonlySet<number>;
  /** its other names */
  readonly extra: readonly string[];
  /** for each `some`, whether a property has fulfilled it */
  readonly done: readonly boolean[];
  /** in the order of the schema: behind which known name it is */
  readonly last: number;
  /** objects that this one must not be and that have all its properties */
  readonly others: readonly Readonly<Record<string, unknown>>[];
  readonly key: string;
}

export interface PropertyOption {
  value: Formula;
  state: ObjectState;
}

/** A name: its number, or that of the class of unknown names to which it belongs. */
export type Name = { known: number } | { other: number; text: string };

/** A piece that a name may be, with the name that each of its labels is. */
export interface KeyPiece {
  kind: PieceKind;
  nameOf(label: number, text: string): Name;
}

export type ObjectPart = ReturnType<typeof createObjectPart>;

export function createObjectPart(solver: Proofs, literals: readonly Literal[]) {
  const { and, otherThan, ANY, NEVER } = solver.formulas;
  const { range, ordered, properties, each, some, excluded, names, order, required, dependents } =
    readLiterals(literals);
  const [min, max] = range;
  const words = wordsDfa(names);
  const madeValues: (Formula | undefined)[] = [];
  const { matches, otherNames, dfaOfClasses } = createNames(solver, each, some);

  function stateOf(
    present: ReadonlySet<number>,
    extra: readonly string[],
    done: readonly boolean[],
    last: number,
    others: ObjectState['others'],
  ): ObjectState {
    const names = [...present].sort((a, b) => a - b).join();
    const key = `${names}|${JSON.stringify(extra)}|${done.join()}|${last}|${others.map(canonical).join()}`;
    return { part, present, extra, done, last, others, key };
  }

  /** What the value of a known name must be. */
  const valueOf = (number: number): Formula => (madeValues[number] ??= makeValue(names[number]));
  const makeValue = (name: string): Formula =>
    /\p{Cs}/u.test(name)
      ? NEVER
      : and(
          ...properties.map((of) => of.get(name) ?? ANY),
          ...each.filter(({ keys }) => matches(keys, name)).map(({ of }) => of),
        );
  const possible = (number: number): boolean => solver.has(valueOf(number));

  const sizeOf = ({ present, extra }: ObjectState): number => present.size + extra.length;

  /** The known names that must still come. */
  function missingIn({ present }: ObjectState): Set<number> {
    const wanted = new Set(required);
    if (dependents.size) {
      const all = new Set([...present, ...required]);
      for (const number of all)
        for (const on of dependents.get(number) ?? []) {
          all.add(on);
          wanted.add(on);
        }
    }
    for (const number of present) wanted.delete(number);
    return wanted;
  }

  function isLater(number: number, { present, last }: ObjectState): boolean {
    return !present.has(number) && (!ordered || order[number] > last);
  }

  function canClose(state: ObjectState): boolean {
    const size = sizeOf(state);
    return (
      size >= min &&
      size <= max &&
      state.done.every(Boolean) &&
      !missingIn(state).size &&
      !state.others.some((other) => Object.keys(other).length === size)
    );
  }

  function reaches(state: ObjectState): boolean {
    const missing = missingIn(state);
    const size = sizeOf(state);
    if (size + missing.size > max || min > max) return false;
    for (const number of missing) if (!isLater(number, state) || !possible(number)) return false;
    let needed = missing.size;
    for (const [i, one] of some.entries()) {
      if (state.done[i]) continue;
      const witness = witnessOf(state, one, i, missing);
      if (witness === 'none') return false;
      // one property could fulfil several: this is not looked for
      if (witness === 'another') needed++;
    }
    if (size + needed > max) return solver.doubt();
    if (size + needed >= min) return true;
    return availableFor(state, min - size) >= min - size;
  }

  /** Whether a property can fulfil a `some`: one that must come anyway, or another one. */
  function witnessOf(
    state: ObjectState,
    { keys, of }: Some,
    i: number,
    missing: ReadonlySet<number>,
  ): 'missing' | 'another' | 'none' {
    const can = (number: number): boolean => matches(keys, names[number]) && solver.has(and(valueOf(number), of));
    for (const number of missing) if (can(number)) return 'missing';
    for (let number = 0; number < names.length; number++) if (isLater(number, state) && can(number)) return 'another';
    const { speaks } = otherNames();
    return countNames(state, (value, c) => speaks[c][i] && solver.has(and(value, of))) ? 'another' : 'none';
  }

  const classesOf = (test: (value: Formula, c: number) => boolean): number[] =>
    otherNames().values.flatMap((value, c) => (test(value, c) ? [c] : []));
  /** How many unknown names of some classes are left. */
  function countNames({ extra }: ObjectState, test: (value: Formula, c: number) => boolean = solver.has): number {
    const classes = classesOf(test);
    const dfa = dfaOfClasses(classes);
    const all = classes.length && dfa.start >= 0 ? dfa.count(dfa.start) : 0;
    return all && all < Infinity ? all - [...names, ...extra].filter((name) => accepts(dfa, name)).length : all;
  }

  /** How many more properties there can be, as far as `wanted`. */
  function availableFor(state: ObjectState, wanted: number): number {
    let sum = 0;
    for (let number = 0; number < names.length && sum < wanted; number++)
      if (isLater(number, state) && possible(number)) sum++;
    return sum >= wanted ? sum : sum + countNames(state);
  }

  /** A lower bound of the number of objects from here. */
  function countFrom(state: ObjectState): number {
    if (!reaches(state)) return 0;
    if (some.length || dependents.size) return 1;
    const size = sizeOf(state);
    const missing = missingIn(state);
    const room = max - size - missing.size;
    if (room > 0 && countNames(state) === Infinity) return Infinity;
    let product = 1;
    for (const number of missing) product *= solver.count(valueOf(number));
    if (size + missing.size < min) return product;
    let more = 1;
    if (room > 0)
      for (let number = 0; number < names.length; number++)
        if (isLater(number, state) && !missing.has(number)) more += solver.count(valueOf(number));
    return product * more;
  }
  /** The pieces that a name may be, with the name that each of their labels is. */
  function keysOf(state: ObjectState, writing: Writing): KeyPiece[] {
    const missing = missingIn(state);
    const pieces: KeyPiece[] = [];
    const room = max - sizeOf(state) - missing.size;
    const next = Math.min(Infinity, ...[...missing].map((number) => order[number]));
    const simply = !some.length && !dependents.size && !state.others.length;
    const before = new Int32Array(names.length + 1);
    for (let number = 0; number < names.length; number++) {
      const allowed =
        isLater(number, state) &&
        (!ordered || order[number] <= next) &&
        (simply
          ? (room > 0 || missing.has(number)) && possible(number)
          : optionsFor(state, { known: number }).length > 0);
      before[number + 1] = before[number] + (allowed ? 1 : 0);
    }
    if (before[names.length])
      pieces.push({
        kind: { lexer: lexerOf(words, writing), min: 0, max: Infinity, allowed: { dfa: words, before } },
        nameOf: (known) => ({ known }),
      });
    const possibleHere = (_: Formula, other: number): boolean => optionsFor(state, { other, text: '' }).length > 0;
    if (countNames(state, possibleHere))
      pieces.push({
        kind: kindWithout(dfaOfClasses(classesOf(possibleHere)), [...names, ...state.extra], writing),
        nameOf: (other, text) => ({ other, text }),
      });
    return pieces;
  }

  /** What the value of a name may be, and how far the object is behind it. */
  function optionsFor(state: ObjectState, name: Name): PropertyOption[] {
    const known = 'known' in name;
    const base = known ? valueOf(name.known) : otherNames().values[name.other];
    const isOf = (some: Some, i: number): boolean =>
      known ? matches(some.keys, names[name.known]) : otherNames().speaks[name.other][i];
    const present = known ? new Set([...state.present, name.known]) : state.present;
    const extra = known ? state.extra : [...state.extra, name.text];
    const text = known ? names[name.known] : name.text;
    const missing = ordered && !known ? missingIn(state).size : 0;
    if (missing) return [];
    const last = !ordered ? -1 : known ? order[name.known] : names.length;
    let options = [{ value: base, done: state.done }];
    some.forEach((some, i) => {
      if (state.done[i] || !isOf(some, i)) return;
      options = options.flatMap((option) => [
        { value: and(option.value, some.of), done: option.done.map((one, j) => one || i === j) },
        option,
      ]);
    });
    return options.flatMap(({ value, done }) => {
      const next = stateOf(present, extra, done, last, []);
      if (!solver.has(value) || !reaches(next)) return [];
      const forbidden = forbiddenAt(state.others, text, () => countFrom(next));
      const wanted = and(value, ...forbidden.map(otherThan));
      return solver.has(wanted) ? [{ value: wanted, state: next }] : [];
    });
  }

  /** The state behind a property, once its value is known. */
  function after(before: ObjectState, option: ObjectState, name: string, value: unknown): ObjectState {
    if (!before.others.length) return option;
    const others = othersWith(before.others, name, value);
    return stateOf(option.present, option.extra, option.done, option.last, others);
  }

  const needsValues = ({ others }: ObjectState): boolean => others.length > 0;

  /** All that values of properties can have to be. @throws Unsupported */
  function inner(): Formula[] {
    if (dependents.size && min > required.length && max < Infinity)
      throw new Unsupported('minProperties and maxProperties beside dependent properties');
    const all: Formula[] = [];
    for (let number = 0; number < names.length; number++) {
      all.push(valueOf(number));
      for (const { keys, of } of some) if (matches(keys, names[number])) all.push(and(valueOf(number), of));
    }
    const { values, speaks } = otherNames();
    values.forEach((value, c) => {
      all.push(value);
      some.forEach(({ of }, i) => {
        if (speaks[c][i]) all.push(and(value, of));
      });
    });
    return all;
  }

  const begin = (): ObjectState =>
    stateOf(
      new Set(),
      [],
      some.map(() => false),
      -1,
      excluded,
    );
  const part = {
    ...createWhole(begin, excluded, reaches, countFrom),
    names,
    canClose,
    keys: keysOf,
    options: optionsFor,
    after,
    needsValues,
    inner,
  };
  return part;
}
