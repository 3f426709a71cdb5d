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
  const button = element('button', { type: 'button', className: 'icon-button', ariaLabel: label, title: label }, icon(name));
  button.addEventListener('click', act);
  return button;
}

/** Copies a text, and shows for two seconds whether that went well. */
export function copyButton(label: string, text: () => string): HTMLButtonElement {
  const shown = (name: IconName): void => button.replaceChildren(icon(name));
  const button = iconButton('copy', label, async () => {
    try {
      await navigator.clipboard.writeText(text());
      announce('Copied.');
      shown('check');
    } catch {
      announce('The browser does not allow this page to copy.');
      shown('circle-alert');
    }
    setTimeout(shown, 2000, 'copy');
  });
  return button;
}
