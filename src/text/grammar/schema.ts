/** JSON Schema (2020-12 and draft 7) as formulas. */
import { memo } from './memo';
import { show } from '../../errors';
import { failRequest } from './request';
import { Unsupported, type Formula } from './formula';
import { entriesOf, hasKeyword, listOf, ownKeywords } from './keywords';
import { createReferences, isPlainObject, failMalformed, pointerTo, type Place, type SchemaObject } from './references';
import type { Solver } from './solver';
import { REFERENCES, unevaluatedFormula, type WaysCompiler } from './unevaluated';

export interface SchemaOptions {
  /**
   * false: what cannot be enforced is left out of the grammar and listed in `checked`, to be checked when the value is
   * complete. true (default): it is refused.
   */
  strict?: boolean;
  /** 'assert' (default): texts must have their `format`; 'annotate': they need not, as the specification says */
  formats?: 'assert' | 'annotate';
  /** 'schema': the keys of `properties` in the order of the schema; 'any' (default): in any order */
  order?: 'any' | 'schema';
}

export interface CompiledSchema {
  formula: Formula;
  /** JSON pointers of keywords that are not enforced */
  checked: string[];
}

/**
 * @param schema plain data
 * @param at where it stands, for messages
 * @throws RequestError for a schema that is not valid or that no value fits; with `strict`, for one that cannot be
 * enforced
 */
export function compileSchema(
  solver: Solver,
  schema: unknown,
  { strict = true, formats = 'assert', order = 'any' }: SchemaOptions = {},
  at = '',
): CompiledSchema {
  const { ANY, NEVER, and, or, not, later, required, property } = solver.formulas;
  const references = createReferences(schema, at);
  const checked: string[] = [];
  const made = new Map<SchemaObject, Formula>();

  const compiler: WaysCompiler = {
    solver,
    references,
    assertFormats: formats === 'assert',
    ordered: order === 'schema',
    refuse(path, why) {
      if (strict)
        failRequest({
          what: `The schema cannot be enforced at ${path || 'its root'}`,
          got: why,
          cure: 'Change the schema, or check values afterwards: strict: false.',
        });
      if (!checked.includes(path)) checked.push(path);
      return ANY;
    },
    enforced(path, build, otherwise = () => ANY) {
      try {
        return build();
      } catch (error) {
        if (!(error instanceof Unsupported)) throw error;
        // what is left out is the keyword here; what is refused is told as exactly as it is known
        compiler.refuse((strict && error.path) || path, error.message);
        return otherwise();
      }
    },
    compile(value, path) {
      if (value === true) return ANY;
      if (value === false) return NEVER;
      if (!isPlainObject(value)) return failMalformed(path, value, 'an object or a boolean');
      return memo(made, value, () => build(value, path));
    },
    target(from, name, path) {
      const at = pointerTo(path, name);
      const given = from[name];
      if (typeof given !== 'string') return failMalformed(at, given, 'a text');
      if (name === '$recursiveRef' || (name === '$dynamicRef' && !references.isStatic(given))) {
        compiler.refuse(at, `${name} that depends on where it is used`);
        return undefined;
      }
      const found = references.resolve(given, references.place(from));
      if (!found)
        failRequest({
          what: `The schema cannot be enforced at ${at}`,
          got: `a reference to ${show(given)}, which is not in the document`,
          cure: 'Put the schema that it leads to into $defs.',
        });
      return found;
    },
  };
  const { compile, enforced, target } = compiler;

  function build(value: SchemaObject, path: string, evaluate = true): Formula {
    const place = references.place(value);
    const unevaluated = ['unevaluatedProperties', 'unevaluatedItems'].find((name) => hasKeyword(value, name));
    if (unevaluated && evaluate && !place.draft7)
      return later(`unevaluated ${path}`, path, () =>
        enforced(
          pointerTo(path, unevaluated),
          () => unevaluatedFormula(compiler, value, path),
          () => build(value, path, false),
        ),
      );
    const parts = REFERENCES.filter((name) => hasKeyword(value, name)).map((name) => reference(place, name, path));
    // in draft 7 a reference stands alone
    if (!place.draft7 || !hasKeyword(value, '$ref')) parts.push(...combined(value, path, place));
    return and(...parts);
  }

  function combined(value: SchemaObject, path: string, place: Place): Formula[] {
    const parts = [ownKeywords(compiler, value, path, place), ...listOf(compiler, value, 'allOf', path)];
    if (hasKeyword(value, 'anyOf')) parts.push(or(...listOf(compiler, value, 'anyOf', path)));
    if (hasKeyword(value, 'oneOf'))
      parts.push(exactlyOne(listOf(compiler, value, 'oneOf', path), pointerTo(path, 'oneOf')));
    if (hasKeyword(value, 'not')) {
      const at = pointerTo(path, 'not');
      const inner = compile(value.not, at);
      parts.push(later(`not ${at}`, at, () => enforced(at, () => not(inner))));
    }
    if (hasKeyword(value, 'if')) {
      const at = pointerTo(path, 'if');
      const condition = compile(value.if, at);
      const branch = (name: string): Formula =>
        hasKeyword(value, name) ? compile(value[name], pointerTo(path, name)) : ANY;
      const [yes, no] = [branch('then'), branch('else')];
      const either = (): Formula => or(and(condition, yes), and(not(condition), no));
      if (yes !== ANY || no !== ANY) parts.push(later(`if ${at}`, at, () => enforced(at, either)));
    }
    for (const name of ['dependentSchemas', 'dependencies'])
      for (const [key, one, at] of entriesOf(value, name, path))
        if (!Array.isArray(one)) parts.push(or(property(key, NEVER), and(required(key), compile(one, at))));
    return parts;
  }

  function reference(place: Place, name: string, path: string): Formula {
    const found = target(place.schema, name, path);
    if (!found) return ANY;
    const at = pointerTo(path, name);
    return later(`reference ${found.path}`, at, () => compile(found.schema, found.path));
  }

  /** No value may be of two: where two have none in common, nothing needs to be said. */
  function exactlyOne(branches: readonly Formula[], path: string): Formula {
    const only = (one: Formula, i: number): Formula =>
      and(one, ...branches.filter((other, j) => i !== j && !solver.disjoint(one, other)).map(not));
    return later(`one of ${path}`, path, () =>
      enforced(
        path,
        () => or(...branches.map(only)),
        () => or(...branches),
      ),
    );
  }

  const formula = enforced(at, () => {
    const root = compile(schema, at);
    solver.explore(root);
    return root;
  });
  if (!solver.has(formula))
    failRequest({
      what: `No value fits the schema${at && ` at ${at}`}`,
      cure: 'Look for bounds or names that contradict each other, and for endless recursion.',
    });
  return { formula, checked };
}
