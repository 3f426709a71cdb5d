/**
 * A new version of the page is offered, never forced. It is stored beside the one in use, and takes its place when the
 * user says so or no page is open.
 */
import { element, find } from '../dom';
import type { WorkerMessage } from './worker_messages';

const HOUR = 3_600_000;
const POLL_MS = 250;
/** The new worker takes over within a moment. If the browser says nothing about it, the page reloads all the same. */
const TAKEOVER_MS = 5000;

export interface UpdateParts {
  /** an answer is being written or a model is being loaded: the page is not reloaded then */
  busy(): boolean;
  announce(text: string): void;
}

/** Offers every new version of this page that the registration finds. */
export function offerUpdates(registration: ServiceWorkerRegistration, { busy, announce }: UpdateParts): void {
  const workers = navigator.serviceWorker;
  let controlled = Boolean(workers.controller);
  let accepted = false;

  const idle = async (): Promise<void> => {
    while (busy()) await new Promise((go) => setTimeout(go, POLL_MS));
  };

  async function accept(): Promise<void> {
    if (accepted) return;
    accepted = true;
    if (busy()) notice.wait();
    await idle();
    if (!registration.waiting) return location.reload(); // another tab has accepted it already
    registration.waiting.postMessage({ do: 'activate' } satisfies WorkerMessage);
    setTimeout(() => void reload(), TAKEOVER_MS);
  }
  const reload = async (): Promise<void> => {
    await idle();
    location.reload();
  };
  const notice = createNotice(() => void accept());

  async function offer(): Promise<void> {
    await idle();
    if (accepted || notice.shown) return;
    notice.show();
    announce('A new version is ready.');
  }

  const watch = (worker: ServiceWorker | null): void =>
    worker?.addEventListener('statechange', () => {
      // without an active worker it is the first one, not a new version
      if (worker.state === 'installed' && registration.active) void offer();
    });
  if (registration.waiting && registration.active) void offer();
  watch(registration.installing);
  registration.addEventListener('updatefound', () => watch(registration.installing));

  workers.addEventListener('controllerchange', () => {
    if (accepted) void reload();
    // another tab has accepted it. This page goes on as it is: the worker keeps its files
    else if (controlled) void offer();
    controlled = true;
  });

  // a page that stays open for days looks by itself
  let checked = Date.now();
  const check = (): void => {
    if (document.hidden || !navigator.onLine || Date.now() - checked < HOUR) return;
    checked = Date.now();
    registration.update().catch(() => undefined);
  };
  document.addEventListener('visibilitychange', check);
  setInterval(check, HOUR);
  addEventListener('online', () => registration.update().catch(() => undefined));
}

interface Notice {
  readonly shown: boolean;
  show(): void;
  /** says that the update waits for the answer */
  wait(): void;
}

function createNotice(accept: () => void): Notice {
  const text = element('p', { textContent: 'A new version is ready.' });
  const update = element('button', { type: 'button', textContent: 'Update' });
  const later = element('button', { type: 'button', textContent: 'Later' });
  const box = element(
    'section',
    { className: 'update-notice', hidden: true, ariaLabel: 'New version' },
    text,
    element('div', { className: 'row' }, update, later),
  );
  const close = (): void => {
    box.hidden = true;
    document.querySelector<HTMLElement>('#prompt')?.focus();
  };
  update.addEventListener('click', () => {
    update.disabled = true;
    accept();
  });
  later.addEventListener('click', close);
  // with the composer it covers nothing that is being read
  find('loading', HTMLElement).before(box);
  return {
    get shown() {
      return !box.hidden;
    },
    show: () => (box.hidden = false),
    wait() {
      text.textContent = 'The update starts when this answer is finished.';
    },
  };
}
