/** Formulas as alternatives, and whether any value is such. */
import { memo } from './memo';
import {
  ARRAY,
  createFormulas,
  EVERYTHING,
  FALSE,
  NULL,
  NUMBER,
  OBJECT,
  STRING,
  TRUE,
  typeOf,
  Unsupported,
  type Formula,
  type Literal,
} from './formula';
import { createArrayPart } from './arrays';
import { createNumberPart } from './numbers';
import { createObjectPart } from './objects';
import type { Proofs } from './proofs';
import { createStringPart } from './strings';
import { sharedTerms } from './term';

/** One alternative: a set of kinds of values, and what holds for those of each kind. */
export interface Shape {
  readonly mask: number;
  /** by id; none is about other kinds than `mask` has */
  readonly literals: readonly Formula[];
  readonly key: string;
}

const MAX_ALTERNATIVES = 400;
/** formulas whose alternatives are looked at when a schema is compiled */
const MAX_EXPLORED = 60_000;

/** Proofs that there are finite values. What waits for itself has none. */
function createProver() {
  const proofs = new Map<object, boolean>();
  const proving = new Set<object>();
  /** proofs that were not found, though there may be one */
  const doubtful = new Set<object>();
  /** formulas that are being opened, and proofs that were not found because they would have needed themselves */
  let opening = new Set<Formula>();
  let circular = new Set<object>();
  /** whether a proof was not found, though there may be one */
  let unsure = false;

  function prove(subject: object, look: () => boolean): boolean {
    const known = proofs.get(subject);
    if (known === false && doubtful.has(subject)) unsure = true;
    if (known !== undefined) return known;
    if (proving.has(subject)) {
      circular.add(subject);
      return false;
    }
    const outer = { circular, opening, unsure };
    circular = new Set();
    opening = new Set();
    unsure = false;
    proving.add(subject);
    try {
      const found = look();
      circular.delete(subject);
      if (found || !circular.size) proofs.set(subject, found);
      if (found) unsure = false;
      else if (unsure) doubtful.add(subject);
      return found;
    } finally {
      proving.delete(subject);
      for (const one of circular) outer.circular.add(one);
      unsure ||= outer.unsure;
      ({ circular, opening } = outer);
    }
  }

  return {
    prove,
    isRefuted: (subject: object) => proofs.get(subject) === false,
    /** Whether there is no value for certain. */
    refutes<T extends object>(subject: T, test: (subject: T) => boolean): boolean {
      const before = unsure;
      unsure = false;
      try {
        // a proof that waits for one which is under way is not known to fail
        return !test(subject) && !unsure && proofs.get(subject) === false;
      } finally {
        unsure = before;
      }
    },
    doubt(): false {
      unsure = true;
      return false;
    },
    get opening() {
      return opening;
    },
    get circles() {
      return circular.size;
    },
    get idle() {
      return !proving.size;
    },
  };
}

export type Solver = ReturnType<typeof createSolver>;

