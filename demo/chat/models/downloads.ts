/**
 * Downloads into the page's storage: start, pause, resume, discard. A download that has not ended is remembered over a
 * reload, paused.
 */
import {
  deleteModel,
  downloadModel,
  listModels,
  type CachedModel,
  type EvictionConsent,
  type Progress,
} from '../../../src/index';
import { explain, type Explanation } from '../explain';
import { keep, kept } from '../history';
import { checkReachable } from './reach';
import { isStoredCopy } from './stored_copy';

export interface Download {
  /** what `load` takes */
  source: string;
  name: string;
  /** `waiting`: for the network; `done`: stored completely */
  state: 'running' | 'paused' | 'waiting' | 'failed' | 'done';
  /** bytes that are stored or arriving, and all bytes; 0: not known yet */
  done: number;
  total: number;
  /** bytes per second; seconds left */
  rate: number;
  eta?: number;
  problem?: Explanation;
  /** of the stored model, as far as it is known; always when it is done */
  id?: string;
}

export interface Downloads {
  list(): Download[];
  start(model: Pick<Download, 'source' | 'name' | 'id'>): Promise<void>;
  pause(source: string): void;
  /** Ends the download and deletes what is stored of it. */
  discard(source: string): Promise<void>;
  /** takes a finished or failed download off the list */
  dismiss(source: string): void;
}

export interface DownloadsParts {
  /** a host other than Hugging Face */
  hub?: string;
  makeRoom: EvictionConsent;
  changed(): void;
  done(download: Download): void;
  announce(text: string): void;
  /** replaced in tests */
  library?: {
    downloadModel: typeof downloadModel;
    listModels: typeof listModels;
    deleteModel: typeof deleteModel;
    checkReachable: typeof checkReachable;
  };
}

const LIBRARY = { downloadModel, listModels, deleteModel, checkReachable };

type Known = Pick<Download, 'source' | 'name' | 'id' | 'done' | 'total'>;

/** Anything may stand in storage: what is not valid is left out. */
export function readDownloads(stored: unknown): Known[] {
  if (!Array.isArray(stored)) return [];
  const size = (value: unknown): number =>
    typeof value === 'number' && value > 0 && Number.isFinite(value) ? value : 0;
  return stored.flatMap((each: unknown) => {
    const { source, name, id, done, total } = (typeof each === 'object' && each !== null ? each : {}) as Partial<
      Record<keyof Known, unknown>
    >;
    return typeof source === 'string' && typeof name === 'string'
      ? [{ source, name, ...(typeof id === 'string' && { id }), done: size(done), total: size(total) }]
      : [];
  });
}

export function createDownloads({
  hub,
  makeRoom,
  changed,
  done,
  announce,
  library = LIBRARY,
}: DownloadsParts): Downloads {
  const all = new Map<string, Download>();
  const running = new Map<string, AbortController>();

  const remember = (): void =>
    void keep(
      'downloads',
      [...all.values()]
        .filter(({ state }) => state !== 'done')
        .map(({ source, name, id, done: there, total }) => ({ source, name, ...(id && { id }), done: there, total })),
    );
  const set = (source: string, change: Partial<Download>): void => {
    const download = all.get(source);
    if (!download) return;
    all.set(source, { ...download, ...change });
    changed();
  };
  const stored = async (source: string, known?: string): Promise<CachedModel | undefined> =>
    (await library.listModels().catch(() => [])).find(({ id }) => id === known || isStoredCopy(id, source));

  /** What is really stored of a download that does not run: bytes that were still arriving are lost. */
  const look = async (source: string): Promise<void> => {
    const copy = await stored(source, all.get(source)?.id);
    if (running.has(source)) return;
    if (copy?.complete) all.delete(source);
    else set(source, { done: copy?.storedBytes ?? 0, ...(copy && { total: copy.bytes }) });
    changed();
    remember();
  };

  // those of the last visit
  for (const known of readDownloads(kept('downloads'))) {
    all.set(known.source, { ...known, state: 'paused', rate: 0 });
    void look(known.source);
  }

  const start: Downloads['start'] = async ({ source, name, id: known }) => {
    if (running.has(source)) return;
    const mine = new AbortController();
    running.set(source, mine);
    const former = all.get(source);
    const id = known ?? former?.id;
    all.set(source, {
      source,
      name,
      ...(id && { id }),
      state: 'running',
      done: former?.done ?? 0,
      total: former?.total ?? 0,
      rate: 0,
    });
    changed();
    remember();
    announce(former ? `The download of ${name} goes on.` : `The download of ${name} has started.`);
    let shownAt = 0;
    const onProgress = ({ phase, bytes, total, rate, eta }: Progress): void => {
      if (phase !== 'download' || running.get(source) !== mine) return;
      if (performance.now() - shownAt > 2000) {
        shownAt = performance.now();
        remember();
      }
      set(source, { done: bytes, total, rate, eta });
    };
    try {
      await library.checkReachable(source, { hub, signal: mine.signal });
      const got = await library.downloadModel(source, {
        ...(hub && { hub }),
        makeRoom,
        signal: mine.signal,
        onProgress,
      });
      if (running.get(source) !== mine) return;
      running.delete(source);
      const { total } = all.get(source)!;
      set(source, { state: 'done', id: got, done: total, rate: 0, eta: undefined });
      done(all.get(source)!);
    } catch (error) {
      if (running.get(source) !== mine) return;
      running.delete(source);
      const offline = navigator.onLine === false;
      const problem = explain(error);
      set(source, { state: offline ? 'waiting' : 'failed', problem, rate: 0, eta: undefined });
      announce(
        offline
          ? `The network is gone. The download of ${name} goes on when it is back.`
          : `The download of ${name} has failed. ${problem.text}`,
      );
    } finally {
      remember();
    }
  };

  const pause: Downloads['pause'] = (source) => {
    const download = all.get(source);
    if (!download || (download.state !== 'running' && download.state !== 'waiting')) return;
    running.get(source)?.abort();
    running.delete(source);
    set(source, { state: 'paused', rate: 0, eta: undefined });
    void look(source);
    announce(`The download of ${download.name} is paused.`);
  };

  globalThis.addEventListener?.('online', () => {
    for (const { source, name, state } of all.values()) if (state === 'waiting') void start({ source, name });
  });

  return {
    list: () => [...all.values()],
    start,
    pause,
    async discard(source) {
      running.get(source)?.abort();
      running.delete(source);
      const download = all.get(source);
      all.delete(source);
      remember();
      changed();
      const copy = await stored(source, download?.id);
      if (copy && !copy.complete) await library.deleteModel(copy.id);
      announce(`The download of ${download?.name ?? 'the model'} was deleted.`);
      changed();
    },
    dismiss(source) {
      if (all.delete(source)) changed();
      remember();
    },
  };
}
