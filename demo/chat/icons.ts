/** Icons from the sprite in the page, and buttons that are an icon alone. */
import { announce, element } from './dom';
import type { IconName } from './icon_names';

const SVG = 'http://www.w3.org/2000/svg';

/** Decoration: a screen reader passes over it. */
export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** @param label its name for screen readers, also shown while the pointer rests on it */
export function iconButton(name: IconName, label: string, act: () => unknown): HTMLButtonElement {
  const button = element(
    'button',
    { type: 'button', className: 'icon-button', ariaLabel: label, title: label },
    icon(name),
  );
  button.addEventListener('click', act);
  return button;
}

/** Shows another icon in a button for two seconds, as the answer to a press. */
export function flashIcon(button: HTMLButtonElement, shown: IconName, usual: IconName): void {
  button.replaceChildren(icon(shown));
  setTimeout(() => button.replaceChildren(icon(usual)), 2000);
}

/** Copies a text, and says whether that went well. */
export function copyButton(label: string, text: () => string): HTMLButtonElement {
  const button = iconButton('copy', label, async () => {
    try {
      await navigator.clipboard.writeText(text());
      announce('Copied.');
      flashIcon(button, 'check', 'copy');
    } catch {
      announce('The browser does not allow this page to copy.');
      flashIcon(button, 'circle-alert', 'copy');
    }
  });
  return button;
}
