/** A line at the foot of the window that says what has just happened, with a button to take it back. */
import { element, find } from './dom';
import { iconButton } from './icons';

export interface ToastOptions {
  /** what the button does; the toast closes first */
  action?(): void;
  /** of the button */
  label?: string;
  /** how long it stays, when nobody points at it */
  ms?: number;
}

/** takes the listeners of the toast before away */
let end: AbortController | undefined;

/** Shows a toast in place of the one before. @returns closes it */
export function showToast(
  text: string,
  { action, label = 'Undo', ms = action ? 10_000 : 5000 }: ToastOptions = {},
): () => void {
  end?.abort();
  const mine = (end = new AbortController());
  const toast = find('toast', HTMLElement);
  // what is outside an open modal dialog can neither be pressed nor heard
  const place = [...document.querySelectorAll('dialog:modal')].at(-1) ?? document.body;
  if (toast.parentElement !== place) place.append(toast);

  let timer: ReturnType<typeof setTimeout> | undefined;
  const close = (): void => {
    if (mine.signal.aborted) return;
    const focused = toast.contains(document.activeElement);
    mine.abort();
    toast.hidePopover();
    toast.replaceChildren();
    if (focused && place === document.body) document.getElementById('prompt')?.focus();
  };
  const wait = (): void => {
    clearTimeout(timer);
    timer = setTimeout(close, ms);
  };
  const pause = (): void => clearTimeout(timer);
  const resume = (): void => {
    if (!document.hidden && !toast.matches(':hover, :focus-within')) wait();
  };
  mine.signal.addEventListener('abort', pause);
  const { signal } = mine;
  for (const name of ['pointerenter', 'focusin'] as const) toast.addEventListener(name, pause, { signal });
  // after the pointer or the focus is elsewhere
  for (const name of ['pointerleave', 'focusout'] as const)
    toast.addEventListener(name, () => setTimeout(() => signal.aborted || resume()), { signal });
  document.addEventListener('visibilitychange', () => (document.hidden ? pause() : resume()), { signal });
  toast.addEventListener(
    'keydown',
    (event) => {
      if (event.key !== 'Escape') return;
      event.preventDefault();
      event.stopPropagation();
      close();
    },
    { signal },
  );
  // the dialog that it is in closes: it goes on in the page
  place.addEventListener(
    'close',
    () => {
      document.body.append(toast);
      toast.showPopover();
    },
    { signal },
  );

  toast.replaceChildren();
  if (!toast.matches(':popover-open')) toast.showPopover();
  // a screen reader announces what changes in a region that is already there
  requestAnimationFrame(() => {
    if (signal.aborted) return;
    const button = action && element('button', { type: 'button', className: 'toast-action' }, label);
    button?.addEventListener('click', () => {
      close();
      action?.();
    });
    toast.replaceChildren(
      element('span', { dir: 'auto' }, text),
      ...(button ? [button] : []),
      iconButton('x', 'Close this message', close),
    );
  });
  resume();
  return close;
}
