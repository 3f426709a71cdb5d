/**
 * Chat templates as Python's jinja2 3.1 renders them with the settings of transformers: trim_blocks, lstrip_blocks,
 * loop controls, its tojson, and a sandbox in which a template changes nothing. A template is hostile input: its work,
 * text and nesting are bounded.
 */
import { Scope } from './expressions';
import { compile, written } from './statements';
import { dateText } from './strings';
import {
  Host,
  integer,
  list,
  raise,
  startWork,
  text,
  toDict,
  View,
  type Callable,
  type Dict,
  type Named,
  type Value,
} from './values';

const MAX_RANGE = 100_000;

const dict: Callable = ([given], named) =>
  toDict([...(given instanceof Map ? given : list(given).map((pair) => list(pair) as [Value, Value])), ...named]);

const range: Callable = (args) => {
  const [a, b = null, step = 1] = args.map(integer);
  const [start, stop] = b === null ? [0, a] : [a, b];
  const count = Math.max(0, Math.ceil((stop - start) / (step || raise('division by zero'))));
  if (count > MAX_RANGE) raise('too long');
  return new View(
    'range',
    Array.from({ length: count }, (_, i) => BigInt(start + i * step)),
  );
};

const namespace: Callable = (args, named) => {
  const values = dict(args, named) as Dict;
  return new Host(
    (name) => values.get(name),
    undefined,
    (name, value) => void values.set(name, value),
  );
};

const cycler: Callable = (args) => {
  let at = 0;
  const methods: Record<string, Callable> = { next: () => args[at++ % args.length], reset: () => ((at = 0), null) };
  return new Host((name) =>
    name === 'current' ? args[at % args.length] : Object.hasOwn(methods, name) ? methods[name] : undefined,
  );
};

const joiner: Callable = ([between = ', ']) => {
  let used = false;
  return () => (used ? between : ((used = true), ''));
};

const GLOBALS: Record<string, Callable> = {
  range,
  dict,
  namespace,
  cycler,
  joiner,
  raise_exception: ([message]) => raise(text(message)),
  strftime_now: ([pattern]) => dateText(text(pattern)),
};

/** @throws Error if the template is not well formed */
export function createTemplate(source: string): (variables: Named) => string {
  const body = compile(source);
  return (variables) => {
    startWork();
    const scope = new Scope();
    for (const [name, value] of [...Object.entries(GLOBALS), ...variables]) scope.values.set(name, value);
    return written(body, scope);
  };
}
