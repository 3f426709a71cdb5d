import { describe, expect, it } from 'vitest';
import { structLayout } from '../../struct';
import { kernelDeclarations } from './build';
import { declarationsModule, readDeclarations, structText } from './headers';

describe('the headers of the kernels', () => {
  it.each([
    [4, { Weight: 16, Op: 152, Sampling: 80, Page: 4, Plan: 184, ThreadPool: 256 }],
    [8, { Weight: 24, Op: 216, Sampling: 96, Page: 8, Plan: 256, ThreadPool: 256 }],
  ] as const)('have structs of the sizes that clang gives them, pointers of %d bytes', (pointerBytes, sizes) => {
    const { structs } = kernelDeclarations(pointerBytes);
    expect(Object.fromEntries(Array.from(structs, ([name, { bytes }]) => [name, bytes]))).toEqual(sizes);
  });
});

describe('a header', () => {
  const text = `
    // A comment; struct { uint32_t none; } Nothing;
    typedef enum { FIRST, SECOND_ONE } Kind;
    #define ROWS 64
    #define NOT_A_NUMBER SPLAT
    typedef struct {
      float eps;             // with a comment, and a ; in it
      const float* k_norm;
      double one, other_one;
      uint32_t last;
    } Inner;
    typedef struct {
      uint32_t first;
      Inner inner;
      uint8_t** pages;
      _Alignas(64) uint32_t apart;
    } Outer;`;

  it('gives offsets, and TypeScript reads them from a text of words', () => {
    const { structs, enums, constants } = readDeclarations(text);
    expect(structText(structs.get('Inner')!)).toBe('eps:f32,kNorm,one:f64,,otherOne:f64,,last,');
    const outer = structLayout(structText(structs.get('Outer')!));
    expect([outer.bytes, ...['first', 'inner', 'pages', 'apart'].map(outer.offset)]).toEqual([128, 0, 8, 40, 64]);
    expect([Object.fromEntries(enums), Object.fromEntries(constants)]).toEqual([
      { Kind: { FIRST: 0, SECOND_ONE: 1 } },
      { ROWS: 64 },
    ]);
    expect(declarationsModule({ structs: new Map(), enums, constants })).toBe(
      'export const Kind = {"first":0,"secondOne":1};\nexport const ROWS = 64;\n',
    );
  });

  it('has pointers of 8 bytes on a 64-bit target', () => {
    const { structs } = readDeclarations(text, 8);
    expect(structs.get('Inner')!.fields.map(({ name, type, offset }) => `${name} ${type} ${offset}`)).toEqual([
      'eps f32 0',
      'k_norm u64 8',
      'one f64 16',
      'other_one f64 24',
      'last u32 32',
    ]);
    expect(structs.get('Inner')!.bytes).toBe(40);
  });

  it.each(['uint16_t half;', 'float values[4];', 'float *a, *b;', 'float* a, b;', 'Unknown x;', 'uint32_t bits : 3;'])(
    'is refused if it has %s',
    (field) => {
      expect(() => readDeclarations(`typedef struct { uint32_t n; ${field} } S;`)).toThrow(
        /^A field of S has a form that headers\.ts does not read: /,
      );
    },
  );

  it('is refused if an enum or a struct differs between the builds of the kernels', () => {
    const [enumOf, structOf] = [
      ['A,', ', B } Kind;'],
      ['uint32_t a;', '} S;'],
    ].map(([first, last]) => `{ ${first}\n#ifdef ENCODERS\n${first.replace(/a/i, 'c')}\n#endif\n${last}`);
    expect(() => readDeclarations(`typedef enum ${enumOf}`)).toThrow(
      /^The enum Kind has a form that headers\.ts does not/,
    );
    expect(() => readDeclarations(`typedef struct ${structOf}`)).toThrow(
      /^A field of S has a form that headers\.ts does/,
    );
  });
});
