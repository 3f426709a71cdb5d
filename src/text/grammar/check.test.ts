import { Ajv2020 } from 'ajv/dist/2020';
import { describe, expect, it } from 'vitest';
import { createDice, randomSchema, type Dice } from '../../../e2e/schema_cases';
import { checkText, compileGrammar } from '.';

const check = (schema: unknown, value: unknown) => checkText(JSON.stringify(value), { schema });

function randomValue(dice: Dice, depth: number): unknown {
  const kind = dice(depth ? 9 : 7);
  if (kind < 5) return dice.of([null, true, false, 0, 1, -1, 0.5, 2, 3, 99.5, 100]);
  if (kind < 7) return dice.of(['', 'a', 'b', 'ab', 'foo', 'é', '漢字', '12', 'x"y', '😀']);
  const items = Array.from({ length: dice(4) }, () => randomValue(dice, depth - 1));
  return kind === 7 ? items : Object.fromEntries(items.map((item) => [dice.of(['a', 'b', 'ab', 'foo', 'next']), item]));
}

describe('a check of a complete value', () => {
  it('agrees with Ajv on random schemas and values', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false, logger: false });
    let [valid, invalid] = [0, 0];
    for (let seed = 0; seed < 150; seed++) {
      const dice = createDice(seed);
      const schema = randomSchema(dice, 3) as object;
      const judge = ajv.compile(schema);
      for (let n = 0; n < 12; n++) {
        const value = randomValue(dice, 3);
        const report = check(schema, value);
        if (report.unchecked.length) continue;
        const wanted = judge(value);
        if (report.valid !== wanted) expect([seed, schema, value, report.valid]).toEqual([seed, schema, value, wanted]);
        if (wanted) valid++;
        else invalid++;
      }
    }
    expect([valid > 100, invalid > 500]).toEqual([true, true]);
  });

  it('finds what no grammar enforces', () => {
    const twice = { type: 'array', not: { uniqueItems: true } };
    expect(() => compileGrammar({ type: 'json_schema', schema: twice })).toThrow('not over uniqueItems');
    expect(compileGrammar({ type: 'json_schema', schema: twice, strict: false }).checked).toEqual(['/not']);
    expect(check(twice, [1, 2, 1])).toEqual({ valid: true, unchecked: [] });
    expect(check(twice, [1, 2])).toEqual({ valid: false, unchecked: [] });
  });

  it('says what it does not look at, and that a text which was cut is not valid', () => {
    const repeated = { type: 'object', properties: { a: { pattern: '^(.)\\1$', maxLength: 2 } } };
    expect(check(repeated, { a: 'bc' })).toEqual({ valid: true, unchecked: ['/properties/a/pattern'] });
    expect(check(repeated, { a: 'bcd' }).valid).toBe(false);
    expect(checkText('{"a": "b', { schema: repeated }).valid).toBe(false);
  });

  it('ends for schemas without end', () => {
    expect(check({ $ref: '#' }, 1)).toEqual({ valid: false, unchecked: [''] });
    const circle = { properties: { a: { $ref: '#/$defs/a' } }, $defs: { a: { anyOf: [{ $ref: '#/$defs/a' }] } } };
    expect(compileGrammar({ type: 'json_schema', schema: circle, strict: false }).checked).toEqual(['']);
    const deep = Array.from({ length: 30 }).reduce<object>((inner) => ({ oneOf: [inner, inner, inner] }), {});
    expect(check(deep, 1)).toEqual({ valid: false, unchecked: [''] });
  });
});
