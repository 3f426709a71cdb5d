/**
 * Stores the page for use without a network, isolates it where the host does not, and offers new versions. One call
 * from main.ts.
 */
import { currentStep, reloadIsolated } from './isolation';
import { offerUpdates } from './update';
import type { WorkerMessage } from './worker_messages';
import './pwa.css';

export interface PwaParts {
  /** an answer is being written or a model is being loaded */
  busy(): boolean;
  /** the message field has text in it */
  drafting(): boolean;
  announce(text: string): void;
}

export interface Pwa {
  /**
   * Await it before the first load of a model: a page that must reload itself for threads does so before it. It takes
   * at most 1.5 s.
   */
  ready: Promise<void>;
  /** one sentence about use without a network */
  status(): string;
  /** is called at each change of the status */
  onStatus(listener: () => void): void;
}

const RELOAD_PATIENCE_MS = 1500;
/** The files are stored after the model is ready, since both need the network. */
const STORE_PATIENCE_MS = 8000;
const POLL_MS = 250;

const STATUS = {
  insecure: 'This page was not opened over https. It needs the network at each visit.',
  blocked: 'This browser window stores no pages. It needs the network at each visit.',
  failed: 'The page could not be stored. It needs the network at the next visit.',
  storing: 'The page is being stored for use without a network.',
  stored: 'The page is stored on this device. It opens without a network.',
};

export function registerPwa({ busy, drafting, announce }: PwaParts): Pwa {
  const listeners = new Set<() => void>();
  let status: keyof typeof STATUS = 'storing';
  const setStatus = (now: keyof typeof STATUS): void => {
    status = now;
    for (const listener of listeners) listener();
  };
  const pwa: Pwa = {
    ready: Promise.resolve(),
    status: () => STATUS[status],
    onStatus: (listener) => void listeners.add(listener),
  };
  // the development server has no worker
  if (!import.meta.env.PROD || !('serviceWorker' in navigator)) {
    setStatus(isSecureContext ? 'blocked' : 'insecure');
    return pwa;
  }

  async function register(): Promise<ServiceWorker | undefined> {
    try {
      const registration: ServiceWorkerRegistration | undefined = await navigator.serviceWorker.register(
        new URL('service_worker.js', document.baseURI),
      );
      // a blocked registration may give nothing instead of an error
      if (!registration) return void setStatus('blocked');
      offerUpdates(registration, { busy, announce });
      const worker = await activeWorker(registration);
      setStatus(worker ? 'stored' : 'failed');
      worker?.postMessage({ do: 'tidy' } satisfies WorkerMessage);
      return worker;
    } catch (error) {
      setStatus(error instanceof DOMException && error.name === 'SecurityError' ? 'blocked' : 'failed');
      return undefined;
    }
  }

  const step = currentStep();
  if (step === 'nothing') {
    void idle(busy, STORE_PATIENCE_MS).then(register);
    return pwa;
  }
  const used = watchUse();
  const mayReload = (): 'now' | 'later' | 'never' => (used() || drafting() ? 'never' : busy() ? 'later' : 'now');
  pwa.ready = Promise.race([
    reloadIsolated(step, register(), mayReload).catch(() => undefined),
    new Promise<void>((go) => setTimeout(go, RELOAD_PATIENCE_MS)),
  ]);
  return pwa;
}

/** Resolves when the worker is active; undefined if its files cannot be stored. */
function activeWorker({ active, waiting, installing }: ServiceWorkerRegistration): Promise<ServiceWorker | undefined> {
  const worker = active ?? waiting ?? installing;
  return new Promise((resolve) => {
    const look = (): void => {
      if (worker?.state === 'activated') resolve(worker);
      else if (!worker || worker.state === 'redundant') resolve(undefined);
    };
    worker?.addEventListener('statechange', look);
    look();
  });
}

/** Resolves when the page has nothing to do, or after `limit`. */
async function idle(busy: () => boolean, limit: number): Promise<void> {
  const end = performance.now() + limit;
  do await new Promise((go) => setTimeout(go, POLL_MS));
  while (busy() && performance.now() < end);
}

/** Whether the user has touched the page since this call. */
function watchUse(): () => boolean {
  let used = false;
  const note = (): void => void (used = true);
  for (const type of ['pointerdown', 'keydown', 'input', 'drop'])
    addEventListener(type, note, { capture: true, once: true, passive: true });
  return () => used;
}
