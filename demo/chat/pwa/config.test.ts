import { expect, test } from 'vitest';
import { modelSource, readConfig } from './config';

test.each([
  [{ model: 'models/a.gguf' }, { model: 'models/a.gguf' }],
  [{ model: ' ' }, {}],
  [{ model: 7, other: 'x' }, {}],
  [null, {}],
  ['models/a.gguf', {}],
])('%j', (given, config) => expect(readConfig(given)).toEqual(config));

test('a path lies below the page, a hub id and an address stay', () => {
  const page = 'http://host/chat/index.html';
  expect(modelSource('models/a b.gguf', page)).toBe('http://host/chat/models/a%20b.gguf');
  expect(modelSource('Org/Repo:Q4_0', page)).toBe('Org/Repo:Q4_0');
  expect(modelSource('https://other/a.gguf', page)).toBe('https://other/a.gguf');
});
