import { expect, test } from 'vitest';
import { fitOf, fitTogether, recommend, speedOf, type Device } from './recommend';

const OFFERS = [
  { name: '230M', megabytes: 149 },
  { name: '350M', megabytes: 219 },
  { name: '350M before', megabytes: 219, previous: true as const },
  { name: '700M', megabytes: 446 },
  { name: '1.2B', megabytes: 696 },
  { name: '2.6B', megabytes: 1483 },
  { name: '8B-A1B', megabytes: 4841, activeMegabytes: 1021 },
];
const laptop: Device = { memory: 8 * 2 ** 30, mobile: false, saveData: false, backend: 'wasm', threads: 4 };
const named = (device: Partial<Device>): string | undefined => recommend(OFFERS, { ...laptop, ...device })?.name;

test.each<[string, Partial<Device>, string | undefined]>([
  ['nothing measured', {}, '350M'],
  ['a measured slow CPU', { threads: 1, throughput: 3e9 }, '230M'],
  ['two measured threads', { threads: 2, throughput: 9e9 }, '700M'],
  ['a measured GPU', { backend: 'webgpu', throughput: 60e9 }, '2.6B'],
  ['a GPU that nothing was measured on', { backend: 'webgpu' }, '350M'],
  ['a fast phone', { mobile: true, backend: 'webgpu', throughput: 40e9 }, '350M'],
  ['saved data', { saveData: true, throughput: 60e9 }, '350M'],
  ['memory that is short', { memory: 0.5 * 2 ** 30, throughput: 60e9 }, '230M'],
  ['memory for none', { memory: 0.25 * 2 ** 30 }, undefined],
  ['memory that the browser does not tell', { memory: undefined, throughput: 60e9 }, '2.6B'],
  ['memory for a mixture of experts', { memory: 32 * 2 ** 30, memory64: true, throughput: 25e9 }, '8B-A1B'],
  ['the same on a slow CPU', { memory: 32 * 2 ** 30, memory64: true, throughput: 15e9 }, '1.2B'],
  ['the same without 64-bit memory', { memory: 32 * 2 ** 30, throughput: 60e9 }, '2.6B'],
  ['the same on a phone', { memory: 32 * 2 ** 30, backend: 'webgpu', mobile: true, throughput: 60e9 }, '350M'],
  ['memory that a mixture just fits into', { memory: 16 * 2 ** 30, memory64: true, throughput: 60e9 }, '8B-A1B'],
])('%s', (_, device, wanted) => expect(named(device)).toBe(wanted));

test('the previous version of a model is not recommended', () =>
  expect(
    recommend(
      OFFERS.filter(({ previous }) => previous),
      laptop,
    ),
  ).toBeUndefined());

test('what does not fit is not recommended, nor a mixture of experts on a phone', () => {
  const mixtures = [
    { megabytes: 3400, activeMegabytes: 720 },
    { megabytes: 4841, activeMegabytes: 1021 },
  ];
  const device: Device = { ...laptop, memory64: true, throughput: 60e9 };
  expect(recommend(mixtures, device)).toBe(mixtures[0]);
  expect(recommend(mixtures, { ...device, memory: 4 * 2 ** 30 })).toBeUndefined();
  expect(recommend(mixtures, { ...device, mobile: true, memory: 16 * 2 ** 30 })).toBeUndefined();
});

test('speed follows from the measured bytes per second, else from threads', () => {
  expect(speedOf({ megabytes: 219 }, { ...laptop, throughput: 8.76e9 })).toBeCloseTo(40);
  expect(speedOf({ megabytes: 200 }, { ...laptop, threads: 1 })).toBeCloseTo(20);
  expect(speedOf({ megabytes: 200 }, { ...laptop, threads: 64 })).toBeCloseTo(80);
  expect(speedOf({ megabytes: 200 }, { ...laptop, threads: 2, mobile: true })).toBeCloseTo(20);
  // of a mixture of experts a token reads a part
  expect(speedOf({ megabytes: 4841, activeMegabytes: 1000 }, { ...laptop, throughput: 20e9 })).toBeCloseTo(20);
});

test('what fits', () => {
  const phone: Device = { ...laptop, memory: 2 * 2 ** 30, mobile: true };
  expect(OFFERS.map((offer) => fitOf(offer, phone))).toEqual([
    'fits',
    'fits',
    'fits',
    'tight',
    'too large',
    'too large',
    'too large',
  ]);
  // WebAssembly has 4 GiB, whatever the device has, or 16 GiB with 64-bit memory
  expect(fitOf({ megabytes: 3000 }, { ...laptop, memory: 64 * 2 ** 30 })).toBe('fits');
  expect(fitOf({ megabytes: 4000 }, { ...laptop, memory: 64 * 2 ** 30 })).toBe('too large');
  expect(fitOf({ megabytes: 4000 }, { ...laptop, memory: 64 * 2 ** 30, memory64: true })).toBe('fits');
  expect(fitOf({ megabytes: 17000 }, { ...laptop, memory: 64 * 2 ** 30, memory64: true })).toBe('too large');
  expect(fitOf({ megabytes: 4000 }, { ...laptop, memory: 64 * 2 ** 30, backend: 'webgpu' })).toBe('fits');
  // all weights of a mixture of experts are in memory
  const mixture = { megabytes: 4841, activeMegabytes: 1021 };
  expect([2, 8, 16].map((GiB) => fitOf(mixture, { ...laptop, memory: GiB * 2 ** 30, memory64: true }))).toEqual([
    'too large',
    'tight',
    'fits',
  ]);
  expect(fitTogether(phone, [219e6, 219e6])).toBe(true);
  expect(fitTogether(phone, [446e6, 446e6])).toBe(false);
});
