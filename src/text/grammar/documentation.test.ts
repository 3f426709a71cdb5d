/** The tables of docs/json.md say what grammars do. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { checkText, compileGrammar, createTokenTrie } from '.';
import { FORMATS, OTHER_FORMATS } from './formats';

const document = readFileSync(new URL('../../../docs/json.md', import.meta.url), 'utf8');
const [, enforced, refused] = document.split('\n## ');
/** The rows of a table, without the marks of code. */
const rowsOf = (section: string): string[][] =>
  section
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim().replace(/^`|`$/g, '').replaceAll('\\|', '|')),
    );

const bytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
const trie = createTokenTrie([...bytes, undefined], [256]);
const schemaOf = (text: string): object => JSON.parse(text) as object;

describe('enforced', () => {
  const rows = rowsOf(enforced);
  it.each(rows)('%s', (keyword, example, fitting, other) => {
    const schema = schemaOf(example);
    expect(example).toContain(`"${keyword}"`);
    const reads = (text: string): boolean =>
      compileGrammar({ type: 'json_schema', schema }).start(trie).read(new TextEncoder().encode(text))?.canEnd ?? false;
    expect([reads(fitting), reads(other)]).toEqual([true, false]);
    expect([fitting, other].map((text) => checkText(text, { schema }))).toEqual([
      { valid: true, unchecked: [] },
      { valid: false, unchecked: [] },
    ]);
  });

  it('names every keyword that the compiler reads', () => {
    const files = ['keywords', 'schema', 'unevaluated'].map((name) => new URL(`${name}.ts`, import.meta.url));
    const code = files.map((file) => readFileSync(file, 'utf8')).join('\n');
    const read = [...code.matchAll(/(?:hasKeyword\(\w+|entriesOf\(\w+|numberAt\(schema|wholeAt\(schema), '([\w$]+)'/g)];
    const names = rows.map(([keyword]) => keyword);
    expect(read.length).toBeGreaterThan(15);
    expect(read.map(([, name]) => name).filter((name) => !names.includes(name))).toEqual([]);
  });

  it('names every format', () => {
    const listed = /Enforced formats: (.*?)\. /.exec(enforced)![1].match(/[\w-]+/g);
    expect(listed).toEqual(Object.keys(FORMATS));
  });
});

describe('refused', () => {
  const rows = rowsOf(refused);
  it.each(rows)('%s', (example, path, after) => {
    const schema = schemaOf(example);
    const strict = { type: 'json_schema', schema } as const;
    expect(() => compileGrammar(strict)).toThrow(`The schema cannot be enforced at ${path.replace('the', 'its')}`);
    const { checked } = compileGrammar({ ...strict, strict: false });
    expect(checked).toEqual([path === 'the root' ? '' : path]);
    expect(checkText('null', { schema }).unchecked).toEqual(after === 'not checked' ? checked : []);
  });

  it('names every format that is not enforced', () => {
    expect(rows.flatMap(([example]) => /"format": "(.*)"/.exec(example)?.[1] ?? [])).toEqual(OTHER_FORMATS);
  });
});
