/** Which names properties of an object have, as literals name them or tell them apart. */
import { memo } from './memo';
import type { Dfa } from './dfa';
import { ofType, rangeOf, type Formula, type Keys, type Literal } from './formula';
import type { Proofs } from './proofs';
import { ALL_TEXTS, dfaOf } from './strings';
import type { Terms } from './term';

export type Some = Extract<Literal, { type: 'some' | 'each' }>;

export const matchesKeys = (terms: Terms, { outside, term }: Keys, name: string): boolean =>
  !outside?.has(name) && (!term || terms.matches(term, name));

/** What literals say, by name and number. */
export function readLiterals(literals: readonly Literal[]) {
  const properties: readonly ReadonlyMap<string, Formula>[] = ofType(literals, 'properties').map(({ of }) => of);
  const each: readonly Some[] = ofType(literals, 'each');
  const some: readonly Some[] = ofType(literals, 'some');
  const excluded = ofType(literals, 'other').map(({ value }) => value as Record<string, unknown>);
  const wanted = ofType(literals, 'required').map(({ name }) => name);
  const dependent = ofType(literals, 'dependent');
  const inOrder = new Set([
    ...properties.flatMap((of) => [...of.keys()]),
    ...[...each, ...some].flatMap(({ keys }) => [...(keys.outside ?? [])]),
    ...wanted,
    ...dependent.flatMap(({ name, on }) => [name, ...on]),
    ...excluded.flatMap((other) => Object.keys(other)),
  ]);
  /** sorted, as the automaton of words wants them; those with lone surrogates cannot be written */
  const names: readonly string[] = [...inOrder].sort();
  const numbers = new Map(names.map((name, i) => [name, i]));
  const numberOf = (name: string): number => numbers.get(name)!;
  const order = new Int32Array(names.length);
  [...inOrder].forEach((name, i) => (order[numberOf(name)] = i));
  const dependents = new Map<number, number[]>();
  for (const { name, on } of dependent) memo(dependents, numberOf(name), () => []).push(...on.map(numberOf));
  return {
    range: rangeOf(ofType(literals, 'size')),
    ordered: ofType(literals, 'ordered').length > 0,
    properties,
    each,
    some,
    excluded,
    names,
    /** the place of a name in the order of the schema */
    order,
    required: [...new Set(wanted)].map(numberOf),
    dependents,
  };
}

interface OtherNames {
  dfa: Dfa;
  values: readonly Formula[];
  /** for each class, which of the `some` speak of its names */
  speaks: readonly (readonly boolean[])[];
}

/** How names fit the literals about each property and about some property. */
export function createNames(solver: Proofs, each: readonly Some[], some: readonly Some[]) {
  let madeOthers: OtherNames | undefined;
  const restricted = new Map<string, Dfa>();

  const matches = (keys: Keys, name: string): boolean => matchesKeys(solver.terms, keys, name);

  /** The classes of the names that are not known. */
  function otherNames(): OtherNames {
    if (madeOthers) return madeOthers;
    const terms = [...new Set([...each, ...some].flatMap(({ keys }) => keys.term ?? []))];
    const values: Formula[] = [];
    const speaks: boolean[][] = [];
    const classes = new Map<string, number>();
    const applies = ({ keys }: Some, member: readonly boolean[]): boolean =>
      !keys.term || member[terms.indexOf(keys.term)];
    const classOf = (member: readonly boolean[]): number =>
      memo(classes, member.join(), () => {
        speaks.push(some.map((one) => applies(one, member)));
        return values.push(solver.formulas.and(...each.flatMap((one) => (applies(one, member) ? one.of : [])))) - 1;
      });
    if (!terms.length) classOf([]);
    const dfa = terms.length ? dfaOf(solver.terms, terms, classOf) : ALL_TEXTS;
    madeOthers = { dfa, values, speaks };
    return madeOthers;
  }

  /** The automaton of the unknown names of some classes. */
  function dfaOfClasses(allowed: readonly number[]): Dfa {
    const { dfa, values } = otherNames();
    if (!dfa.only || allowed.length === values.length) return dfa;
    const key = allowed.join();
    return memo(restricted, key, () => dfa.only!((label) => allowed.includes(label)));
  }

  return { matches, otherNames, dfaOfClasses };
}
