import { expect, test } from 'vitest';
import { describeTooLarge, tooLarge, type MemoryFacts } from './fits';
import { planRuns, PRESETS, type Selection } from './plan';

const plain = (text: string): string => text.replaceAll('\u00a0', ' ');
const device: MemoryFacts = { memoryGB: 16, mobile: false, memory64: true };
const selection: Selection = {
  ...PRESETS.quick,
  shapes: ['350m', '8b-a1b'],
  quantizations: ['Q4_0'],
  stored: ['Org/Repo:Q8_0'],
  file: 'my.gguf',
  backends: ['wasm', 'webgpu'],
};
const plan = planRuns(selection);
const sizes = new Map([
  ['Org/Repo:Q8_0', 9e9],
  ['my.gguf', 1e9],
]);
const told = (facts: Partial<MemoryFacts>): string[] =>
  tooLarge(plan, sizes, { ...device, ...facts }).map(({ name, backend }) => `${name} ${backend}`);

test('what does not fit the memory of the device, or of WebAssembly', () => {
  expect(told({})).toEqual([]);
  expect(told({ memory64: false })).toEqual(['LFM2-8B-A1B wasm', 'Repo:Q8_0 wasm']);
  expect(told({ memoryGB: 8 })).toEqual(['Repo:Q8_0 wasm', 'Repo:Q8_0 webgpu']);
  expect(told({ memoryGB: 4, mobile: true })).toEqual([
    'LFM2-8B-A1B wasm',
    'LFM2-8B-A1B webgpu',
    'Repo:Q8_0 wasm',
    'Repo:Q8_0 webgpu',
  ]);
  expect(told({ memoryGB: undefined })).toEqual(['Repo:Q8_0 wasm', 'Repo:Q8_0 webgpu']);
  // a stored model whose size is not known
  expect(tooLarge(plan, new Map(), { ...device, memoryGB: 8 })).toEqual([]);
});

test('it is said with both sizes, and a long list is cut', () => {
  const facts = { ...device, memory64: false };
  expect(plain(describeTooLarge(tooLarge(plan, sizes, facts), sizes, facts))).toBe(
    'LFM2-8B-A1B Q4_0 does not fit on the CPU: it needs about 5.33 GB of memory, and this page can have about 4.29 GB. Repo:Q8_0 does not fit on the CPU: it needs about 9.60 GB of memory, and this page can have about 4.29 GB.',
  );
  const small = { ...device, memoryGB: 0.25 };
  expect(describeTooLarge(tooLarge(plan, sizes, small), sizes, small)).toMatch(/ 5 more runs do not fit\.$/);
});
