/** Reads the statements of a template, and makes a function of each. */
import { CONSTANTS, createParser, Scope, type Expression } from './expressions';
import { call, misused } from './functions';
import { tokenize } from './lexer';
import { equal, Host, list, raise, room, spend, text, truth, Tuple, wrong, type Callable, type Value } from './values';

interface Output {
  text: string;
}
/** What a loop around the statement has to do. */
type Signal = 'break' | 'continue' | undefined;
type Statement = (scope: Scope, out: Output) => Signal;
type Assign = (scope: Scope, value: Value) => void;
type Parameters = [name: string, otherwise?: Expression][];

/** Macros and recursive loops inside one another. */
const MAX_CALLS = 100;
let calls = 0;

/** What a body prints. */
export function written(body: Statement, scope: Scope): string {
  if (calls >= MAX_CALLS) raise('too deep');
  calls++;
  try {
    const out = { text: '' };
    body(scope, out);
    return out.text;
  } finally {
    calls--;
  }
}

function print(out: Output, shown: string): Signal {
  if (shown.length) room(shown.length);
  out.text += shown;
  return undefined;
}

/** The name that a filter finds the text of its block under: no template can use it. */
const BLOCK = ' ';
const blockText: Expression = (scope) => scope.get(BLOCK);

/** @throws Error if the template is not well formed */
export function compile(source: string): Statement {
  const parser = createParser(tokenize(source));
  const { take, sees, need, token, expression, tuple } = parser;
  /** the tag that ended the last body */
  let ended = '';

  const STATEMENTS: Record<string, () => Statement> = {
    if: conditional,
    for: loop,
    set: assignment,
    with: withNames,
    macro() {
      const { key } = token('name');
      need('(');
      const made = macro(key, parameters(), 'endmacro');
      return (scope) => void scope.values.set(key, made(scope)) as undefined;
    },
    call() {
      const given = take('(') ? parameters() : [];
      const [callee, args] = parser.uncalled();
      const caller = macro('caller', given, 'endcall');
      return (scope, out) => {
        const [values, named] = args(scope);
        return print(out, text(call(callee(scope), values, named.set('caller', caller(scope)))));
      };
    },
    filter: () => filtered(parser.filtered(blockText), 'endfilter', (_, out, value) => void print(out, text(value))),
    generation: () => scoped('endgeneration'),
    block() {
      token('name');
      return scoped('endblock');
    },
    break: () => end(() => 'break'),
    continue: () => end(() => 'continue'),
  };

  function end<T>(made: T): T {
    need('%}');
    return made;
  }

  /** Statements up to one of these tags, whose name is read. */
  function body(...ends: string[]): Statement {
    const all: Statement[] = [];
    while (ends.length || !parser.atEnd()) {
      if (take('{{')) {
        const value = tuple();
        need('}}');
        all.push((scope, out) => print(out, text(value(scope))));
      } else if (take('{%')) {
        const { key } = token('name');
        if (ends.includes((ended = key))) break;
        all.push(
          Object.hasOwn(STATEMENTS, key)
            ? parser.nested(STATEMENTS[key])
            : raise(`there is no tag ${key} before ${ends.at(-1) ?? 'the end'}`),
        );
      } else {
        const { value } = token('text');
        all.push((_, out) => print(out, value));
      }
    }
    return (scope, out) => {
      for (const statement of all) {
        const signal = statement(scope, out);
        if (signal) return signal;
      }
      return undefined;
    };
  }

  /** A body with names of its own. */
  function scoped(tag: string): Statement {
    need('%}');
    const content = body(tag);
    if (tag === 'endblock' && !sees('%}')) token('name');
    return end((scope, out) => content(new Scope(scope), out));
  }

  function conditional(): Statement {
    const branches: [Expression, Statement][] = [];
    do {
      const when = tuple(false);
      need('%}');
      branches.push([when, body('elif', 'else', 'endif')]);
    } while (ended === 'elif');
    const otherwise = ended === 'else' ? end(body)('endif') : undefined;
    return end((scope, out) => (branches.find(([when]) => truth(when(scope)))?.[1] ?? otherwise)?.(scope, out));
  }

  function target(): Assign {
    const parts: Assign[] = [];
    let many = false;
    do {
      if (parts.length && ['in', '=', ')'].some(sees)) break;
      parts.push(oneTarget());
      many ||= sees(',');
    } while (take(','));
    if (!many) return parts[0];
    return (scope, value) => {
      const items = list(value);
      if (items.length !== parts.length) raise(`got ${items.length} values for ${parts.length} names`);
      parts.forEach((assign, i) => assign(scope, items[i]));
    };
  }

  function oneTarget(): Assign {
    if (take('(')) {
      const inner = target();
      need(')');
      return inner;
    }
    const { key } = token('name');
    if (Object.hasOwn(CONSTANTS, key)) raise(`${key} takes no value`);
    if (!take('.')) return (scope, value) => void scope.values.set(key, value);
    const name = token('name').key;
    parser.names.add(key);
    return (scope, value) => {
      const host = scope.get(key);
      if (host instanceof Host && host.set) host.set(name, value);
      else wrong(host, 'a namespace');
    };
  }

  function assignment(): Statement {
    const assign = target();
    if (!take('=')) return filtered(parser.filters(blockText), 'endset', (scope, _, value) => assign(scope, value));
    const value = tuple();
    return end((scope) => void assign(scope, value(scope)) as undefined);
  }

  /** A block whose text goes through filters. */
  function filtered(
    filters: Expression,
    tag: string,
    use: (scope: Scope, out: Output, value: Value) => void,
  ): Statement {
    need('%}');
    const content = body(tag);
    return end((scope, out) => {
      const inner = new Scope(scope);
      const shown = written(content, inner);
      inner.values.set(BLOCK, shown);
      return void use(scope, out, filters(inner)) as undefined;
    });
  }

  function withNames(): Statement {
    const names: [Assign, Expression][] = [];
    while (!sees('%}')) {
      if (names.length) need(',');
      const assign = target();
      need('=');
      names.push([assign, expression()]);
    }
    const content = scoped('endwith');
    return (scope, out) => {
      const inner = new Scope(scope);
      names
        .map(([assign, value]) => [assign, value(scope)] as const)
        .forEach(([assign, value]) => assign(inner, value));
      return content(inner, out);
    };
  }

  function parameters(): Parameters {
    const all: Parameters = [];
    while (!take(')')) {
      if (all.length) need(',');
      all.push([token('name').key, take('=') ? expression() : undefined]);
    }
    return all;
  }

  function macro(name: string, given: Parameters, tag: string): (scope: Scope) => Callable {
    need('%}');
    const outside = parser.names;
    const used = (parser.names = new Set());
    const content = body(tag);
    parser.names = new Set([...outside, ...used]);
    return end((scope) => (args, named) => {
      spend(10);
      const inner = new Scope(scope);
      const rest = new Map(named);
      given.forEach(([parameter, otherwise], i) => {
        const byName = i >= args.length && rest.has(parameter);
        inner.values.set(parameter, i < args.length ? args[i] : byName ? rest.get(parameter) : otherwise?.(inner));
        if (byName) rest.delete(parameter);
      });
      if (used.has('caller') && !inner.values.has('caller')) {
        inner.values.set('caller', rest.get('caller'));
        rest.delete('caller');
      }
      if (used.has('kwargs')) inner.values.set('kwargs', rest);
      else if (rest.size) misused(name);
      if (used.has('varargs')) inner.values.set('varargs', Tuple.from(args.slice(given.length)));
      else if (args.length > given.length) misused(name);
      return written(content, inner);
    });
  }

  function loop(): Statement {
    const assign = target();
    need('in');
    const all = tuple(false);
    const test = take('if') ? expression() : undefined;
    const recursive = take('recursive');
    need('%}');
    const content = body('else', 'endfor');
    const otherwise = ended === 'else' ? end(body)('endfor') : undefined;

    function run(scope: Scope, out: Output, value: Value, depth: number): Signal {
      const passes = (one: Value): boolean => {
        const inner = new Scope(scope);
        assign(inner, one);
        return truth(test!(inner));
      };
      const items = test ? list(value).filter(passes) : list(value);
      let at = 0;
      let whole = false;
      let seen: Value;
      const host = new Host(
        (name) => {
          const [i, n] = [BigInt(at), BigInt(items.length)];
          const all: Record<string, Value> = {
            index: i + 1n,
            index0: i,
            revindex: n - i,
            revindex0: n - i - 1n,
            first: !at,
            last: n === i + 1n,
            length: n,
            depth: BigInt(depth + 1),
            depth0: BigInt(depth),
            previtem: items[at - 1],
            nextitem: items[at + 1],
            cycle: (args) => (args.length ? args[at % args.length] : misused(name)),
            changed: (args) => {
              const before = seen;
              return !equal((seen = args), before);
            },
          };
          return Object.hasOwn(all, name) ? all[name] : undefined;
        },
        recursive ? ([inside]) => written((_, inner) => run(scope, inner, inside, depth + 1), scope) : undefined,
      );
      for (; at < items.length; at++) {
        spend(20);
        const inner = new Scope(scope);
        inner.values.set('loop', host);
        assign(inner, items[at]);
        const signal = content(inner, out);
        if (signal === 'break') break;
        whole ||= !signal;
      }
      // as in jinja2: also where each pass was broken off or continued
      return whole ? undefined : otherwise?.(new Scope(scope), out);
    }
    return end((scope, out) => run(scope, out, all(scope), 0));
  }

  return body();
}
