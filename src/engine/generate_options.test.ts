import { expect, it } from 'vitest';
import { LFM2 } from '../model/architecture';
import { samplingDefaults, resolveGenerateOptions, type GenerateOptions } from './generate_options';

const defaults = samplingDefaults({}, LFM2.text.sampling);

it('takes the family setting only where the checkpoint is silent', () => {
  expect(defaults).toMatchObject({ temperature: 0.3, minP: 0.15, repetitionPenalty: 1.05, topK: 0, topP: 1 });
  expect(samplingDefaults({ temperature: 0.1, topK: 50 }, LFM2.text.sampling)).toMatchObject({
    temperature: 0.1,
    topK: 50,
    minP: 0,
    repetitionPenalty: 1,
  });
});

it('lets a call override one by one', () => {
  expect(resolveGenerateOptions({ temperature: 0 }, defaults, 10).sampling).toMatchObject({
    temperature: 0,
    minP: 0.15,
  });
  expect(resolveGenerateOptions({ stop: 'x', maxTokens: 3 }, defaults, 10)).toMatchObject({
    stop: ['x'],
    maxTokens: 3,
    reuse: true,
  });
  expect(resolveGenerateOptions({ seed: 5 }, defaults, 10)).toMatchObject({ reuse: false, sampling: { seed: 5 } });
  const seeds = new Set([1, 2, 3].map(() => resolveGenerateOptions({}, defaults, 10).sampling.seed));
  expect(seeds.size).toBeGreaterThan(1);
});

it.each([new Map([[3, -2]]), { 3: -2 }, { '3': -2 }])('takes a bias by token id: %o', (bias) => {
  expect(resolveGenerateOptions({ bias }, defaults, 10).sampling.bias).toEqual(new Map([[3, -2]]));
});

it.each<[object, RegExp]>([
  [{ bias: new Map([[10, 1]]) }, /bias.*got 10: 1/],
  [{ bias: { 10: 1 } }, /bias.*got 10: 1/],
  [{ bias: { word: 1 } }, /bias/],
  [{ bias: { 1: '1' } }, /bias/],
  [{ bias: { 1: NaN } }, /bias/],
])('refuses %j', (options, message) => {
  expect(() => resolveGenerateOptions(options as GenerateOptions, defaults, 10)).toThrow(message);
  expect(() => resolveGenerateOptions(options as GenerateOptions, defaults, 10)).toThrow(
    expect.objectContaining({ name: 'RequestError' }),
  );
});
