/** Reads the expressions of a template. Each becomes a function of the scope that it is evaluated in. */
import { filter } from './filters';
import { call } from './functions';
import { unquote, type Token } from './lexer';
import { attribute, subscript } from './methods';
import { operate } from './strings';
import { test } from './tests';
import {
  COMPARISONS,
  counted,
  list,
  negative,
  raise,
  slice,
  text,
  toDict,
  truth,
  Tuple,
  wrong,
  type Dict,
  type Named,
  type Value,
} from './values';

/** Names and their values; a lookup goes on in the scope outside. */
export class Scope {
  readonly values = new Map<string, Value>();
  constructor(readonly outer?: Scope) {}

  get(name: string): Value {
    return this.values.has(name) ? this.values.get(name) : this.outer?.get(name);
  }
}

export type Expression = (scope: Scope) => Value;
/** The arguments of a call. */
export type Given = (scope: Scope) => [args: Value[], named: Named];

export interface Parser {
  /** the next token is this name or operator */
  sees(key: string): boolean;
  take(key: string): boolean;
  need(key: string): void;
  /** the next token, which must be of this kind */
  token(kind: Token['kind']): Token;
  next(): Token;
  /** guards against nesting that would overflow the stack */
  nested<T>(read: () => T): T;
  expression(conditional?: boolean): Expression;
  /** `a, b` is a tuple; an end may follow the last comma */
  tuple(conditional?: boolean): Expression;
  /** `| name(…) | …` behind a value */
  filters(value: Expression): Expression;
  /** `name(…) | …`, as behind a `|` */
  filtered(value: Expression): Expression;
  /** a call, which is not made */
  uncalled(): [callee: Expression, given: Given];
  atEnd(): boolean;
  /** all names that were read, for macros that use varargs, kwargs or caller */
  names: Set<string>;
}

const MAX_DEPTH = 100;
export const CONSTANTS: Record<string, Value> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
};
/** The operators that compute, from the loosest to the tightest. */
const OPERATORS = [['+', '-'], ['~'], ['*', '/', '//', '%'], ['**']];

