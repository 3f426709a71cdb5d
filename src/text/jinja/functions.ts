/** Functions that a template can call, with their parameters by place and by name. */
import { Host, raise, spend, wrong, type Named, type Value } from './values';

/** Its first argument is the value that a filter or test stands behind, or the object of a method. */
type Run = (...args: never[]) => Value;

export interface Signature {
  name: string;
  parameters: string[];
  run: Run;
}

/**
 * Reads a table whose keys are like `join d attribute`: a name, with other names of it behind `|`, and the parameters,
 * or the number of those that have no names. Those without a default in the function must be given. A last parameter
 * `*` takes all others.
 */
export function functions(entries: Record<string, Run>): Map<string, Signature> {
  return new Map(
    Object.entries(entries).flatMap(([key, run]) => {
      const [names, ...listed] = key.split(' ');
      const parameters = /^\d/.test(listed[0]) ? Array.from({ length: +listed[0] }, () => '') : listed;
      return names.split('|').map((name) => [name, { name, parameters, run }] as const);
    }),
  );
}

/** For arguments that a function does not take, or lacks. */
export const misused = (name: string): never => raise(`wrong arguments for ${name}`);

export function apply(
  { name, parameters, run }: Signature,
  subject: Value,
  args: readonly Value[],
  named: Named,
): Value {
  spend(10);
  const values = [...args];
  for (const [key, value] of named) {
    const at = parameters.indexOf(key);
    if (at < args.length) misused(name);
    values[at] = value;
  }
  if (values.length > parameters.length && parameters.at(-1) !== '*') misused(name);
  for (let i = 0; i < run.length - 1; i++) if (!(i in values)) misused(name);
  return (run as (...all: Value[]) => Value)(subject, ...values);
}

export function call(callee: Value, args: Value[], named: Named): Value {
  spend(10);
  if (typeof callee === 'function') return callee(args, named);
  return callee instanceof Host && callee.call ? callee.call(args, named) : wrong(callee, 'a function');
}
