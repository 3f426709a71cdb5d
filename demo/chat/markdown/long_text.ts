/** A text as it was written. What is very long is shown in parts. */
import { element } from '../dom';
import { bytes } from '../format';

/** characters that are shown before a button asks for more */
export const PART = 100_000;

/** The button that stands under a text of which more is left. */
export function moreButton(act: () => void): { button: HTMLButtonElement; show(left: number): void } {
  const button = element('button', { type: 'button', className: 'more' });
  button.addEventListener('click', act);
  return { button, show: (left) => void (button.textContent = `Show more (${bytes(left)} are left)`) };
}

export function showText(target: HTMLElement, text: string): void {
  let shown = 0;
  const more = moreButton(() => next());
  const next = (): void => {
    const part = document.createTextNode(text.slice(shown, shown + PART));
    shown += PART;
    more.button.remove();
    target.append(part);
    if (shown >= text.length) return;
    more.show(text.length - shown);
    target.append(more.button);
  };
  target.replaceChildren();
  next();
}
