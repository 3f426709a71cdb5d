import { expect, test } from 'vitest';
import { DEFAULTS, readOverrides, readSettings } from './settings';

test('damaged storage gives the defaults', () => {
  for (const stored of [null, 7, 'x', undefined]) expect(readSettings(stored)).toEqual(DEFAULTS);
  expect(readSettings({ backend: 'cuda', temperature: 'hot', topK: Number.NaN, system: 3 })).toEqual({ system: '', backend: 'auto' });
});

test('what was saved is read again, an emptied field stays empty', () =>
  expect(readSettings({ system: 'Be brief.', backend: 'wasm', temperature: 0, threads: 2 })).toEqual({
    system: 'Be brief.',
    backend: 'wasm',
    temperature: 0,
    threads: 2,
  }));

test('the address overrides, nonsense in it does not', () => {
  expect(readOverrides('?backend=webgpu&threads=2&context=512&model=a/b:Q4_0&hub=http://h&software=1')).toEqual({
    backend: 'webgpu',
    threads: 2,
    contextLength: 512,
    model: 'a/b:Q4_0',
    hub: 'http://h',
    allowSoftware: true,
  });
  expect(readOverrides('?backend=toaster&threads=-1&context=1e9')).toEqual({});
});
