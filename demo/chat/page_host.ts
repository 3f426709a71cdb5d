/**
 * What the tools need of this page: its colours, text size and volume, its sections, its text, and a store of its own.
 */
import { createStore, get, update } from 'idb-keyval';
import { keep, kept } from './history';
import type { PageParts } from './tools/index';

export interface Look {
  theme: (typeof THEMES)[number];
  /** text size in percent */
  zoom: number;
  /** of the tools' sounds, 0 to 100 */
  volume: number;
}

const THEMES = ['system', 'light', 'dark'] as const;
const USUAL: Look = { theme: 'system', zoom: 100, volume: 70 };

/** Anything may stand in storage. */
export function lookIn(stored: unknown): Look {
  const { theme, zoom, volume } = (typeof stored === 'object' && stored !== null ? stored : {}) as Partial<
    Record<keyof Look, unknown>
  >;
  const within = (value: unknown, least: number, most: number, usual: number): number =>
    typeof value === 'number' && value >= least && value <= most ? value : usual;
  return {
    theme: THEMES.find((name) => name === theme) ?? USUAL.theme,
    zoom: within(zoom, 50, 200, USUAL.zoom),
    volume: within(volume, 0, 100, USUAL.volume),
  };
}

export interface HostParts {
  /** opens a section of the page, by its name */
  sections: Record<string, () => void>;
  lastAnswer(): string | undefined;
  findText(query: string): number;
  timerEnded: PageParts['timerEnded'];
}

export function pageParts({ sections, lastAnswer, findText, timerEnded }: HostParts): PageParts {
  let look = lookIn(kept('look'));
  const show = (): void => {
    const { style, classList } = document.documentElement;
    style.fontSize = look.zoom === 100 ? '' : `${look.zoom}%`;
    // not by the style: the build turns light-dark() into rules that only a style sheet switches
    for (const name of ['light', 'dark'] as const) classList.toggle(`theme-${name}`, look.theme === name);
    classList.toggle('large-text', look.zoom > 100);
  };
  const change = (changed: Partial<Look>): void => {
    look = lookIn({ ...look, ...changed });
    keep('look', look);
    show();
  };
  show();
  const store = createStore('rivulet-chat-tools', 'values');
  return {
    themes: () => THEMES,
    theme: () => look.theme,
    setTheme: (name) => change({ theme: THEMES.find((each) => each === name) }),
    zoom: () => look.zoom,
    setZoom: (zoom) => change({ zoom }),
    volume: () => look.volume,
    setVolume: (volume) => change({ volume }),
    sections: () => Object.keys(sections),
    openSection: (name) => sections[name]?.(),
    findText,
    readable: () => ['last answer'],
    textOf: (name) => (name === 'last answer' ? lastAnswer() : undefined),
    timerEnded,
    storage: { get: (key) => get(key, store), update: (key, make) => update(key, make, store) },
  };
}
