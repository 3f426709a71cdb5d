/**
 * A model in the dialog: what it is, what state it is in, and what can be done with it. A card stays the same element
 * while its entry changes.
 */
import { element } from '../dom';
import { bytes } from '../format';
import { icon } from '../icons';
import type { IconName } from '../icon_names';
import { sizeOf } from './catalogue';
import { describeDownload, describeFit } from './describe';
import type { Entry } from './entries';
import type { Device } from './recommend';

export interface CardActions {
  use(entry: Entry): void;
  download(entry: Entry): void;
  pause(entry: Entry): void;
  discard(entry: Entry): void;
  /** shows in `output` whether the model fits */
  look(entry: Entry, output: HTMLElement): void;
  keepFile(): void;
  pin(entry: Entry): void;
  verify(entry: Entry, output: HTMLElement): void;
  save(entry: Entry, output: HTMLElement): void;
  remove(entry: Entry): void;
}

export interface Card {
  item: HTMLLIElement;
  update(entry: Entry, device: Device, canStore: boolean): void;
}

export function createCard(actions: CardActions): Card {
  let entry: Entry;
  const name = element('h4');
  const best = element('span', { className: 'pill best' }, 'Recommended for this device');
  const inUse = element('span', { className: 'pill in-use' }, icon('check'), 'In use');
  const size = element('span', { className: 'size' });
  const description = element('p', { className: 'description' });
  const fit = element('p', { className: 'fit' });
  const page = element('a', { target: '_blank', rel: 'noopener noreferrer' }, 'Model and licence');
  const bar = element('progress');
  const figures = element('p', { className: 'figures' });
  const progress = element('div', { className: 'model-progress' }, bar, figures);
  // in the dialog, because a screen reader does not read what is behind it
  const output = element('div', { className: 'result', role: 'status' });

  const named: { button: HTMLElement; label: string }[] = [];
  const button = (
    label: string,
    act: () => void,
    look: { icon?: IconName; primary?: true } = {},
  ): HTMLButtonElement => {
    const made = element(
      'button',
      { type: 'button', className: look.primary ? 'primary' : '' },
      ...(look.icon ? [icon(look.icon)] : []),
      label,
    );
    made.addEventListener('click', act);
    named.push({ button: made, label });
    return made;
  };
  const use = button('Use', () => actions.use(entry), { primary: true });
  const download = button('Download', () => actions.download(entry), { icon: 'download' });
  const resume = button('Resume', () => actions.download(entry), { icon: 'play', primary: true });
  const pause = button('Pause', () => actions.pause(entry), { icon: 'pause' });
  const discard = button('Discard', () => actions.discard(entry));
  const look = button('Measure speed', () => actions.look(entry, output));
  const keep = button('Keep on this device', () => actions.keepFile(), { icon: 'hard-drive' });
  const pin = button('Pin (never delete automatically)', () => actions.pin(entry), { icon: 'pin' });
  const verify = button('Verify', () => actions.verify(entry, output), { icon: 'shield-check' });
  const save = button('Save as a file', () => actions.save(entry, output), { icon: 'download' });
  const remove = button('Delete', () => actions.remove(entry), { icon: 'trash-2' });
  const more = element(
    'details',
    { className: 'more' },
    element('summary', {}, 'More'),
    element('div', { className: 'row tools' }, pin, verify, save, remove),
  );
  const row = element('div', { className: 'row tools' }, use, resume, download, pause, discard, keep, look, page);
  const item = element(
    'li',
    { className: 'model' },
    element('div', { className: 'model-head' }, name, best, inUse, size),
    description,
    fit,
    progress,
    row,
    more,
    output,
  );

  /** The button that was pressed may be gone: the focus goes to one that is there. */
  const holdFocus = (change: () => void): void => {
    const { activeElement } = document;
    change();
    if (activeElement instanceof HTMLElement && item.contains(activeElement) && activeElement.closest('[hidden]'))
      [...item.querySelectorAll<HTMLElement>('button, summary, a')].find((each) => !each.closest('[hidden]'))?.focus();
  };

  return {
    item,
    update(next, device, canStore) {
      entry = next;
      holdFocus(() => {
        const { offer, state, place, download: going, bytes: all } = entry;
        const known = all || (offer ? offer.megabytes * 1e6 : 0);
        const running = going?.state === 'running' || going?.state === 'waiting';
        const partly = state === 'part' || (going !== undefined && going.state !== 'done');
        name.textContent = entry.name;
        for (const { button: each, label } of named) each.ariaLabel = `${label}: ${entry.name}`;
        best.hidden = !entry.recommended;
        inUse.hidden = !entry.inUse;
        item.classList.toggle('current', entry.inUse);
        size.textContent = all ? bytes(all) : offer?.megabytes ? sizeOf(offer) : '';
        description.textContent =
          offer?.description ?? (place === 'file' ? 'It runs from its file. A reload forgets it.' : '');
        description.hidden = !description.textContent;
        fit.hidden = place === 'included' || place === 'file' || known === 0 || entry.inUse;
        fit.textContent = fit.hidden ? '' : describeFit({ ...offer, megabytes: known / 1e6 }, device);
        page.hidden = !offer?.page;
        if (offer?.page) page.href = offer.page;
        page.ariaLabel = `Model and licence: ${entry.name}`;
        progress.hidden = !partly;
        if (partly) {
          const shown = going ?? {
            source: '',
            name: '',
            state: 'paused' as const,
            done: entry.there,
            total: all,
            rate: 0,
          };
          if (shown.total > 0) {
            bar.max = shown.total;
            bar.value = shown.done;
          } else bar.removeAttribute('value');
          bar.ariaLabel = `Download of ${entry.name}`;
          figures.textContent = describeDownload(shown);
        }
        const here = state === 'ready' && !partly;
        use.hidden = !here || entry.inUse;
        resume.hidden = !partly || running;
        pause.hidden = !running;
        discard.hidden = !partly;
        download.hidden = here || partly;
        download.classList.toggle('primary', entry.recommended);
        const offered = canStore ? 'Download' : 'Use without storing';
        download.lastChild!.textContent = offered;
        download.ariaLabel = `${offered}: ${entry.name}`;
        look.hidden = place !== 'hub' || running;
        keep.hidden = place !== 'file';
        row.hidden = [...row.children].every((each) => (each as HTMLElement).hidden);
        more.hidden = !here || place !== 'stored';
        pin.ariaPressed = String(entry.pinned);
      });
    },
  };
}
