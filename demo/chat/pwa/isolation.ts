/**
 * Threads need a cross-origin isolated page. On a host that sends no COOP and COEP headers the service worker adds
 * them, and the page reloads itself:
 * once, and a second time in browsers that do not know `credentialless`.
 */
import type { WorkerMessage } from './worker_messages';

/** What this tab has tried so far. */
export type Tried = 'nothing' | 'reload' | 'require-corp';

export interface IsolationState {
  isolated: boolean;
  /** a service worker delivered the page */
  controlled: boolean;
  /** the page stands in a frame, which no header of its own can isolate */
  framed: boolean;
  tried: Tried;
}

/** What the page does next. It never reloads twice for the same reason. */
export function nextStep({ isolated, controlled, framed, tried }: IsolationState): Tried {
  if (isolated || framed) return 'nothing';
  // the first visit, or a reload that bypassed the worker
  if (!controlled) return tried === 'nothing' ? 'reload' : 'nothing';
  return tried === 'require-corp' ? 'nothing' : 'require-corp';
}

const TRIED = 'rivulet-chat.isolation';

/** Undefined where the page must not reload itself: nothing would stop it from doing so again. */
export function readTried(): Tried | undefined {
  try {
    // both policies have failed in this browser
    if (localStorage.getItem(TRIED) === navigator.userAgent) return undefined;
    const stored = sessionStorage.getItem(TRIED);
    return stored === 'reload' || stored === 'require-corp' ? stored : 'nothing';
  } catch {
    return undefined;
  }
}

const writeTried = (tried: Tried): void => sessionStorage.setItem(TRIED, tried);

export function currentStep(): Tried {
  const tried = readTried();
  if (tried === undefined) return 'nothing';
  const state = {
    isolated: crossOriginIsolated,
    controlled: Boolean(navigator.serviceWorker.controller),
    framed: window.top !== window,
    tried,
  };
  if (!state.isolated && state.controlled && tried === 'require-corp') localStorage.setItem(TRIED, navigator.userAgent);
  return nextStep(state);
}

const POLL_MS = 250;

/**
 * Reloads the page as soon as its worker is active and the page is not in use. Never settles after that.
 * @param mayReload 'later' while the page works, 'never' after it was used
 */
export async function reloadIsolated(
  step: Tried,
  worker: Promise<ServiceWorker | undefined>,
  mayReload: () => 'now' | 'later' | 'never',
): Promise<void> {
  const active = await worker;
  if (!active) return;
  if (step === 'require-corp') await told(active, { do: 'isolate', mode: 'require-corp' });
  for (;;) {
    const may = mayReload();
    if (may === 'never') return;
    if (may === 'now') break;
    await new Promise((go) => setTimeout(go, POLL_MS));
  }
  writeTried(step);
  location.reload();
  await new Promise(() => undefined);
}

/** Sends a message and waits until the worker has done it. */
function told(worker: ServiceWorker, message: WorkerMessage): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  const done = new Promise<void>((resolve) => (port1.onmessage = () => resolve()));
  worker.postMessage(message, [port2]);
  return done;
}
