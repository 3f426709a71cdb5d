/** The offer of the recommended model: in the empty conversation, and under replies of the demo model. */
import { element } from '../dom';
import { bytes } from '../format';
import { sizeOf } from './catalogue';
import { describeFit } from './describe';
import type { ModelLibrary } from './library';

/**
 * Makes buttons that download or use the recommended model, and one that opens the dialog. They follow what happens to
 * the model.
 */
export function createModelOffers(library: ModelLibrary, choose: () => void): (intro: string) => HTMLElement {
  const shown = new Map<HTMLElement, () => void>();
  library.onChange(() => {
    for (const [element, update] of shown) {
      // an offer that is not in the page any more
      if (!element.isConnected) shown.delete(element);
      else update();
    }
  });

  return (intro) => {
    const act = element('button', { type: 'button', className: 'primary' });
    const others = element('button', { type: 'button', ariaHasPopup: 'dialog' }, 'Choose another model');
    const figures = element('small');
    const made = element(
      'div',
      { className: 'offer' },
      element('div', { className: 'offer-text' }, element('p', {}, intro), figures),
      element('div', { className: 'actions' }, act, others),
    );
    const found = () => {
      const { offer: best } = library.recommended();
      return best && library.entries().find(({ offer: each }) => each === best);
    };
    const update = (): void => {
      const entry = found();
      // its room is there, and it is not seen until it is settled
      made.classList.toggle('unsettled', !library.recommended().settled);
      act.hidden = figures.hidden = !entry?.offer;
      if (!entry?.offer) return void (others.textContent = 'Choose a larger model');
      const { offer, state, inUse, download, there } = entry;
      const running = download?.state === 'running' || download?.state === 'waiting';
      const size = entry.bytes ? bytes(entry.bytes) : sizeOf(offer);
      act.textContent = inUse
        ? `${offer.name} is in use`
        : state === 'ready'
          ? `Use ${offer.name}`
          : running
            ? `${offer.name} is being downloaded`
            : there > 0
              ? `Go on downloading ${offer.name}`
              : `Download ${offer.name}`;
      act.disabled = inUse || running;
      figures.textContent = `Recommended for this device: ${offer.name}, ${size}. ${describeFit({ ...offer, ...(entry.bytes && { megabytes: entry.bytes / 1e6 }) }, library.device())}`;
    };
    act.addEventListener('click', () => {
      const entry = found();
      if (!entry?.source) return;
      if (entry.state === 'ready') void library.use(entry);
      else void library.download({ source: entry.source, name: entry.name });
    });
    others.addEventListener('click', choose);
    update();
    shown.set(made, update);
    return made;
  };
}