export function createParser(tokens: readonly Token[]): Parser {
  let at = 0;
  let depth = 0;
  const parser: Parser = {
    names: new Set(),
    sees: (key) => tokens[at].key === key,
    take(key) {
      const here = parser.sees(key);
      if (here) at++;
      return here;
    },
    need: (key) => void (parser.take(key) || unexpected(key)),
    token: (kind) => (tokens[at].kind === kind ? tokens[at++] : unexpected(kind)),
    next: () => (at < tokens.length - 1 ? tokens[at++] : unexpected('more')),
    nested(read) {
      if (++depth > MAX_DEPTH) raise('too deep');
      const value = read();
      depth--;
      return value;
    },
    expression: (conditional = true) => parser.nested(conditional ? condition : or),
    tuple(conditional = true) {
      const first = parser.expression(conditional);
      if (!parser.sees(',')) return first;
      return tupleOf(items(first, conditional));
    },
    filters(value) {
      for (;;) {
        if (parser.take('|')) value = filtered(value);
        else if (parser.take('is')) value = tested(value);
        else if (parser.sees('(')) value = called(value);
        else return value;
      }
    },
    filtered: (value) => parser.filters(filtered(value)),
    uncalled() {
      let value = primary();
      for (;;) {
        if (take('.')) value = dotted(value);
        else if (take('[')) value = bracketed(value);
        else {
          if (!sees('(')) unexpected('a call');
          const args = given();
          if (!['.', '[', '('].some(sees)) return [value, args];
          value = callOf(value, args);
        }
      }
    },
    atEnd: () => tokens[at].kind === 'end',
  };
  const { take, sees, need, token, nested } = parser;

  function unexpected(wanted: string): never {
    return raise(`got ${tokens[at].value.slice(0, 40) || 'the end'}, wanted ${wanted}`);
  }

  /** Further items behind a first one, up to what cannot begin an expression. */
  function items(first: Expression, conditional: boolean): Expression[] {
    const all = [first];
    while (take(',')) {
      if (['}}', '%}', ')', '=', 'in'].some(sees)) break;
      all.push(parser.expression(conditional));
    }
    return all;
  }

  const tupleOf =
    (parts: Expression[]): Expression =>
    (scope) =>
      Tuple.from(parts.map((part) => part(scope)));

  function condition(): Expression {
    let value = or();
    while (take('if')) {
      const [yes, when] = [value, or()];
      const no = take('else') ? parser.expression() : undefined;
      value = (scope) => (truth(when(scope)) ? yes(scope) : no?.(scope));
    }
    return value;
  }

  function or(): Expression {
    let value = and();
    while (take('or')) {
      const [a, b] = [value, and()];
      value = (scope) => {
        const first = a(scope);
        return truth(first) ? first : b(scope);
      };
    }
    return value;
  }

  function and(): Expression {
    let value = not();
    while (take('and')) {
      const [a, b] = [value, not()];
      value = (scope) => {
        const first = a(scope);
        return truth(first) ? b(scope) : first;
      };
    }
    return value;
  }

  function not(): Expression {
    if (!take('not')) return comparison();
    const value = nested(not);
    return (scope) => !truth(value(scope));
  }

  function comparison(): Expression {
    const first = computed(0);
    const rest: [(a: Value, b: Value) => boolean, Expression][] = [];
    for (;;) {
      const key = sees('not') && tokens[at + 1].key === 'in' ? 'not in' : tokens[at].key;
      if (!Object.hasOwn(COMPARISONS, key)) break;
      at += key === 'not in' ? 2 : 1;
      rest.push([COMPARISONS[key], computed(0)]);
    }
    if (!rest.length) return first;
    return (scope) => {
      let left = first(scope);
      return rest.every(([compare, part]) => {
        const right = part(scope);
        const holds = compare(left, right);
        left = right;
        return holds;
      });
    };
  }

  function computed(level: number): Expression {
    if (level === OPERATORS.length) return unary();
    let value = computed(level + 1);
    while (OPERATORS[level].some(sees)) {
      const operator = parser.next().key;
      const [a, b] = [value, computed(level + 1)];
      value =
        operator === '~'
          ? (scope) => counted(text(a(scope)) + text(b(scope)))
          : (scope) => operate(operator, a(scope), b(scope));
    }
    return value;
  }

  function unary(withFilters = true): Expression {
    let value: Expression;
    if (sees('-') || sees('+')) {
      const minus = parser.next().key === '-';
      const inner = nested(() => unary(false));
      value = (scope) => (minus ? negative(inner(scope)) : negative(negative(inner(scope))));
    } else value = primary();
    value = postfix(value);
    return withFilters ? parser.filters(value) : value;
  }

  function primary(): Expression {
    const { kind, key, value } = parser.next();
    if (kind === 'name') {
      if (Object.hasOwn(CONSTANTS, key)) return () => CONSTANTS[key];
      parser.names.add(key);
      return (scope) => scope.get(key);
    }
    if (kind === 'string') {
      let all = unquote(value);
      while (tokens[at].kind === 'string') all += unquote(parser.next().value);
      return () => all;
    }
    if (kind === 'integer') {
      const integer = BigInt(value.replaceAll('_', ''));
      return () => integer;
    }
    if (kind === 'float') {
      const float = Number(value.replaceAll('_', ''));
      return () => float;
    }
    if (key === '(') {
      if (take(')')) return () => new Tuple();
      const inner = parser.tuple();
      need(')');
      return inner;
    }
    if (key === '[') {
      const parts = upTo(']', () => parser.expression());
      return (scope) => parts.map((part) => part(scope));
    }
    if (key !== '{') return (at--, unexpected('an expression'));
    const pairs = upTo('}', () => {
      const name = parser.expression();
      need(':');
      return [name, parser.expression()] as const;
    });
    return (scope) => toDict(pairs.map(([name, part]) => [name(scope), part(scope)] as const));
  }

  /** What stands between commas; one may stand at the end. */
  function upTo<T>(close: string, read: () => T): T[] {
    const all: T[] = [];
    while (!take(close)) {
      all.push(read());
      if (!sees(close)) need(',');
    }
    return all;
  }

  function postfix(value: Expression): Expression {
    for (;;) {
      if (take('.')) value = dotted(value);
      else if (take('[')) value = bracketed(value);
      else if (sees('(')) value = called(value);
      else return value;
    }
  }

  function dotted(value: Expression): Expression {
    const { kind, value: name } = parser.next();
    if (kind === 'integer') return (scope) => subscript(value(scope), BigInt(name));
    if (kind !== 'name') return (at--, unexpected('a name'));
    return (scope) => attribute(value(scope), name);
  }

  function bracketed(value: Expression): Expression {
    const bounds: (Expression | null)[] = [];
    let colons = 0;
    while (!sees(']') && !sees(',')) {
      if (take(':')) colons++;
      else bounds[colons] = parser.expression();
    }
    if (!colons) {
      const key = sees(',') ? tupleOf(items(bounds[0]!, true)) : (bounds[0] ?? unexpected('an expression'));
      need(']');
      return (scope) => subscript(value(scope), key(scope));
    }
    need(']');
    return (scope) => {
      const [start, stop, step] = [0, 1, 2].map((i) => (bounds[i] ? bounds[i](scope) : null));
      return slice(value(scope), start, stop, step);
    };
  }

  const called = (value: Expression): Expression => callOf(value, given());
  const callOf =
    (value: Expression, args: Given): Expression =>
    (scope) => {
      const callee = value(scope);
      return call(callee, ...args(scope));
    };

  function given(): Given {
    if (!take('(')) return () => [[], new Map()];
    const parts = upTo(')', () => {
      const name = take('**')
        ? '**'
        : take('*')
          ? '*'
          : tokens[at].kind === 'name' && tokens[at + 1].key === '='
            ? ((at += 2), tokens[at - 2].key)
            : '';
      return [name, parser.expression()] as const;
    });
    return (scope) => {
      const [args, named]: [Value[], Named] = [[], new Map()];
      for (const [name, part] of parts) {
        const value = part(scope);
        if (!name) args.push(value);
        else if (name === '*') args.push(...list(value));
        else if (name === '**')
          for (const [key, one] of value instanceof Map ? (value as Dict) : wrong(value, 'a dict'))
            named.set(text(key), one);
        else named.set(name, value);
      }
      return [args, named];
    };
  }

  /** The name of a filter or test, which may have dots. */
  function dottedName(): string {
    let name = token('name').key;
    while (take('.')) name += `.${token('name').key}`;
    return name;
  }

  function filtered(value: Expression): Expression {
    const [name, args] = [dottedName(), given()];
    return (scope) => {
      const subject = value(scope);
      return filter(name, subject, ...args(scope));
    };
  }

  function tested(value: Expression): Expression {
    const wanted = !take('not');
    const name = dottedName();
    let args: Given;
    const { kind, key } = tokens[at];
    if (
      key !== '(' &&
      (kind === 'string' ||
        kind === 'integer' ||
        kind === 'float' ||
        key === '[' ||
        key === '{' ||
        (kind === 'name' && !['else', 'or', 'and', 'if', 'in', 'not'].includes(key)))
    ) {
      if (key === 'is') unexpected('no second test');
      const one = postfix(primary());
      args = (scope) => [[one(scope)], new Map()];
    } else args = given();
    return (scope) => {
      const subject = value(scope);
      return test(name, subject, ...args(scope)) === wanted;
    };
  }

  return parser;
}
