import { expect, test } from 'vitest';
import { memoryHost } from './memory_host';
import { cancelTimer, resumeTimers, runningTimers, setAlarm, setTimer } from './timers';
import type { PageHost, Result } from './tool';

const MINUTE = 60_000;
const timer = async (host: PageHost, minutes: number): Promise<Result> => setTimer.run({ minutes }, host);
const alarm = async (host: PageHost, time: string): Promise<Result> => setAlarm.run({ time }, host);

test('a timer runs, rings once and is gone', async () => {
  const host = memoryHost();
  const { summary, live, value } = await timer(host, 10);
  expect(summary).toBe('The timer runs for 10 minutes, until 12:10.');
  expect(value).toEqual({ started: true, id: live!.id, ends: '12:10' });
  expect(live).toMatchObject({
    kind: 'timer',
    title: 'Timer for 10 minutes',
    start: host.now(),
    end: host.now() + 10 * MINUTE,
  });
  await host.pass(9 * MINUTE);
  expect(host.log).toEqual([]);
  await host.pass(MINUTE);
  expect(host.log).toEqual(['timer rang', 'ring', 'notify The timer for 10 minutes is over.']);
  await host.pass(60 * MINUTE);
  expect(host.log).toHaveLength(3);
  expect(await runningTimers(host)).toEqual([]);
});

test('a timer survives a reload', async () => {
  const host = memoryHost();
  await timer(host, 10);
  const reloaded = host.again();
  const { running, missed } = await resumeTimers(reloaded);
  expect([running.length, missed.length]).toEqual([1, 0]);
  await reloaded.pass(10 * MINUTE);
  expect(reloaded.log).toEqual(['timer rang', 'ring', 'notify The timer for 10 minutes is over.']);
});

test('one that ended while the page was closed is told once', async () => {
  const host = memoryHost();
  await timer(host, 10);
  await alarm(host, '12:20');
  const reloaded = host.again();
  await reloaded.pass(15 * MINUTE);
  const { running, missed } = await resumeTimers(reloaded);
  expect([running.length, missed.length]).toEqual([1, 1]);
  expect(reloaded.log).toEqual([
    'timer missed',
    'ring',
    'notify The timer for 10 minutes ended at 12:10 while the page was closed.',
  ]);
  expect((await resumeTimers(host.again())).missed).toEqual([]);
});

test('of two tabs one rings, and both cards change', async () => {
  const host = memoryHost();
  await timer(host, 1);
  const other = host.again();
  await resumeTimers(other);
  await host.pass(MINUTE);
  await other.pass(0);
  expect(host.log).toEqual(['timer rang', 'ring', 'notify The timer for 1 minute is over.']);
  expect(other.log).toEqual(['timer rang']);
});

test('a cancelled timer does not ring, here or elsewhere', async () => {
  const host = memoryHost();
  const { live } = await timer(host, 1);
  const other = host.again();
  await resumeTimers(other);
  expect(await cancelTimer(host, live!.id)).toBe(true);
  expect(await cancelTimer(host, live!.id)).toBe(false);
  await host.pass(2 * MINUTE);
  await other.pass(0);
  expect(host.log).toEqual(['timer cancelled']);
  expect(other.log).not.toContain('ring');
});

test('many at once are all kept', async () => {
  const host = memoryHost();
  await Promise.all(Array.from({ length: 20 }, (_, i) => timer(host, i + 1)));
  const running = await runningTimers(host);
  expect(new Set(running.map(({ id }) => id)).size).toBe(20);
  await host.pass(5 * MINUTE);
  expect(host.log.filter((line) => line === 'ring')).toHaveLength(5);
  expect(await runningTimers(host)).toHaveLength(15);
});

test('there is a most', async () => {
  const host = memoryHost();
  for (let i = 0; i < 50; i++) await timer(host, 5);
  await expect(timer(host, 5)).rejects.toThrow('50 timers run already. Cancel one first.');
});

test('an alarm rings today, or tomorrow if the time is past', async () => {
  const host = memoryHost();
  expect((await alarm(host, '12:30')).summary).toBe('The alarm rings at 12:30 today.');
  expect((await alarm(host, '07:30')).summary).toBe('The alarm rings at 07:30 tomorrow.');
  const { live, summary } = await alarm(host, '12:00');
  expect(summary).toBe('The alarm rings at 12:00 tomorrow.');
  expect(new Date(live!.end)).toEqual(new Date(2025, 2, 5, 12, 0));
  await host.pass(30 * MINUTE);
  expect(host.log).toEqual(['alarm rang', 'ring', 'notify The alarm at 12:30 rings.']);
});

test.each([0, -5, 10_081, Number.NaN])('a timer of %d minutes is refused', async (minutes) =>
  expect(timer(memoryHost(), minutes)).rejects.toThrow(/It can run 1 to 10080 minutes/),
);
test('a time that is none is refused', async () =>
  expect(alarm(memoryHost(), '25:00')).rejects.toThrow(/It must be HH:MM/));

test('long timers are told in hours', async () => {
  const summaries = await Promise.all(
    [1, 90, 119, 120, 150].map(async (minutes) =>
      (await timer(memoryHost(), minutes)).summary.replace(/, until.*/, ''),
    ),
  );
  expect(summaries).toEqual([
    'The timer runs for 1 minute',
    'The timer runs for 90 minutes',
    'The timer runs for 119 minutes',
    'The timer runs for 2 hours',
    'The timer runs for 2 hours 30 minutes',
  ]);
});

test('damaged storage is no timer', async () => {
  for (const stored of [
    'x',
    7,
    null,
    [
      null,
      7,
      {},
      { id: 'a', kind: 'bomb', title: '', start: 0, end: 0 },
      { id: 'a', kind: 'timer', title: 't', start: 0, end: Number.NaN },
    ],
  ]) {
    const host = memoryHost();
    host.stored.set('timers', stored);
    expect(await resumeTimers(host)).toEqual({ running: [], missed: [] });
    expect((await timer(host, 1)).brief).toBe('ok');
  }
});

test('a timer rings though the storage, the tone or the notification fails', async () => {
  const host = memoryHost();
  await timer(host, 1);
  host.storage.update = () => Promise.reject(new Error('the disk is full'));
  const ring = host.ring;
  host.ring = () => {
    void ring();
    throw new Error('no sound');
  };
  host.notify = () => {
    host.log.push('notify');
    throw new Error('no notification');
  };
  await host.pass(MINUTE);
  expect(host.log).toEqual(['timer rang', 'ring', 'notify']);
});

test('a timer that cannot be kept is not started', async () => {
  const host = memoryHost();
  host.storage.update = () => Promise.reject(new Error('the disk is full'));
  await expect(timer(host, 1)).rejects.toThrow('the disk is full');
  await host.pass(MINUTE);
  expect(host.log).toEqual([]);
});
