/**
 * `unevaluatedProperties` and `unevaluatedItems`: a schema is split into the ways in which it can hold. Each of them
 * has looked at certain properties and items.
 */
import { Unsupported, type Formula } from './formula';
import {
  entriesOf,
  hasKeyword,
  itemsOf,
  listOf,
  otherProperties,
  ownKeywords,
  patternOf,
  type SchemaCompiler,
} from './keywords';
import { isPlainObject, pointerTo, type References, type SchemaObject } from './references';
import type { Term } from './term';

interface Evaluated {
  names: readonly string[];
  terms: readonly Term[];
  allProperties: boolean;
  prefix: number;
  allItems: boolean;
  contains: readonly Formula[];
}
interface Way {
  formula: Formula;
  evaluated: Evaluated;
}

const NOTHING: Evaluated = {
  names: [],
  terms: [],
  allProperties: false,
  prefix: 0,
  allItems: false,
  contains: [],
};
const MAX_WAYS = 200;
const MAX_BRANCHES = 6;

export const REFERENCES = ['$ref', '$dynamicRef', '$recursiveRef'];

const both = (a: Evaluated, b: Evaluated): Evaluated => ({
  names: [...a.names, ...b.names],
  terms: [...a.terms, ...b.terms],
  allProperties: a.allProperties || b.allProperties,
  prefix: Math.max(a.prefix, b.prefix),
  allItems: a.allItems || b.allItems,
  contains: [...a.contains, ...b.contains],
});

export interface WaysCompiler extends SchemaCompiler {
  references: References;
  /** the schema that a reference leads to */
  target(schema: SchemaObject, name: string, path: string): { schema: unknown; path: string } | undefined;
}

/** A schema with one of these keywords, as a formula. @throws Unsupported */
export function unevaluatedFormula(compiler: WaysCompiler, schema: SchemaObject, path: string): Formula {
  const { solver, compile } = compiler;
  const { ANY, NEVER, literal, and, or, not, property, required } = solver.formulas;
  const open = new Set<SchemaObject>();
  const plain = (formula: Formula): Way[] => [{ formula, evaluated: NOTHING }];

  function product(lists: readonly Way[][], at: string): Way[] {
    let all = plain(ANY);
    for (const list of lists) {
      all = all.flatMap((a) =>
        list.flatMap((b) => {
          const formula = and(a.formula, b.formula);
          return formula === NEVER ? [] : [{ formula, evaluated: both(a.evaluated, b.evaluated) }];
        }),
      );
      if (all.length > MAX_WAYS) throw new Unsupported('too many alternatives', at);
    }
    return all;
  }

  function waysOf(value: unknown, at: string): Way[] {
    if (!isPlainObject(value)) return plain(compile(value, at));
    if (open.has(value)) throw new Unsupported('a reference that leads back to itself without a value between', at);
    open.add(value);
    try {
      return product(partsOf(value, at), at).map((way) => withUnevaluated(way, value, at));
    } finally {
      open.delete(value);
    }
  }

  function partsOf(value: SchemaObject, at: string): Way[][] {
    const place = compiler.references.place(value);
    const lists: Way[][] = [];
    for (const name of REFERENCES) {
      const found = hasKeyword(value, name) ? compiler.target(value, name, at) : undefined;
      if (found) lists.push(waysOf(found.schema, found.path));
    }
    if (place.draft7 && hasKeyword(value, '$ref')) return lists;
    const inner = (name: string): Way[] => waysOf(value[name], pointerTo(at, name));
    const innerList = (name: string): Way[][] =>
      listOf(compiler, value, name, at).map((_, i) => waysOf((value[name] as unknown[])[i], pointerTo(at, name, i)));
    lists.push([{ formula: ownKeywords(compiler, value, at, place), evaluated: evaluatedBy(value, at) }]);
    lists.push(...innerList('allOf'));
    if (hasKeyword(value, 'anyOf')) lists.push(anyOf(innerList('anyOf'), at));
    if (hasKeyword(value, 'oneOf')) {
      const branches = listOf(compiler, value, 'oneOf', at);
      const ways = innerList('oneOf').flatMap((own, i) => {
        const others = branches.filter((other, j) => i !== j && !solver.disjoint(branches[i], other)).map(not);
        return product([own, plain(and(...others))], at);
      });
      lists.push(ways);
    }
    if (hasKeyword(value, 'not')) lists.push(plain(not(compile(value.not, pointerTo(at, 'not')))));
    if (hasKeyword(value, 'if')) {
      const otherwise = not(compile(value.if, pointerTo(at, 'if')));
      lists.push([
        ...product([inner('if'), ...(hasKeyword(value, 'then') ? [inner('then')] : [])], at),
        ...product([plain(otherwise), ...(hasKeyword(value, 'else') ? [inner('else')] : [])], at),
      ]);
    }
    for (const [name, one, where] of entriesOf(value, 'dependentSchemas', at))
      lists.push([...plain(property(name, NEVER)), ...product([plain(required(name)), waysOf(one, where)], at)]);
    return lists;
  }

  /** Several branches may hold: more of them look at more. */
  function anyOf(branches: readonly Way[][], at: string): Way[] {
    if (branches.length > MAX_BRANCHES)
      throw new Unsupported(`more than ${MAX_BRANCHES} branches of anyOf beside unevaluated…`, at);
    const all: Way[] = [];
    for (let subset = 1; subset < 1 << branches.length; subset++)
      all.push(
        ...product(
          branches.filter((_, i) => subset & (1 << i)),
          at,
        ),
      );
    return all;
  }

  function evaluatedBy(value: SchemaObject, at: string): Evaluated {
    const { prefix } = itemsOf(compiler, value, at, compiler.references.place(value));
    return {
      names: entriesOf(value, 'properties', at).map(([name]) => name),
      terms: entriesOf(value, 'patternProperties', at).map(([pattern, , where]) => patternOf(compiler, pattern, where)),
      allProperties: hasKeyword(value, 'additionalProperties'),
      prefix: prefix.length,
      allItems: hasKeyword(value, 'additionalItems') || (hasKeyword(value, 'items') && !Array.isArray(value.items)),
      contains: hasKeyword(value, 'contains') ? [compile(value.contains, pointerTo(at, 'contains'))] : [],
    };
  }

  function withUnevaluated({ formula, evaluated }: Way, value: SchemaObject, at: string): Way {
    let [all, seen] = [formula, evaluated];
    if (hasKeyword(value, 'unevaluatedProperties')) {
      const rest = compile(value.unevaluatedProperties, pointerTo(at, 'unevaluatedProperties'));
      if (!seen.allProperties) all = and(all, otherProperties(solver, seen.names, seen.terms, rest));
      seen = { ...seen, allProperties: true };
    }
    if (hasKeyword(value, 'unevaluatedItems')) {
      const rest = compile(value.unevaluatedItems, pointerTo(at, 'unevaluatedItems'));
      const prefix = Array.from({ length: seen.prefix }, () => ANY);
      if (!seen.allItems) all = and(all, literal({ type: 'items', prefix, rest: or(rest, ...seen.contains) }));
      seen = { ...seen, allItems: true };
    }
    return { formula: all, evaluated: seen };
  }

  return or(...waysOf(schema, path).map(({ formula }) => formula));
}
