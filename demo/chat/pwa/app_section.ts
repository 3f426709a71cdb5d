/** The part of the settings about the page as an app: whether it works without a network, and the notices. */
import { element } from '../dom';
import type { Pwa } from './register';

export function createAppSection(pwa: Pwa): HTMLFieldSetElement {
  const status = element('p', { textContent: pwa.status() });
  pwa.onStatus(() => (status.textContent = pwa.status()));
  const notices = element('a', {
    href: 'notices.html',
    target: '_blank',
    rel: 'noopener',
    textContent: 'Licences of the libraries in this page',
  });
  return element(
    'fieldset',
    { id: 'settings-app' },
    element('legend', { textContent: 'This app' }),
    status,
    element('p', {}, notices),
  );
}
