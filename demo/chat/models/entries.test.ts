import { expect, test } from 'vitest';
import type { CachedModel } from '../../../src/index';
import type { Offer } from './catalogue';
import type { Download } from './downloads';
import { listEntries, type EntriesParts } from './entries';

const demo: Offer = { source: 'https://a.b/models/tiny.gguf', name: 'Tiny', megabytes: 5, description: '' };
const offers: Offer[] = ['230M', '350M', '700M'].map((name) => ({
  source: `O/LFM-${name}-GGUF:Q4_0`,
  name: `LFM-${name}`,
  megabytes: 100,
  description: '',
}));
const stored = (id: string, more: Partial<CachedModel> = {}): CachedModel => ({
  id,
  bytes: 100,
  storedBytes: 100,
  complete: true,
  files: [],
  added: new Date(0),
  lastUsed: new Date(0),
  pinned: false,
  ...more,
});
const idOf = (name: string): string => `O/LFM-${name}-GGUF/LFM-${name}-Q4_0.gguf`;
const list = (parts: Partial<EntriesParts>): string[] =>
  listEntries({
    included: [demo],
    hub: offers,
    stored: [],
    downloads: [],
    deleted: [],
    nameOf: (id) => id.split('/').pop() ?? id,
    ...parts,
  }).map(({ name, place, state, inUse, recommended, download }) =>
    [name, place, state, inUse && 'in use', recommended && 'recommended', download?.state].filter(Boolean).join(' '),
  );

test('nothing stored: the demo model, then the recommended one before the others', () =>
  expect(list({ recommended: offers[1] })).toEqual([
    'Tiny included ready',
    'LFM-350M hub absent recommended',
    'LFM-230M hub absent',
    'LFM-700M hub absent',
  ]));

test('the demo model and a stored offer stand once, and the one in use is marked', () =>
  expect(
    list({
      stored: [stored(demo.source), stored(idOf('700M'))],
      inUse: { name: 'x', id: idOf('700M'), bytes: 1, file: false },
    }),
  ).toEqual(['Tiny included ready', 'LFM-700M stored ready in use', 'LFM-230M hub absent', 'LFM-350M hub absent']));

test('a part of a download comes first among those that are not here', () => {
  const download: Download = {
    source: offers[2].source,
    name: 'LFM-700M',
    state: 'paused',
    done: 40,
    total: 100,
    rate: 0,
  };
  expect(
    list({
      stored: [stored(idOf('700M'), { complete: false, storedBytes: 40 })],
      downloads: [download],
      recommended: offers[1],
    }),
  ).toEqual([
    'Tiny included ready',
    'LFM-700M hub part paused',
    'LFM-350M hub absent recommended',
    'LFM-230M hub absent',
  ]);
  const other: Download = { ...download, source: 'P/Q', name: 'Q', id: 'P/Q/m.gguf', state: 'running' };
  expect(list({ hub: [], stored: [stored('P/Q/m.gguf', { complete: false })], downloads: [other] })).toEqual([
    'Tiny included ready',
    'm.gguf hub part running',
  ]);
  expect(
    list({ hub: [], downloads: [{ ...download, source: 'https://c.d/m.gguf', name: 'm.gguf', state: 'running' }] }),
  ).toEqual(['Tiny included ready', 'm.gguf hub part running']);
});

test('models of other addresses, a file that is not stored, and what is about to be deleted', () =>
  expect(
    list({
      hub: [],
      stored: [stored(demo.source), stored('https://c.d/m.gguf'), stored('my model.gguf'), stored('gone.gguf')],
      deleted: ['gone.gguf'],
      inUse: { name: 'other.gguf', bytes: 7, file: true },
    }),
  ).toEqual([
    'Tiny included ready',
    'other.gguf file ready in use',
    'm.gguf stored ready',
    'my model.gguf stored ready',
  ]));

test('a stored model of another hub is loaded by its id', () => {
  const id = `127.0.0.1:99/${idOf('350M')}`;
  const found = listEntries({
    included: [demo],
    hub: offers,
    stored: [stored(id)],
    downloads: [],
    deleted: [],
    nameOf: (text) => text,
  }).find(({ offer }) => offer === offers[1]);
  expect(found).toMatchObject({ place: 'stored', state: 'ready', source: id, id });
});
