import { afterEach, expect, test, vi } from 'vitest';
import { notify, ring, schedule, speak } from './browser_host';

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test('a time far away is waited for, a time past comes at once, a cancelled one never', () => {
  vi.useFakeTimers();
  const action = vi.fn();
  const day = 86_400_000;
  schedule(Date.now() + 40 * day, action);
  vi.advanceTimersByTime(40 * day - 1);
  expect(action).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(action).toHaveBeenCalledTimes(1);
  schedule(Date.now() - 5, action);
  vi.advanceTimersByTime(0);
  expect(action).toHaveBeenCalledTimes(2);
  schedule(Date.now() + 1000, action)();
  const later = schedule(Date.now() + 100_000, action);
  vi.advanceTimersByTime(60_000);
  later();
  vi.advanceTimersByTime(day);
  expect(action).toHaveBeenCalledTimes(2);
});

test('after sleep of the device the clock counts, not the time that the page ran', () => {
  vi.useFakeTimers();
  const action = vi.fn();
  schedule(Date.now() + 3_600_000, action);
  vi.setSystemTime(Date.now() + 3_600_000); // nothing ran for an hour
  vi.advanceTimersByTime(30_000);
  expect(action).toHaveBeenCalledTimes(1);
});

class Utterance {
  voice?: { name: string };
  lang = '';
  volume = 1;
  constructor(readonly text: string) {}
}
const speech = (
  voices: { name: string; lang: string; localService: boolean; default?: boolean }[],
  after: typeof voices = voices,
): { spoken: Utterance[] } => {
  const spoken: Utterance[] = [];
  const target = new EventTarget();
  let current = voices;
  vi.stubGlobal('document', { documentElement: { lang: 'en' } });
  vi.stubGlobal('SpeechSynthesisUtterance', Utterance);
  vi.stubGlobal(
    'speechSynthesis',
    Object.assign(target, {
      getVoices: () => current,
      cancel: () => void (spoken.length = 0),
      speak: (utterance: Utterance) => void spoken.push(utterance),
    }),
  );
  setTimeout(() => {
    current = after;
    target.dispatchEvent(new Event('voiceschanged'));
  }, 10);
  return { spoken };
};

test('only a voice of the device speaks, in the language of the page if there is one', async () => {
  const { spoken } = speech([
    { name: 'cloud', lang: 'en-US', localService: false, default: true },
    { name: 'Anna', lang: 'de-DE', localService: true },
    { name: 'Sam', lang: 'en-GB', localService: true },
  ]);
  expect(await speak('Hello.', 40)).toBe('speaking');
  expect(spoken).toMatchObject([{ text: 'Hello.', voice: { name: 'Sam' }, lang: 'en-GB', volume: 0.4 }]);
});

test('voices that come later are waited for, voices of a server are none', async () => {
  const { spoken } = speech([], [{ name: 'Anna', lang: 'de-DE', localService: true }]);
  expect(await speak('Hello.', 100)).toBe('speaking');
  expect(spoken).toHaveLength(1);
  const cloud = speech([{ name: 'cloud', lang: 'en-US', localService: false }]);
  expect(await speak('Hello.', 100)).toBe('no voice');
  expect(cloud.spoken).toEqual([]);
});

test('without voices, sound and notifications nothing throws', async () => {
  expect(await speak('Hello.', 100)).toBe('no voice');
  await expect(ring(50)).resolves.toBeUndefined();
  expect(() => notify('Timer')).not.toThrow();
});

test('a notification is shown only where it is permitted', () => {
  const shown: string[] = [];
  class Granted {
    static permission = 'granted';
    constructor(title: string) {
      shown.push(title);
    }
  }
  vi.stubGlobal('Notification', Granted);
  notify('Timer');
  Granted.permission = 'denied';
  notify('Alarm');
  vi.stubGlobal(
    'Notification',
    class {
      static permission = 'granted';
      constructor() {
        throw new TypeError('use a service worker');
      }
    },
  );
  expect(() => notify('Timer')).not.toThrow();
  expect(shown).toEqual(['Timer']);
});
