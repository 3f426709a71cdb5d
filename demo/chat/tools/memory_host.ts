/** A page for unit tests: it keeps everything in memory, and its clock goes on when it is told to. */
import type { PageHost } from './tool';

export interface MemoryHost extends PageHost {
  /** what the tools did to the page, in order */
  log: string[];
  stored: Map<string, unknown>;
  /** Sets the clock forward and calls what was due. */
  pass(ms: number): Promise<void>;
  /** another tab, or the page after a reload: the same storage and clock */
  again(): MemoryHost;
}

export function memoryHost(at = new Date(2025, 2, 4, 12, 0).getTime(), changed: Partial<PageHost> = {}): MemoryHost {
  const clock = { now: at };
  return hostWith(clock, new Map(), changed);
}

function hostWith(clock: { now: number }, stored: Map<string, unknown>, changed: Partial<PageHost>): MemoryHost {
  const log: string[] = [];
  const waiting = new Set<{ at: number; action: () => void }>();
  let turn: Promise<unknown> = Promise.resolve();
  const state = { theme: 'system', zoom: 100, volume: 50 };
  return {
    log,
    stored,
    now: () => clock.now,
    timeZone: () => 'Europe/Berlin',
    themes: () => ['light', 'dark', 'system'],
    theme: () => state.theme,
    setTheme: (name) => void log.push(`theme ${(state.theme = name)}`),
    zoom: () => state.zoom,
    setZoom: (percent) => void log.push(`zoom ${(state.zoom = percent)}`),
    volume: () => state.volume,
    setVolume: (percent) => void log.push(`volume ${(state.volume = percent)}`),
    sections: () => ['Models on this device', 'Settings', 'Chat'],
    openSection: (name) => void log.push(`open ${name}`),
    findText: (query) => [...'to be or not to be'.matchAll(new RegExp(`\\b${query}\\b`, 'g'))].length,
    readable: () => ['last answer', 'Settings'],
    textOf: (name) => ({ 'last answer': 'An answer.', Settings: ' ' })[name],
    speak: async (text) => {
      log.push(`speak ${text}`);
      return 'speaking';
    },
    ring: () => void log.push('ring'),
    notify: (title) => void log.push(`notify ${title}`),
    timerEnded: ({ kind }, how) => void log.push(`${kind} ${how}`),
    storage: {
      // a copy, later, as a database gives it
      get: async (key) => structuredClone(await Promise.resolve(stored.get(key))),
      update: (key, change) => {
        const mine = turn.then(async () => {
          const old = structuredClone(await Promise.resolve(stored.get(key)));
          stored.set(key, structuredClone(change(old)));
        });
        turn = mine.catch(() => undefined);
        return mine;
      },
    },
    schedule(at, action) {
      const entry = { at, action };
      waiting.add(entry);
      return () => void waiting.delete(entry);
    },
    async pass(ms) {
      clock.now += ms;
      for (const entry of waiting) {
        if (entry.at > clock.now) continue;
        waiting.delete(entry);
        entry.action();
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    },
    again: () => hostWith(clock, stored, changed),
    ...changed,
  };
}
