/** The tuner's search, over a table of times whose fastest kernel is known, with a simulated clock. */
import { describe, expect, it } from 'vitest';
import type { OpenedDevice } from './device';
import { searchTunings, MIN_TUNING_GAIN, deviceTuningCandidates, type TuningEvaluator } from './tune';
import type { KernelTuning } from './dispatch';

const settings: Partial<KernelTuning>[] = [
  { rows: 8 },
  { groupSize: 32 },
  { subgroups: false },
  { int8Activations: true },
];

/** A device on which each setting multiplies the µs by its factor; a sample takes `sampleMs`. */
function device(
  factors: Partial<Record<keyof KernelTuning, number>>,
  { sampleMs = 10, wrong = [] as (keyof KernelTuning)[] } = {},
) {
  const asked: string[] = [];
  let clock = 0;
  const evaluator: TuningEvaluator = {
    kernelId: (_, tuning) => JSON.stringify(tuning),
    async measure(tuneKey, tuning) {
      clock += sampleMs;
      asked.push(tuneKey);
      return Object.keys(tuning).reduce((micros, name) => micros * (factors[name as keyof KernelTuning] ?? 1), 100);
    },
    check: async (_, tuning) => wrong.filter((name) => name in tuning).map((name) => `${name} is wrong`)[0],
  };
  return { evaluator, asked, now: () => clock };
}

const always = () => true;

describe('searchTunings', () => {
  it('finds settings that are better together', async () => {
    const { evaluator, now } = device({ rows: 0.8, groupSize: 1.2, subgroups: 1, int8Activations: 0.5 });
    const [row] = await searchTunings(['a'], settings, evaluator, { limitMs: 1e6, isIdle: always, now });
    expect(row.tuning).toEqual({ rows: 8, int8Activations: true });
    expect([row.defaultMicros, row.micros]).toEqual([100, 40]);
  });

  it('leaves what wins by less than the margin', async () => {
    const { evaluator, now } = device({ rows: 1 - MIN_TUNING_GAIN / 2, int8Activations: 1 - 1.1 * MIN_TUNING_GAIN });
    expect((await searchTunings(['a'], settings, evaluator, { limitMs: 1e6, isIdle: always, now }))[0].tuning).toEqual({
      int8Activations: true,
    });
  });

  it('never takes a wrong kernel, and says why', async () => {
    const { evaluator, now } = device({ rows: 0.9, int8Activations: 0.1 }, { wrong: ['int8Activations'] });
    const [row] = await searchTunings(['a'], settings, evaluator, { limitMs: 1e6, isIdle: always, now });
    expect(row.tuning).toEqual({ rows: 8 });
    expect(row.rejected).toEqual(['{"int8Activations":true}: int8Activations is wrong']);
  });

  it('passes over a kernel that does not compile', async () => {
    const { evaluator, now } = device({ rows: 0.9 });
    const measure: TuningEvaluator['measure'] = (tuneKey, tuning) =>
      'rows' in tuning ? Promise.reject(new Error('line 3')) : evaluator.measure(tuneKey, tuning);
    const [row] = await searchTunings(
      ['a'],
      settings,
      { ...evaluator, measure },
      { limitMs: 1e6, isIdle: always, now },
    );
    expect([row.tuning, row.rejected]).toEqual([{}, ['{"rows":8}: line 3']]);
  });

  it('does not believe a sample that another contradicts', async () => {
    const { evaluator, now } = device({});
    let calls = 0;
    const measure: TuningEvaluator['measure'] = async (tuneKey, tuning) =>
      ++calls === 2 ? 10 : evaluator.measure(tuneKey, tuning);
    expect(
      (await searchTunings(['a'], settings, { ...evaluator, measure }, { limitMs: 1e6, isIdle: always, now }))[0]
        .tuning,
    ).toEqual({});
  });

  it('tells a gain only of a kernel that it took: a first sample may be slow', async () => {
    const { evaluator, now } = device({});
    let calls = 0;
    const measure: TuningEvaluator['measure'] = async (tuneKey, tuning) =>
      ++calls === 1 ? 200 : evaluator.measure(tuneKey, tuning);
    const [row] = await searchTunings(
      ['a'],
      settings,
      { ...evaluator, measure },
      { limitMs: 1e6, isIdle: always, now },
    );
    expect(row).toMatchObject({ tuning: {}, defaultMicros: 100, micros: 100 });
  });

  it.each([
    { micros: { 512: 100, 256: 80, 128: 60 }, taken: { span: 128 } },
    { micros: { 512: 100, 256: 120, 128: 90 }, taken: { span: 128 } },
    { micros: { 512: 100, 256: 80, 128: 77 }, taken: { span: 256 } },
    { micros: { 512: 100, 256: 96, 128: 110 }, taken: {} },
  ])('takes the span that is faster with its merge: $micros', async ({ micros, taken }) => {
    const { evaluator, now } = device({});
    const measure: TuningEvaluator['measure'] = (_, { span = 512 }) => Promise.resolve(micros[span]);
    const kernelId: TuningEvaluator['kernelId'] = (_, { span = 512 }) => `${span}`;
    const tried = deviceTuningCandidates({ features: { subgroups: true, dp4a: true } } as OpenedDevice, false);
    expect(
      await searchTunings(
        ['attend f16 16/8×64'],
        tried,
        { ...evaluator, measure, kernelId },
        { limitMs: 1e6, isIdle: always, now },
      ),
    ).toMatchObject([{ tuning: taken, defaultMicros: 100, rejected: [] }]);
  });

  it('ends with its budget, and keeps only shapes that were tried whole', async () => {
    const { evaluator, now } = device({ rows: 0.8 }, { sampleMs: 100 });
    const rows = await searchTunings(['a', 'b', 'c'], settings, evaluator, { limitMs: 1500, isIdle: always, now });
    expect(rows.map(({ tuneKey }) => tuneKey)).toEqual(['a', 'b']);
    expect(now()).toBeLessThanOrEqual(1500 + 300); // one setting is at most three samples
  });

  it('comes to an end with the first shape, however slow the device is', async () => {
    const { evaluator, now } = device({ rows: 0.8, int8Activations: 0.5 }, { sampleMs: 600 });
    const rows = await searchTunings(['a', 'b'], settings, evaluator, { limitMs: 1500, isIdle: always, now });
    expect(rows).toMatchObject([{ tuneKey: 'a', tuning: { rows: 8 } }]);
  });

  it('asks no device for what makes no difference', async () => {
    const { evaluator, now, asked } = device({ rows: 0.5 });
    const [row] = await searchTunings(
      ['a'],
      settings,
      { ...evaluator, kernelId: () => 'the same' },
      { limitMs: 1e6, isIdle: always, now },
    );
    expect([row.tuning, asked.length]).toEqual([{}, 1]);
  });

  it('stops before the next sample when somebody calls', async () => {
    const { evaluator, now, asked } = device({});
    let left = 3;
    expect(
      await searchTunings(['a', 'b'], settings, evaluator, { limitMs: 1e6, isIdle: () => left-- > 0, now }),
    ).toEqual([]);
    expect(asked.length).toBe(3);
  });
});