export function createSolver() {
  const terms = sharedTerms();
  const formulas = createFormulas((term) => terms.not(term));
  const shapes = new Map<string, Shape>();
  const alternativesOf = new Map<Formula, readonly Shape[]>();
  const prover = createProver();
  const { prove } = prover;

  const shapeOf = (mask: number, literals: readonly Formula[]): Shape => {
    const own = literals.filter(({ literal }) => typeOf(literal as never) & mask);
    const key = `${mask}:${own.map(({ id }) => id).join()}`;
    return memo(shapes, key, () => ({ mask, literals: own, key }));
  };
  const ANYTHING = shapeOf(EVERYTHING, []);

  const join = (a: Shape, b: Shape): Shape =>
    shapeOf(
      a.mask & b.mask,
      b.literals.length ? [...new Set([...a.literals, ...b.literals])].sort((x, y) => x.id - y.id) : a.literals,
    );

  /** @throws Unsupported if there are too many, or the formula is about itself without end */
  function alternatives(formula: Formula): readonly Shape[] {
    const known = alternativesOf.get(formula);
    if (known) return known;
    const { opening } = prover;
    if (opening.has(formula))
      throw new Unsupported('a reference that leads back to itself without a value between', formula.path);
    opening.add(formula);
    try {
      const found = open(formula);
      alternativesOf.set(formula, found);
      return found;
    } catch (error) {
      if (error instanceof Unsupported && error.path === undefined && formula.path !== undefined)
        throw new Unsupported(error.message, formula.path);
      throw error;
    } finally {
      opening.delete(formula);
    }
  }

  function open(formula: Formula): readonly Shape[] {
    if (formula.kind === 'later') return alternatives(formula.make!());
    if (formula.kind === 'literal') {
      const { literal } = formula;
      if (literal!.type === 'types') return literal!.mask ? [shapeOf(literal!.mask, [])] : [];
      return [shapeOf(EVERYTHING, [formula])];
    }
    if (formula.kind === 'or') return distinct(formula.parts.flatMap((part) => [...alternatives(part)]));
    let product: readonly Shape[] = [ANYTHING];
    // those with fewest alternatives first: what contradicts them drops out early
    const lists = formula.parts.map((part) => alternatives(part)).sort((a, b) => a.length - b.length);
    for (const list of lists) {
      if (list.length * product.length > 50 * MAX_ALTERNATIVES) throw new Unsupported('too many alternatives');
      const next = distinct(product.flatMap((a) => list.map((b) => join(a, b))));
      product =
        list.length > 1 && next.length > 2 ? next.filter((shape) => shapeHas(shape) || !prover.isRefuted(shape)) : next;
      if (product.length > MAX_ALTERNATIVES) throw new Unsupported('too many alternatives');
    }
    return product;
  }

  function distinct(list: readonly Shape[]): readonly Shape[] {
    const own = [...new Set(list)].filter(({ mask }) => mask);
    if (own.length > 50 * MAX_ALTERNATIVES) throw new Unsupported('too many alternatives');
    return own;
  }

  /** The part of a shape for one kind of values; of shapes that differ elsewhere, the same object. */
  function partOf<T>(type: number, make: (literals: Literal[]) => T): (shape: Shape) => T {
    const parts = new Map<string, T>();
    const byShape = new Map<Shape, T>();
    return (shape) =>
      memo(byShape, shape, () => {
        const own = shape.literals.filter(({ literal }) => typeOf(literal as never) === type);
        const key = own.map(({ id }) => id).join();
        return memo(parts, key, () => make(own.map(({ literal }) => literal!)));
      });
  }
  const numberPart = partOf(NUMBER, createNumberPart);
  const stringPart = partOf(STRING, (literals) => createStringPart(literals, terms));
  const arrayPart = partOf(ARRAY, (literals) => createArrayPart(own, literals));
  const objectPart = partOf(OBJECT, (literals) => createObjectPart(own, literals));

  const parts: [bit: number, partOfShape: (shape: Shape) => { has(): boolean; count(): number }][] = [
    [NUMBER, numberPart],
    [STRING, stringPart],
    [ARRAY, arrayPart],
    [OBJECT, objectPart],
  ];

  const shapeHas = (shape: Shape): boolean => prove(shape, () => kindsOf(shape) !== 0);

  const kinds = new Map<Shape, number>();
  /** The kinds of values of which a shape has one, as bits. */
  function kindsOf(shape: Shape): number {
    const known = kinds.get(shape);
    if (known !== undefined) return known;
    const { mask } = shape;
    const before = prover.circles;
    let bits = mask & (NULL | TRUE | FALSE);
    for (const [bit, part] of parts) if (mask & bit && part(shape).has()) bits |= bit;
    if (prover.circles === before && prover.idle) kinds.set(shape, bits);
    return bits;
  }

  /** Whether some value is such. @throws Unsupported */
  const has = (formula: Formula): boolean => prove(formula, () => alternatives(formula).some(shapeHas));

  /** A lower bound of the number of such values. */
  const counts = new Map<Formula, number>();
  function count(formula: Formula): number {
    const known = counts.get(formula);
    if (known !== undefined) return known;
    counts.set(formula, 0); // of values in values of the same formula
    const found = Math.max(0, ...alternatives(formula).map(countShape));
    counts.set(formula, found);
    return found;
  }
  function countShape(shape: Shape): number {
    const { mask } = shape;
    let sum = [NULL, TRUE, FALSE].filter((bit) => mask & bit).length;
    for (const [bit, part] of parts) if (mask & bit && sum < Infinity) sum += part(shape).count();
    return sum;
  }

  /** No value is both. False also if that was not found out. */
  function disjoint(a: Formula, b: Formula): boolean {
    try {
      return prover.refutes(formulas.and(a, b), has);
    } catch (error) {
      if (error instanceof Unsupported) return false;
      throw error;
    }
  }

  /** Objects whose keys are texts that are such. @throws Unsupported */
  function names(formula: Formula): Formula {
    const shapesOfTexts = alternatives(formula).filter(({ mask }) => mask & STRING);
    const term = terms.or(...shapesOfTexts.map((shape) => stringPart(shape).term()));
    return formulas.literal({ type: 'each', keys: { term: terms.not(term) }, of: formulas.NEVER });
  }

  /**
   * Looks at all that can become of a formula, so that what cannot be enforced is found at once.
   * @throws Unsupported
   */
  function explore(root: Formula): void {
    const seen = new Set([root]);
    for (const formula of seen) {
      if (seen.size > MAX_EXPLORED) throw new Unsupported('too many combinations of its parts');
      for (const shape of alternatives(formula)) {
        if (!shapeHas(shape)) continue;
        if (shape.mask & ARRAY) arrayPart(shape).inner().forEach(seen.add, seen);
        if (shape.mask & OBJECT) objectPart(shape).inner().forEach(seen.add, seen);
      }
    }
  }

  const own: Proofs = {
    terms,
    formulas,
    has,
    count,
    doubt: prover.doubt,
  };
  return {
    ...own,
    alternatives,
    numberPart,
    stringPart,
    arrayPart,
    objectPart,
    kindsOf,
    disjoint,
    names,
    explore,
  };
}
