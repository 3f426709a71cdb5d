/** How the tuner chooses, with a table of times whose winner is known and a clock of its own. */
import { describe, expect, it } from 'vitest';
import type { OpenedDevice } from './device';
import { choose, MARGIN, settingsFor, type Trials } from './tune';
import type { Tuning } from './gpu';

const settings: Partial<Tuning>[] = [{ rows: 8 }, { groupSize: 32 }, { subgroups: false }, { integers: true }];

/** µs by shape: a product of factors by setting; each sample takes `sampleMs`. */
function device(factors: Partial<Record<keyof Tuning, number>>, { sampleMs = 10, wrong = [] as (keyof Tuning)[] } = {}) {
  const asked: string[] = [];
  let clock = 0;
  const trials: Trials = {
    kernel: (_, tuning) => JSON.stringify(tuning),
    async measure(shape, tuning) {
      clock += sampleMs;
      asked.push(shape);
      return Object.keys(tuning).reduce((micros, name) => micros * (factors[name as keyof Tuning] ?? 1), 100);
    },
    wrong: async (_, tuning) => wrong.filter((name) => name in tuning).map((name) => `${name} is wrong`)[0],
  };
  return { trials, asked, now: () => clock };
}

const always = () => true;

describe('choose', () => {
  it('finds settings that are better together', async () => {
    const { trials, now } = device({ rows: 0.8, groupSize: 1.2, subgroups: 1, integers: 0.5 });
    const [row] = await choose(['a'], settings, trials, { ms: 1e6, idle: always, now });
    expect(row.tuning).toEqual({ rows: 8, integers: true });
    expect([row.usualMicros, row.micros]).toEqual([100, 40]);
  });

  it('leaves what wins by less than the margin', async () => {
    const { trials, now } = device({ rows: 1 - MARGIN / 2, integers: 1 - 1.1 * MARGIN });
    expect((await choose(['a'], settings, trials, { ms: 1e6, idle: always, now }))[0].tuning).toEqual({ integers: true });
  });

  it('never takes a wrong kernel, and says why', async () => {
    const { trials, now } = device({ rows: 0.9, integers: 0.1 }, { wrong: ['integers'] });
    const [row] = await choose(['a'], settings, trials, { ms: 1e6, idle: always, now });
    expect(row.tuning).toEqual({ rows: 8 });
    expect(row.refused).toEqual(['{"integers":true}: integers is wrong']);
  });

  it('passes over a kernel that does not compile', async () => {
    const { trials, now } = device({ rows: 0.9 });
    const measure: Trials['measure'] = (shape, tuning) => ('rows' in tuning ? Promise.reject(new Error('line 3')) : trials.measure(shape, tuning));
    const [row] = await choose(['a'], settings, { ...trials, measure }, { ms: 1e6, idle: always, now });
    expect([row.tuning, row.refused]).toEqual([{}, ['{"rows":8}: line 3']]);
  });

  it('does not believe a sample that another contradicts', async () => {
    const { trials, now } = device({});
    let calls = 0;
    const measure: Trials['measure'] = async (shape, tuning) => (++calls === 2 ? 10 : trials.measure(shape, tuning));
    expect((await choose(['a'], settings, { ...trials, measure }, { ms: 1e6, idle: always, now }))[0].tuning).toEqual({});
  });

  it('tells a gain only of a kernel that it took: a first sample may be slow', async () => {
    const { trials, now } = device({});
    let calls = 0;
    const measure: Trials['measure'] = async (shape, tuning) => (++calls === 1 ? 200 : trials.measure(shape, tuning));
    const [row] = await choose(['a'], settings, { ...trials, measure }, { ms: 1e6, idle: always, now });
    expect(row).toMatchObject({ tuning: {}, usualMicros: 100, micros: 100 });
  });

  it.each([
    { micros: { 512: 100, 256: 80, 128: 60 }, taken: { span: 128 } },
    { micros: { 512: 100, 256: 120, 128: 90 }, taken: { span: 128 } },
    { micros: { 512: 100, 256: 80, 128: 77 }, taken: { span: 256 } },
    { micros: { 512: 100, 256: 96, 128: 110 }, taken: {} },
  ])('takes the span that is faster with its merge: $micros', async ({ micros, taken }) => {
    const { trials, now } = device({});
    const measure: Trials['measure'] = (_, { span = 512 }) => Promise.resolve(micros[span]);
    const kernel: Trials['kernel'] = (_, { span = 512 }) => `${span}`;
    const tried = settingsFor({ features: { subgroups: true, dp4a: true } } as OpenedDevice, false);
    expect(await choose(['attend f16 16/8×64'], tried, { ...trials, measure, kernel }, { ms: 1e6, idle: always, now })).toMatchObject([{ tuning: taken, usualMicros: 100, refused: [] }]);
  });

  it('ends with its budget, and keeps only shapes that were tried whole', async () => {
    const { trials, now } = device({ rows: 0.8 }, { sampleMs: 100 });
    const rows = await choose(['a', 'b', 'c'], settings, trials, { ms: 1500, idle: always, now });
    expect(rows.map(({ shape }) => shape)).toEqual(['a', 'b']);
    expect(now()).toBeLessThanOrEqual(1500 + 300); // one setting is at most three samples
  });

  it('comes to an end with the first shape, however slow the device is', async () => {
    const { trials, now } = device({ rows: 0.8, integers: 0.5 }, { sampleMs: 600 });
    const rows = await choose(['a', 'b'], settings, trials, { ms: 1500, idle: always, now });
    expect(rows).toMatchObject([{ shape: 'a', tuning: { rows: 8 } }]);
  });

  it('asks no device for what makes no difference', async () => {
    const { trials, now, asked } = device({ rows: 0.5 });
    const [row] = await choose(['a'], settings, { ...trials, kernel: () => 'the same' }, { ms: 1e6, idle: always, now });
    expect([row.tuning, asked.length]).toEqual([{}, 1]);
  });

  it('stops before the next sample when somebody calls', async () => {
    const { trials, now, asked } = device({});
    let left = 3;
    expect(await choose(['a', 'b'], settings, trials, { ms: 1e6, idle: () => left-- > 0, now })).toEqual([]);
    expect(asked.length).toBe(3);
  });
});
