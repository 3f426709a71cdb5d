import { expect, test } from 'vitest';
import { DEFAULTS, readOverrides, readSettings } from './settings';

test('damaged storage gives the defaults', () => {
  for (const stored of [null, 7, 'x', undefined]) expect(readSettings(stored)).toEqual(DEFAULTS);
  expect(readSettings({ backend: 'cuda', temperature: 'hot', topK: Number.NaN, system: 3 })).toEqual({
    system: '',
    backend: 'auto',
  });
});

test('what was saved is read again, an emptied field stays empty', () =>
  expect(readSettings({ system: 'Be brief.', backend: 'wasm', temperature: 0, threads: 2 })).toEqual({
    system: 'Be brief.',
    backend: 'wasm',
    temperature: 0,
    threads: 2,
  }));

test('tools that are switched off stay so, whatever else stands in storage', () => {
  expect(readSettings({ off: ['zoom', 7, null] }).off).toEqual(['zoom']);
  for (const off of [[], 'zoom', null, [7]]) expect(readSettings({ off })).not.toHaveProperty('off');
});

test('the address overrides the settings', () => {
  expect(
    readOverrides('?backend=webgpu&threads=2&context=512&model=a/b:Q4_0&hub=http://h&software=1&utm_source=x'),
  ).toEqual({
    overrides: {
      backend: 'webgpu',
      threads: 2,
      contextLength: 512,
      model: 'a/b:Q4_0',
      hub: 'http://h',
      allowSoftware: true,
    },
    notes: [],
  });
  expect(readOverrides('?software=0')).toEqual({ overrides: {}, notes: [] });
});

test('what is not understood in the address is named, with what is allowed', () => {
  expect(readOverrides('?backend=gpu&threads=-1&context=1e9&software=yes&modell=a/b&constructor=1')).toEqual({
    overrides: {},
    notes: [
      '“backend=gpu” in the address is ignored. Allowed: auto, webgpu, wasm.',
      '“threads=-1” in the address is ignored. Allowed: a whole number from 1.',
      '“context=1e9” in the address is ignored. Allowed: a whole number from 1.',
      '“software=yes” in the address is ignored. Allowed: 1, 0.',
      '“modell” in the address is not an option. Options: model, hub, backend, software, threads, context.',
      '“constructor” in the address is not an option. Options: model, hub, backend, software, threads, context.',
    ],
  });
});
