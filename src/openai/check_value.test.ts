import Ajv from 'ajv/dist/2020';
import { expect, it } from 'vitest';
import { findMismatch, uncheckedKeyword } from './check_value';

const order = {
  type: 'object',
  properties: {
    size: { enum: ['s', 'm', 1] },
    count: { type: 'integer', minimum: 1, exclusiveMaximum: 10 },
    price: { type: ['number', 'null'], exclusiveMinimum: 0, maximum: 5 },
    tags: { type: 'array', items: { type: 'string', minLength: 2, maxLength: 3 }, minItems: 1, maxItems: 2 },
    place: { $ref: '#/$defs/place' },
    way: { const: { by: 'air' } },
    when: { anyOf: [{ type: 'boolean' }, { allOf: [{ type: 'string' }, { minLength: 2 }] }] },
    tree: { $ref: '#/$defs/tree' },
  },
  required: ['count'],
  additionalProperties: false,
  $defs: {
    place: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    tree: { type: 'object', additionalProperties: { $ref: '#/$defs/tree' } },
  },
};

it.each<[object, string | undefined]>([
  [{ count: 1 }, undefined],
  [{ count: 9, size: 1, price: null, tags: ['🦀🦀'], place: { city: '', more: 1 }, way: { by: 'air' } }, undefined],
  [{ count: 1, when: 'now', tree: { a: { b: {} } } }, undefined],
  [{}, 'arguments.count'],
  [{ count: 0 }, 'arguments.count'],
  [{ count: 10 }, 'arguments.count'],
  [{ count: 1.5 }, 'arguments.count'],
  [{ count: '1' }, 'arguments.count'],
  [{ count: 1, colour: 'red' }, 'arguments.colour'],
  [{ count: 1, size: '1' }, 'arguments.size'],
  [{ count: 1, price: 0 }, 'arguments.price'],
  [{ count: 1, price: 6 }, 'arguments.price'],
  [{ count: 1, tags: [] }, 'arguments.tags'],
  [{ count: 1, tags: ['ab', 'ab', 'ab'] }, 'arguments.tags'],
  [{ count: 1, tags: ['ab', 'x'] }, 'arguments.tags[1]'],
  [{ count: 1, tags: ['🦀🦀🦀🦀'] }, 'arguments.tags[0]'],
  [{ count: 1, place: {} }, 'arguments.place.city'],
  [{ count: 1, way: { by: 'sea' } }, 'arguments.way'],
  [{ count: 1, when: 'x' }, 'arguments.when'],
  [{ count: 1, tree: { a: { b: 1 } } }, 'arguments.tree.a.b'],
])('%j is judged as Ajv does, with its path', (value, path) => {
  expect(findMismatch(value, order)?.path).toBe(path);
  expect(new Ajv({ strict: false }).validate(order, value)).toBe(path === undefined);
});

it('says which keyword it does not check', () => {
  expect(uncheckedKeyword(order, 'parameters')).toBe(undefined);
  const inside = { properties: { a: { items: { anyOf: [{}, { format: 'date' }] } } } };
  expect(uncheckedKeyword(inside, 'parameters')).toBe('parameters.properties.a.items.anyOf[1].format');
  expect(uncheckedKeyword({ $ref: '#/$defs/none' }, 'p')).toBe('p.$ref');
  expect(uncheckedKeyword({ $ref: 'https://example.com' }, 'p')).toBe('p.$ref');
  let often: object = { type: 'string' };
  for (let i = 0; i < 60; i++) often = { anyOf: [often, often] };
  expect(uncheckedKeyword(often, 'p')).toMatch(/^p\.anyOf/);
  expect(uncheckedKeyword({ properties: { pattern: { type: 'string' } } }, 'p')).toBe(undefined);
});

it('ends with schemas that refer to themselves', () => {
  for (const endless of [
    { $ref: '#' },
    { allOf: [{ $ref: '#' }, { $ref: '#' }] },
    { anyOf: [{ $ref: '#' }, { $ref: '#' }] },
  ])
    expect(findMismatch({}, endless)).toEqual({ path: 'arguments', wanted: 'a schema that ends' });
});
