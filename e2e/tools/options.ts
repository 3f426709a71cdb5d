/**
 * Options of the command-line tools: what each is called, what it may be, and what is printed when it is wrong.
 *
 *   const { model, runs } = startTool('npm run bench --', 'Measures …', {
 *     model: file('a GGUF file'),
 *     runs: whole('how often', 3),
 *   });
 *
 * `--help` prints the options. An option that is unknown, missing or wrong ends the tool with a message and exit code
 * 2. A later error ends it with its message and exit code 1.
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';

export interface Option<T> {
  help: string;
  /** what the help writes for the value: 'PATH'; an option without it takes no value */
  value?: string;
  /** the default, as it would be typed */
  usual?: string;
  required?: boolean;
  /** may be given several times */
  multiple?: boolean;
  /** @throws Error that says what is allowed */
  read(texts: string[]): T;
}

type Options = Record<string, Option<unknown>>;
type Values<O extends Options> = { [K in keyof O]: O[K] extends Option<infer T> ? T : never };

/** A value that is not valid. */
class Invalid extends Error {}

export const flag = (help: string): Option<boolean> => ({ help, read: ([text]) => text !== undefined });

/** Without a usual value the option may be left out. */
export function text(value: string, help: string, usual: string): Option<string>;
export function text(value: string, help: string): Option<string | undefined>;
export function text(value: string, help: string, usual?: string): Option<string | undefined> {
  return { value, help, usual, read: ([given]) => given };
}

export const texts = (value: string, help: string): Option<string[] | undefined> => ({
  value,
  help,
  multiple: true,
  read: (given) => (given.length ? given : undefined),
});

/** A file or folder that must exist. Without a usual one the option is required. */
export const file = (help: string, usual?: string): Option<string> => ({
  value: 'PATH',
  help,
  usual,
  required: usual === undefined,
  read: ([path]) => existing(path, help),
});

/** A file or folder that must exist if it is given. */
export const optionalFile = (help: string): Option<string | undefined> => ({
  value: 'PATH',
  help,
  read: ([path]) => (path === undefined ? undefined : existing(path, help)),
});

function existing(path: string, help: string): string {
  if (existsSync(path)) return path;
  throw new Invalid(`${path} does not exist. Pass ${help}.`);
}

/** A whole number. */
export function whole(help: string, usual: number, least?: number): Option<number>;
export function whole(help: string, usual?: undefined, least?: number): Option<number | undefined>;
export function whole(help: string, usual?: number, least = 0): Option<number | undefined> {
  return {
    value: 'N',
    help,
    usual: usual?.toString(),
    read: ([given]) => (given === undefined ? undefined : toWhole(given, least)),
  };
}

/** Whole numbers with commas between them. */
export function wholes(help: string, usual: string): Option<number[]>;
export function wholes(help: string): Option<number[] | undefined>;
export function wholes(help: string, usual?: string): Option<number[] | undefined> {
  return { value: 'N,N', help, usual, read: ([given]) => given?.split(',').map((part) => toWhole(part, 0)) };
}

function toWhole(given: string, least: number): number {
  if (/^\d{1,15}$/.test(given) && Number(given) >= least) return Number(given);
  throw new Invalid(`${JSON.stringify(given)} is not a whole number of at least ${least}.`);
}

/** One of a few words. A usual word of null makes the option required. */
export function oneOf<const T extends string>(words: readonly T[], help: string, usual: NoInfer<T> | null): Option<T>;
export function oneOf<const T extends string>(words: readonly T[], help: string): Option<T | undefined>;
export function oneOf<const T extends string>(
  words: readonly T[],
  help: string,
  usual?: T | null,
): Option<T | undefined> {
  return {
    value: words.join('|'),
    help,
    usual: usual ?? undefined,
    required: usual === null,
    read: ([given]) => (given === undefined ? undefined : toWord(given, words)),
  };
}

/** Several of a few words, with commas between them. */
export const someOf = <const T extends string>(words: readonly T[], help: string, usual: string): Option<T[]> => ({
  value: 'A,B',
  help: `${help}: ${words.join(', ')}`,
  usual,
  read: ([given]) => given.split(',').map((part) => toWord(part, words)),
});

function toWord<T extends string>(given: string, words: readonly T[]): T {
  const word = words.find((known) => known === given);
  if (word) return word;
  throw new Invalid(`${JSON.stringify(given)} is not one of ${words.join(', ')}.`);
}

/** @throws Invalid */
export function readOptions<O extends Options>(options: O, args: string[]): Values<O> {
  const config = Object.fromEntries(
    Object.entries(options).map(([name, { value, multiple = false }]) => [
      name,
      { type: value ? ('string' as const) : ('boolean' as const), multiple },
    ]),
  );
  const given = parsed(args, config, Object.keys(options));
  const values = Object.entries(options).map(([name, option]): [string, unknown] => {
    const found = [given[name] ?? option.usual ?? []].flat().map(String);
    if (option.required && found.length === 0)
      throw new Invalid(`--${name} is missing. Pass --${name} ${option.value}: ${option.help}.`);
    try {
      return [name, option.read(found)];
    } catch (error) {
      throw error instanceof Invalid ? new Invalid(`--${name}: ${error.message}`) : error;
    }
  });
  return Object.fromEntries(values) as Values<O>;
}

type Config = Record<string, { type: 'string' | 'boolean'; multiple: boolean }>;

function parsed(args: string[], options: Config, names: string[]): Record<string, unknown> {
  const { tokens } = parseArgs({ args, options, strict: false, tokens: true, allowPositionals: true });
  for (const token of tokens) {
    if (token.kind === 'positional')
      throw new Invalid(`${JSON.stringify(token.value)} belongs to no option. The options are ${list(names)}.`);
    if (token.kind !== 'option') continue;
    if (!Object.hasOwn(options, token.name))
      throw new Invalid(`${token.rawName} is not an option. The options are ${list(names)}.`);
    if (token.value === undefined && options[token.name].type === 'string')
      throw new Invalid(`${token.rawName} needs a value.`);
  }
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    throw new Invalid((error as Error).message);
  }
}

const list = (names: string[]): string => names.map((name) => `--${name}`).join(', ');

export function usage(command: string, about: string, options: Options): string {
  const rows = Object.entries(options).map(([name, { value, help, usual, required, multiple }]): [string, string] => {
    const when = required ? ' (required)' : usual === undefined ? '' : ` (default ${usual})`;
    return [`  --${name}${value ? ` ${value}` : ''}`, `${help}${when}${multiple ? '; may be repeated' : ''}`];
  });
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return [`${command} [options]`, about, '', ...rows.map(([left, right]) => left.padEnd(width) + right)].join('\n');
}

/** Reads the options of the command line. From then on, errors are printed as one line. */
export function startTool<O extends Options>(command: string, about: string, options: O): Values<O> {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    console.log(usage(command, about, options));
    process.exit(0);
  }
  process.on('uncaughtException', (error) => {
    console.error(explainFailure(error));
    process.exit(1);
  });
  try {
    return readOptions(options, args);
  } catch (error) {
    if (!(error instanceof Invalid)) throw error;
    console.error(`${error.message}\n${command} --help explains the options.`);
    process.exit(2);
  }
}

/** The message of an error; for a mistake in the code the place, too. */
export function explainFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const mistake = ['TypeError', 'ReferenceError', 'SyntaxError', 'RangeError', 'AssertionError'].includes(error.name);
  // an error from a page comes with the page's stack in its message
  const message = error.message.replace(/^(?:page|locator)\.\w+: /, '').split(/\n\s+at /)[0];
  return mistake ? String(error.stack) : message;
}
