/** What examples of documents print, against the comments behind their lines. */
import { inspect } from 'node:util';
import { expect } from 'vitest';

export interface Print {
  /** the line of the example, from 0 */
  line: number;
  values: unknown[];
}

/** The example with `print(line, …)` in place of `console.log(…)`. */
export const markPrints = (example: string): string =>
  example
    .split('\n')
    .map((line, i) => line.replaceAll('console.log(', `globalThis.print(${i}, `))
    .join('\n');

/**
 * For `page.evaluate`: runs a module of the page and returns what it printed. It is text: Vitest would replace the
 * import.
 */
export const runAndPrint = (file: string): string => `(async () => {
  const printed = [];
  globalThis.print = (line, ...values) => printed.push({ line, values: structuredClone(values) });
  await import('./${file}');
  return printed;
})()`;

/** Values as a comment writes them, but for quotes and spaces. */
const asComment = (...values: unknown[]): string =>
  withoutQuotes(values.map((value) => inspect(value, { depth: 9, breakLength: Infinity })).join(' '));
const withoutQuotes = (text: string): string => text.replace(/['"\s]/g, '');

/** Each line prints what its comment says; without a comment, something. */
export function expectPrints(example: string, printed: Print[]): void {
  example.split('\n').forEach((line, i) => {
    if (!line.includes('console.log(') || line.includes('not readable')) return;
    const stated = /console\.log\(.*\); \/\/ (.*)$/.exec(line)?.[1];
    const prints = printed.filter((print) => print.line === i).map(({ values }) => values);
    expect(prints.length, line).toBeGreaterThan(0);
    for (const values of prints) {
      if (stated) expect(asComment(...values), line).toBe(withoutQuotes(stated));
      else
        expect(
          values.filter((value) => value === undefined || value === null || Number.isNaN(value)),
          line,
        ).toEqual([]);
    }
  });
}
