import { expect, it } from 'vitest';
import { formatJson, jsonLine, responseFormat, schemaProblem, systemPrompt } from './form';

it.each([
  '{}',
  '[]',
  '{"a":{"b":[1,{"c":[]},"x: {y}, [z]"]},"d":{}}',
  '"a \\" b"',
  '1e400',
  '{ "big" : 12345678901234567890 ,\n"a":true }',
])('%s is written with a line for each value, and nothing else changes', (text) => {
  const formatted = formatJson(text);
  expect(formatted.replace(/\s/g, '')).toBe(text.replace(/\s/g, ''));
  if (!/\d{17}|e400/.test(text)) expect(formatted).toBe(JSON.stringify(JSON.parse(text), undefined, 2));
});

it('a JSON text that is being written has the same beginning in each step', () => {
  const text = '{"a":{"b":[1,-2.5,"x\\n\\"y"]},"c":null}';
  const whole = formatJson(text);
  for (let n = 0; n <= text.length; n++) expect(whole.startsWith(formatJson(text.slice(0, n)).trimEnd())).toBe(true);
});

it('a hostile text takes linear time', () => {
  const start = performance.now();
  for (const part of ['[', '"\\', '{"', ',', 'x ']) formatJson(part.repeat(20_000));
  expect(performance.now() - start).toBeLessThan(1500);
});

it('says what is wrong with a schema', () => {
  for (const text of ['', '  ', 'true', '{"type": "object"}']) expect(schemaProblem(text)).toBeUndefined();
  expect(schemaProblem('{"a"')).toMatch(/^The schema is not JSON\./);
  for (const text of ['[]', '1', 'null', '"x"']) expect(schemaProblem(text)).toMatch(/must be an object/);
  expect(schemaProblem(' '.repeat(1e6))).toBeUndefined();
  expect(schemaProblem(`"${'x'.repeat(1e5)}"`)).toMatch(/100,002 characters/);
});

it('a request says its form to the model', () => {
  expect(responseFormat(' ')).toEqual({ type: 'json_object' });
  expect(responseFormat('{"type":"array"}')).toMatchObject({ type: 'json_schema', schema: { type: 'array' } });
  expect(jsonLine('{"a":[1,\n 2],"b":"x,y"}')).toBe('{"a": [1, 2], "b": "x,y"}');
  expect(systemPrompt('Be brief.', undefined, false)).toBe('Be brief.');
  expect(systemPrompt('Be brief.', '', false)).toBe('Be brief.\n\nAnswer with JSON.');
  expect(systemPrompt('Be brief.', '{"a":1}', true)).toBe('Answer with JSON of this schema: {"a": 1}');
});
