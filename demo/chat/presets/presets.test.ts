import { expect, test } from 'vitest';
import { BUILT_IN, plainName, problemOf, readPresets } from './presets';

test.each([
  null,
  7,
  'x',
  {},
  [null, 7, 'x', []],
  [{ name: 'A' }, { text: 'B' }, { name: 3, text: 'B' }, { name: 'A', text: ' ' }],
])('damaged storage has no presets: %j', (stored) => expect(readPresets(stored)).toEqual([]));

test('of stored presets the valid ones are read', () => {
  const good = { name: 'Chef', text: 'Give recipes.' };
  const stored = [
    good,
    { name: 'chef', text: 'twice' },
    { name: 'Concise', text: 'a name of the page' },
    { name: 'a\u202eb', text: 'reversed' },
    { name: '', text: 'x' },
    { name: 'n'.repeat(61), text: 'x' },
    { name: 'Long', text: 'x'.repeat(20_001) },
  ];
  expect(readPresets(stored)).toEqual([good]);
  expect(readPresets([{ ...good, more: '<img>' }])).toEqual([good]);
  expect(readPresets(Array.from({ length: 80 }, (_, i) => ({ name: `n${i}`, text: 'x' })))).toHaveLength(50);
});

test('a name is one line, and a preset needs a name of its own and a text', () => {
  expect(plainName('  My\n\tprompt\u202e ')).toBe('My prompt');
  expect(problemOf({ name: '', text: 'x' })).toBe('Enter a name.');
  expect(problemOf({ name: 'concise', text: 'x' })).toMatch(/is a preset of the page/);
  expect(problemOf({ name: 'Mine', text: '  ' })).toMatch(/is empty/);
  expect(problemOf({ name: 'Mine', text: 'x' })).toBeUndefined();
});

test('the presets of the page would be read if they were the user’s own', () => {
  for (const { name, text } of BUILT_IN) expect(readPresets([{ name: `My ${name}`, text }])).toHaveLength(1);
});
