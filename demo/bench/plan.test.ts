import { expect, test } from 'vitest';
import { stepName } from './measure';
import { casesOf, obstacleOf, planRuns, PRESETS, type Selection } from './plan';
import { stepsOf, TimeLeft } from './time_left';

const FULL: Selection = { stored: ['Org/Repo:Q4_0'], backends: ['wasm', 'webgpu'], ...PRESETS.full };

test('every shape runs in every quantisation on every backend, then the stored models', () => {
  const plan = planRuns(FULL);
  expect(plan.map(({ name, quantization, backend }) => [name, quantization, backend].join(' '))).toEqual([
    'LFM2.5-350M Q4_0 wasm', 'LFM2.5-350M Q4_0 webgpu', 'LFM2.5-350M Q8_0 wasm', 'LFM2.5-350M Q8_0 webgpu',
    'LFM2.5-1.2B Q4_0 wasm', 'LFM2.5-1.2B Q4_0 webgpu', 'LFM2.5-1.2B Q8_0 wasm', 'LFM2.5-1.2B Q8_0 webgpu',
    'Repo:Q4_0  wasm', 'Repo:Q4_0  webgpu',
  ]); // prettier-ignore
  expect(plan.map(({ kernels }) => kernels)).toEqual(plan.map(({ backend }) => backend === 'webgpu'));
});

test('the cases are those of the issue, each once, short ones first', () => {
  expect(casesOf(FULL).map(stepName)).toEqual([
    'prefill of 128', '256 in, 64 out', 'prefill of 512', '1,024 in, 100 out', 'prefill of 2,048', '4,096 in, 128 out',
    'decode at 128', 'decode at 1,024', 'decode at 4,096', 'decode at 16,384',
  ]); // prettier-ignore
});

test('a set without anything to measure, or with more than a result holds, is refused', () => {
  expect(obstacleOf(FULL)).toBeUndefined();
  expect(obstacleOf({ ...FULL, shapes: [], stored: [] })).toBe('Choose at least one model.');
  expect(obstacleOf({ ...FULL, quantizations: [], stored: [] })).toBe('Choose at least one quantisation.');
  expect(obstacleOf({ ...FULL, backends: [] })).toBe('Choose the CPU, the GPU or both.');
  expect(obstacleOf({ ...FULL, stored: Array.from({ length: 97 }, (_, i) => `Org/Repo-${i}`) })).toBe(
    'Choose fewer models: these are 202 runs, and a result holds at most 200.',
  );
  expect(obstacleOf({ ...FULL, prefill: [], decode: [], classes: false, sustained: false, kernels: false })).toBe(
    'Choose at least one measurement.',
  );
});

test('the time left follows the steps that have been timed', () => {
  const [run] = planRuns(FULL);
  const steps = stepsOf(run, 3);
  const left = new TimeLeft();
  const before = left.of('wasm', steps);
  left.done('wasm', steps[0], 10 * steps[0].seconds);
  expect(
    left.of(
      'wasm',
      steps.filter(({ fixed }) => !fixed),
    ),
  ).toBeCloseTo(10 * (before - 60));
  expect(
    left.of(
      'wasm',
      steps.filter(({ fixed }) => fixed),
    ),
  ).toBe(60);
  expect(left.of('webgpu', steps)).toBe(before);
});
