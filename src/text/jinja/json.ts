/** Brings JavaScript values and JSON texts into the values of a template. */
import { raise, type Dict, type Value } from './values';

const JSON_TOKEN = /\s*("[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?![\d.eE])|[-\d][-+.\deE]*|[a-z]+|[^])/y;
/** What readJson made: its numbers are Python's already. */
const read = new WeakSet<object>();

const WORDS: Record<string, Value> = { null: null, true: true, false: false };

/**
 * A JSON text as Python reads it: 1.0 stays a float, a long integer stays exact, and keys stay in their order.
 * @throws SyntaxError if it is no JSON
 */
export function readJson(source: string): Value {
  JSON.parse(source); // from here on it is known to be right
  JSON_TOKEN.lastIndex = 0;
  const next = (): string => JSON_TOKEN.exec(source)![1];
  function value(token: string): Value {
    if (token === '[') {
      const items: Value[] = [];
      read.add(items);
      for (let first = next(); first !== ']'; first = next()) items.push(value(first === ',' ? next() : first));
      return items;
    }
    if (token === '{') {
      const dict: Dict = new Map();
      read.add(dict);
      for (let key = next(); key !== '}'; key = next()) {
        if (key === ',') key = next();
        next();
        dict.set(JSON.parse(key) as string, value(next()));
      }
      return dict;
    }
    if (token in WORDS) return WORDS[token];
    return token[0] === '"' ? (JSON.parse(token) as string) : /[.eE]/.test(token) ? Number(token) : BigInt(token);
  }
  return value(next());
}

/**
 * A value as JSON.stringify would take it. A number without a fraction is an integer, a Map a dict in its order, a
 * bigint an integer.
 * @throws Error if it contains itself
 */
export function toPython(given: unknown, made = new Map<object, Value>()): Value {
  if (typeof given === 'number') return Number.isInteger(given) && Math.abs(given) < 1e21 ? BigInt(given) : given;
  if (typeof given !== 'object' || given === null)
    return typeof given === 'function' || typeof given === 'symbol' ? undefined : (given as Value);
  if (read.has(given)) return given as Value;
  if (made.has(given)) return made.get(given) ?? raise('it contains itself');
  made.set(given, undefined);
  const value = convert(given, made);
  made.set(given, value);
  return value;
}

function convert(given: object, made: Map<object, Value>): Value {
  if (Array.isArray(given)) return Array.from(given, (item) => toPython(item, made) ?? null);
  if ('toJSON' in given && typeof given.toJSON === 'function')
    return toPython((given as { toJSON(): unknown }).toJSON(), made);
  const entries = [...(given instanceof Map ? (given as Map<unknown, unknown>) : Object.entries(given))];
  return new Map(
    entries.flatMap(([key, item]) =>
      item === undefined ? [] : [[toPython(key, made), toPython(item, made)] as const],
    ),
  );
}
