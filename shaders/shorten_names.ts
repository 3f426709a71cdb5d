/**
 * Short names for what WGSL alone reads: functions, constants, workgroup memory, parameters and variables. Names that
 * TypeScript reads stay: bindings, overrides, structs and their fields.
 */

const WORD = /(?<![.\w])[a-z_]\w*/gi;
/** words of WGSL with two letters */
const RESERVED = ['as', 'do', 'fn', 'if', 'of'];
const LETTERS = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'];

const found = (text: string, pattern: RegExp): string[] => Array.from(text.matchAll(pattern), ([, name]) => name);

/**
 * @param texts of all files, without comments: a name gets the same short one in every file
 * @returns renames the words of a text
 */
export function shortenNames(texts: readonly string[]): (text: string) => string {
  const text = texts.join('\n');
  const kept = new Set([
    'main',
    ...found(text, /\boverride (\w+)/g),
    ...found(text, /@binding\(\d+\)\s*var<[^>]*>\s*(\w+)/g),
    ...found(text, /\bstruct (\w+)/g),
    ...found(text, /\bstruct \w+\{([^}]*)\}/g).flatMap((fields) => found(fields, /(\w+):/g)),
    ...found(text, /[.@](\w+)/g),
  ]);
  const parameters = found(text, /\bfn \w+\(((?:[^()]|\([^()]*\))*)\)/g).flatMap((list) => found(list, /(\w+):/g));
  const declared = new Set([...found(text, /\b(?:fn|let|const|var)(?:<[^>]+>)? (\w+)/g), ...parameters]);
  const uses = new Map<string, number>();
  for (const [word] of text.matchAll(WORD)) uses.set(word, (uses.get(word) ?? 0) + 1);
  const long = [...declared].filter((name) => name.length > 1 && !kept.has(name));
  long.sort((a, b) => (uses.get(b) ?? 0) - (uses.get(a) ?? 0));
  const short = [...LETTERS, ...LETTERS.flatMap((a) => LETTERS.map((b) => a + b))];
  const free = short.filter((name) => !uses.has(name) && !kept.has(name) && !RESERVED.includes(name));
  const names = new Map(long.map((name, i) => [name, free[i]]));
  // lib/main_two_parts has names of a second copy (SECOND_COPY_SUFFIX)
  return (code) =>
    code.replace(WORD, (word) => {
      const [, name, suffix = ''] = /^(.*?)(_2)?$/.exec(word)!;
      return names.has(name) ? names.get(name)! + suffix : word;
    });
}
