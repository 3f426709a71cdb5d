import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { minifyWgsl } from '../../../shaders/plugin';
import { shortenNames } from '../../../shaders/shorten_names';
import { SECOND_COPY_SUFFIX, linkShader, shaderTexts } from './shader';

const folder = new URL('../../../shaders/', import.meta.url);
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.wgsl'));
const tokens = (code: string): string[] =>
  code.replace(/\/\/.*$/gm, '').match(/[A-Za-z_]\w*|\d[\w.]*|<<=?|>>=?|->|--|\+\+|&&|\|\||[-+*/%&|^=!<>]=|\S/g)!;

describe('minified WGSL', () => {
  it.each(files)('%s keeps its tokens', (file) => {
    const source = readFileSync(new URL(file, folder), 'utf8').replace(/\b(vec\d|mat\dx\d)<([fui])32>/g, '$1$2');
    expect(tokens(minifyWgsl(source))).toEqual(tokens(source));
    expect(minifyWgsl(source).length).toBeLessThan(source.length);
  });
});

describe('short names', () => {
  const files = {
    lib: 'override rows:u32;const WIDE=4u;fn load_row(row:u32)->u32{return row*rows+WIDE;}',
    kernel:
      '@group(0)@binding(0)var<storage,read_write> out:array<Unit>;struct Unit{value:f32}var<workgroup> total:f32;fn main(@builtin(local_invocation_index)lid:u32){for(var row=0u;row<rows;row++){out[row].value=total+f32(load_row(lid));}}',
  };
  const shorten = shortenNames(Object.values(files));

  it('stand for what TypeScript does not read, the same in every file', () => {
    const [lib, kernel] = Object.values(files).map(shorten);
    for (const kept of ['override rows:', 'out:array<Unit>', 'struct Unit{value:f32}', '@builtin(', 'fn main(', 'f32('])
      expect(lib + kernel).toContain(kept);
    expect(lib + kernel).not.toMatch(/WIDE|load_row|\brow\b|total|lid/);
    const [, load] = /fn (\w+)\(/.exec(lib)!;
    expect(kernel).toContain(`f32(${load}(`);
  });

  it('are no names of the text', () => {
    const words = (text: string): Set<string> => new Set(text.match(/[A-Za-z_]\w*/g));
    const before = words(Object.values(files).join());
    const fresh = [...words(Object.values(files).map(shorten).join())].filter((word) => !before.has(word));
    expect(fresh.length).toBe([...before].filter((word) => /^(WIDE|load_row|row|total|lid)$/.test(word)).length);
  });
});

describe('a second copy of files in one kernel', () => {
  const text = {
    a: 'override rows:u32;@group(0)@binding(14) var<storage,read> w:array<vec4f>;struct Unit{q:vec4f}fn load(i:u32)->Unit{return Unit(w[i]);}',
    b: 'fn twice(i:u32)->f32{let u=load(i);return u.q.w*f32(rows)+shared;}',
    c: 'const shared=1.0;',
  };

  it('has its own names, bindings and overrides, and shares the rest', () => {
    const { code, bindings } = linkShader(['a', 'b', 'c', `a${SECOND_COPY_SUFFIX}`, `b${SECOND_COPY_SUFFIX}`], text);
    expect(code).toContain('fn twice_2(i:u32)->f32{let u=load_2(i);return u.q.w*f32(rows_2)+shared;}');
    expect(code).toContain(
      'override rows_2:u32;@group(0)@binding(34) var<storage,read> w_2:array<vec4f>;struct Unit_2{q:vec4f}',
    );
    expect([...bindings.keys()]).toEqual(['w', 'w_2']);
  });

  it('is refused if a file is missing or two bindings have the same number', () => {
    expect(() => linkShader(['a', 'nothing'], text)).toThrow(/A shader file is missing: got nothing/);
    expect(() => linkShader(['a', 'd'], { ...text, d: '@group(0)@binding(14) var<uniform> v:f32;' })).toThrow(
      /number 14: got w and v/,
    );
  });

  it('is possible: no struct field has the name of a declaration', () => {
    const all = Object.entries(shaderTexts()).filter(([name]) =>
      /^matvec|^lib\/(weights|bits|scale|rows|row_totals|f16|f32|bf16)/.test(name),
    );
    const declared = new Set(
      all.flatMap(([, code]) =>
        Array.from(code.matchAll(/\b(?:fn|const|override|var<[^>]+>)\s+(\w+)/g), ([, name]) => name),
      ),
    );
    const fields = all
      .flatMap(([, code]) =>
        Array.from(code.matchAll(/struct \w+\{([^}]*)\}/g), ([, body]) =>
          body.split(',').map((field) => field.split(':')[0].trim()),
        ),
      )
      .flat();
    expect(fields.length).toBeGreaterThan(5);
    expect(fields.filter((field) => declared.has(field))).toEqual([]);
  });
});
