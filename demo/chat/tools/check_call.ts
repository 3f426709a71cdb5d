/**
 * A model's call against the tools that were offered. A call is repaired where one reading is possible, else refused:
 * it never runs with an argument that is not what the tool takes.
 */
import { readNumber } from './numbers';
import { readTime } from './times';
import type { Definition, Parameter, ToolCall } from './tool';

export type CheckedCall = { ok: true; call: ToolCall; repairs: string[] } | { ok: false; reason: string };

/** Longer texts are refused. */
export const LONGEST_TEXT = 2000;

/** Thrown inside and caught in `checkCall`. */
class Refusal extends Error {}

const refuse = (reason: string): never => {
  throw new Refusal(reason);
};

/** Names that differ only in case, spaces and underscores are the same. */
const folded = (name: string): string => name.toLowerCase().replace(/[\s_.-]/g, '');

/** A value in a message: short, and never a failure. */
export function shown(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    text = typeof value;
  }
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function one(names: readonly string[], given: string): string | undefined {
  if (names.includes(given)) return given;
  const same = names.filter((name) => folded(name) === folded(given));
  return same.length === 1 ? same[0] : undefined;
}

export function checkCall(given: unknown, offered: readonly Definition[]): CheckedCall {
  const repairs: string[] = [];
  try {
    const { name, arguments: values } = (given ?? {}) as Partial<Record<keyof ToolCall, unknown>>;
    if (typeof name !== 'string' || name === '') return { ok: false, reason: 'The call names no tool.' };
    const names = offered.map((definition) => definition.name);
    const found = one(names, name.trim());
    if (found === undefined)
      return {
        ok: false,
        reason: `There is no tool "${shown(name).slice(1, -1)}". The tools are: ${names.join(', ') || 'none'}.`,
      };
    if (found !== name) repairs.push(`The tool ${shown(name)} is ${found}.`);
    const definition = offered[names.indexOf(found)];
    return { ok: true, call: { name: found, arguments: checkArguments(values, definition, repairs) }, repairs };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, reason: error.message };
    throw error;
  }
}

function checkArguments(
  given: unknown,
  { name: tool, parameters }: Definition,
  repairs: string[],
): Record<string, unknown> {
  if (given !== undefined && given !== null && (typeof given !== 'object' || Array.isArray(given)))
    return refuse(`The arguments of ${tool} are ${shown(given)}. They must be named.`);
  const names = Object.keys(parameters.properties);
  const values = new Map<string, unknown>();
  const others: [string, unknown][] = [];
  for (const [key, value] of Object.entries(given ?? {})) {
    if (names.includes(key)) values.set(key, value);
    else others.push([key, value]);
  }
  for (const [key, value] of others) {
    const name = one(names, key);
    if (name === undefined || values.has(name))
      return refuse(
        `${tool} has no argument "${shown(key).slice(1, -1)}". Its arguments are: ${names.join(', ') || 'none'}.`,
      );
    values.set(name, value);
    repairs.push(`The argument ${shown(key)} is ${name}.`);
  }
  const checked: [string, unknown][] = [];
  for (const name of names) {
    const value = values.get(name);
    const parameter = parameters.properties[name];
    if (value === undefined || value === null || (typeof value === 'string' && value.trim() === '')) {
      if (parameters.required?.includes(name))
        return refuse(`${tool} needs ${name}${parameter.description ? ` (${parameter.description})` : ''}.`);
      continue;
    }
    const read = checkValue(value, parameter, `${name} of ${tool}`);
    if (!Object.is(read, value)) repairs.push(`${name}: ${shown(value)} is read as ${shown(read)}.`);
    checked.push([name, read]);
  }
  return Object.fromEntries(checked);
}

/** '"tea"' is tea: models quote twice. */
function unquoted(text: string): string {
  const trimmed = text.trim();
  const [, quoted] =
    /^"([^"]*)"$|^'([^']*)'$|^“([^”]*)”$|^„([^“”]*)[“”]$|^`([^`]*)`$/s
      .exec(trimmed)
      ?.filter((part) => part !== undefined) ?? [];
  return (quoted ?? trimmed).trim();
}

function checkValue(given: unknown, parameter: Parameter, what: string): unknown {
  const value = typeof given === 'string' ? unquoted(given) : given;
  const typed = checkType(value, parameter, what);
  if (!parameter.enum || parameter.enum.includes(typed)) return typed;
  const same = parameter.enum.filter(
    (choice) => typeof choice === 'string' && typeof typed === 'string' && folded(choice) === folded(typed),
  );
  return same.length === 1
    ? same[0]
    : refuse(`The ${what} is ${shown(given)}. It must be one of: ${parameter.enum.join(', ')}.`);
}

function checkType(value: unknown, { type, description }: Parameter, what: string): unknown {
  const wanted = (kind: string): never =>
    refuse(`The ${what} is ${typeof value === 'number' ? value : shown(value)}. It must be ${kind}.`);
  switch (type) {
    case 'integer':
    case 'number': {
      const number =
        typeof value === 'number' ? value : typeof value === 'string' ? readAmount(value, what) : undefined;
      if (number === undefined || !Number.isFinite(number))
        return wanted(type === 'integer' ? 'a whole number' : 'a number');
      return type === 'number' || Number.isSafeInteger(number) ? number : wanted('a whole number');
    }
    case 'string': {
      if (typeof value === 'string' && value.length > LONGEST_TEXT)
        return refuse(`The ${what} has ${value.length} characters. At most ${LONGEST_TEXT} are possible.`);
      if (/\bHH:MM\b/.test(description ?? ''))
        return (
          (typeof value === 'string' || Number.isInteger(value) ? readTime(String(value)) : undefined) ??
          wanted('a time such as 07:30')
        );
      return typeof value === 'string' ? value : Number.isFinite(value) ? String(value) : wanted('a text');
    }
    case 'boolean':
      if (typeof value === 'boolean') return value;
      return typeof value === 'string' && /^(true|false)$/i.test(value)
        ? value.toLowerCase() === 'true'
        : wanted('true or false');
    case 'array':
      return Array.isArray(value) ? value : wanted('a list');
    case 'object':
      return typeof value === 'object' && !Array.isArray(value) ? value : wanted('an object');
    default:
      return value;
  }
}

/** '10', 'ten', and with the unit that the argument has anyway: '10 minutes', '50 %' */
function readAmount(text: string, what: string): number | undefined {
  const unit = what.startsWith('minutes ')
    ? /\s*(minutes?|mins?|minuten?)$/i
    : what.startsWith('percent ')
      ? /\s*(%|percent|per cent|prozent)$/i
      : undefined;
  return readNumber(unit ? text.replace(unit, '') : text);
}
