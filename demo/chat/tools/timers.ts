/** set_timer and set_alarm. End times are stored, so that a reload does not lose them; of several tabs one rings. */
import { clock } from './times';
import { define, ToolError, type PageHost, type PageTool, type Result, type Timer } from './tool';

const KEY = 'timers';
const LONGEST_MINUTES = 7 * 24 * 60;
const MOST = 50;

const isTimer = (value: unknown): value is Timer => {
  const { id, kind, title, start, end } = (value ?? {}) as Partial<Timer>;
  return (
    typeof id === 'string' &&
    (kind === 'timer' || kind === 'alarm') &&
    typeof title === 'string' &&
    Number.isFinite(start) &&
    Number.isFinite(end)
  );
};
/** Anything may stand in storage. */
const timersIn = (stored: unknown): Timer[] => (Array.isArray(stored) ? stored.filter(isTimer) : []);

/** what cancels the wait of each timer that this page waits for */
const waits = new WeakMap<PageHost, Map<string, () => void>>();
const waitsOf = (host: PageHost): Map<string, () => void> => {
  if (!waits.has(host)) waits.set(host, new Map());
  return waits.get(host)!;
};

/** Takes a timer out of the storage. False if it was not there: it has rung in another tab, or is cancelled. */
async function takeOut(host: PageHost, id: string): Promise<boolean> {
  let there = false;
  await host.storage.update(KEY, (old) => {
    const timers = timersIn(old);
    there = timers.some((timer) => timer.id === id);
    return timers.filter((timer) => timer.id !== id);
  });
  return there;
}

function waitFor(host: PageHost, timer: Timer): void {
  waitsOf(host).get(timer.id)?.();
  waitsOf(host).set(
    timer.id,
    host.schedule(timer.end, () => void end(host, timer)),
  );
}

async function end(host: PageHost, timer: Timer): Promise<void> {
  waitsOf(host).delete(timer.id);
  // storage that fails must not silence an alarm
  const mine = await takeOut(host, timer.id).catch(() => true);
  if (mine)
    await announce(
      host,
      timer,
      'rang',
      timer.kind === 'timer' ? `${sentence(timer)} is over.` : `${sentence(timer)} rings.`,
    );
  else host.timerEnded?.(timer, 'rang');
}

/** The tone, the notification and the card do not depend on each other. */
async function announce(host: PageHost, timer: Timer, how: 'rang' | 'missed', text: string): Promise<void> {
  host.timerEnded?.(timer, how);
  await Promise.allSettled([(async () => host.ring())(), (async () => host.notify(text))()]);
}

/** On every start of the page: waits for the stored timers, and tells of those that ended while the page was closed. */
export async function resumeTimers(host: PageHost): Promise<{ running: Timer[]; missed: Timer[] }> {
  const running: Timer[] = [];
  const missed: Timer[] = [];
  for (const timer of timersIn(await host.storage.get(KEY))) {
    if (timer.end > host.now()) {
      waitFor(host, timer);
      running.push(timer);
    } else if (await takeOut(host, timer.id)) {
      missed.push(timer);
      await announce(
        host,
        timer,
        'missed',
        `${sentence(timer)}${timer.kind === 'timer' ? ` ended at ${timeOf(timer.end)}` : ' passed'} while the page was closed.`,
      );
    }
  }
  return { running, missed };
}

/** From the card. False if the timer has rung or is cancelled already. */
export async function cancelTimer(host: PageHost, id: string): Promise<boolean> {
  waitsOf(host).get(id)?.();
  waitsOf(host).delete(id);
  const timer = timersIn(await host.storage.get(KEY)).find((each) => each.id === id);
  const there = await takeOut(host, id);
  if (there && timer) host.timerEnded?.(timer, 'cancelled');
  return there;
}

export const runningTimers = async (host: PageHost): Promise<Timer[]> =>
  timersIn(await host.storage.get(KEY)).filter((timer) => timer.end > host.now());

/** 'The timer for 10 minutes' */
const sentence = ({ title }: Timer): string => `The ${title.charAt(0).toLowerCase()}${title.slice(1)}`;
export const timeOf = (at: number): string => clock(new Date(at).getHours() * 60 + new Date(at).getMinutes());

let made = 0;

async function start(host: PageHost, kind: Timer['kind'], title: string, at: number): Promise<Timer> {
  const timer: Timer = {
    id: `${kind}-${host.now().toString(36)}-${(made++).toString(36)}${Math.random().toString(36).slice(2, 8)}`,
    kind,
    title,
    start: host.now(),
    end: at,
  };
  await host.storage.update(KEY, (old) => {
    const timers = timersIn(old);
    if (timers.length >= MOST) throw new ToolError(`${MOST} timers run already. Cancel one first.`);
    return [...timers, timer];
  });
  waitFor(host, timer);
  return timer;
}

const minutesText = (minutes: number): string => {
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  const one = (count: number, unit: string): string => `${count} ${unit}${count === 1 ? '' : 's'}`;
  return minutes < 120
    ? one(minutes, 'minute')
    : [one(hours, 'hour'), rest ? one(rest, 'minute') : ''].filter(Boolean).join(' ');
};

const started = (timer: Timer, summary: string): Result => ({
  value: { started: true, id: timer.id, ends: timeOf(timer.end) },
  brief: 'ok',
  summary,
  live: timer,
});

export const setTimer: PageTool = {
  definition: define('set_timer', 'Start a countdown timer', {
    minutes: { type: 'integer', description: 'Length in minutes' },
  }),
  title: 'Timer',
  icon: 'timer',
  changes: 'page',
  async run({ minutes }, host) {
    const length = Number(minutes);
    if (!(length >= 1 && length <= LONGEST_MINUTES))
      throw new ToolError(
        `The timer is to run ${length} minutes. It can run 1 to ${LONGEST_MINUTES} minutes, which is 7 days.`,
      );
    const timer = await start(host, 'timer', `Timer for ${minutesText(length)}`, host.now() + length * 60_000);
    return started(timer, `The timer runs for ${minutesText(length)}, until ${timeOf(timer.end)}.`);
  },
};

export const setAlarm: PageTool = {
  definition: define('set_alarm', 'Set an alarm clock', { time: { type: 'string', description: 'Time as HH:MM' } }),
  title: 'Alarm',
  icon: 'alarm',
  changes: 'page',
  async run({ time }, host) {
    const [, hours, minutes] = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(String(time)) ?? [];
    if (hours === undefined)
      throw new ToolError(`The time is "${String(time).slice(0, 20)}". It must be HH:MM, such as 07:30.`);
    const at = new Date(host.now());
    at.setHours(Number(hours), Number(minutes), 0, 0);
    const tomorrow = at.getTime() <= host.now();
    if (tomorrow) at.setDate(at.getDate() + 1);
    const timer = await start(host, 'alarm', `Alarm at ${hours}:${minutes}`, at.getTime());
    return started(timer, `The alarm rings at ${hours}:${minutes} ${tomorrow ? 'tomorrow' : 'today'}.`);
  },
};
