/** The lines above the message field: what is being downloaded while the present model goes on answering. */
import { element, find } from '../dom';
import { iconButton } from '../icons';
import { describeDownload } from './describe';
import type { Download } from './downloads';
import type { ModelLibrary } from './library';

interface Line {
  item: HTMLLIElement;
  update(download: Download): void;
}

const STATES: Record<Download['state'], string> = {
  running: 'Downloading',
  paused: 'Paused:',
  waiting: 'Waiting:',
  failed: 'Not downloaded:',
  done: '',
};

export function createDownloadLines(library: ModelLibrary): void {
  const list = element('ul');
  const section = element('section', { id: 'downloads', ariaLabel: 'Downloads', hidden: true }, list);
  find('loading', HTMLElement).after(section);

  const createLine = (): Line => {
    let shown: Download;
    const what = element('span', { className: 'what' });
    const figures = element('span', { className: 'figures' });
    const bar = element('progress');
    const button = (label: string, act: () => unknown): HTMLButtonElement => {
      const made = element('button', { type: 'button' }, label);
      made.addEventListener('click', act);
      return made;
    };
    const pause = button('Pause', () => library.downloads.pause(shown.source));
    const resume = button('Resume', () => void library.download(shown));
    const use = button(
      'Use it',
      () => void library.use({ name: shown.name, source: shown.source, id: shown.id, bytes: shown.total }),
    );
    use.className = 'primary';
    const discard = button('Discard', () => void library.downloads.discard(shown.source));
    const close = iconButton('x', 'Close this line', () => {
      library.downloads.dismiss(shown.source);
      find('prompt', HTMLTextAreaElement).focus();
    });
    const item = element(
      'li',
      { className: 'progress' },
      element('div', {}, element('p', {}, what, ' ', figures), bar),
      element('div', { className: 'actions' }, use, pause, resume, discard, close),
    );
    return {
      item,
      update(download) {
        shown = download;
        const { state, name, done, total } = download;
        const focused = item.contains(document.activeElement);
        what.textContent = `${STATES[state]} ${name}`.trim();
        figures.textContent = state === 'done' ? 'is stored on this device.' : describeDownload(download);
        bar.hidden = state === 'done' || state === 'failed';
        bar.ariaLabel = `Download of ${name}`;
        if (total > 0) {
          bar.max = total;
          bar.value = done;
        } else bar.removeAttribute('value');
        pause.hidden = state !== 'running' && state !== 'waiting';
        resume.hidden = state !== 'paused' && state !== 'failed';
        use.hidden = state !== 'done';
        discard.hidden = state === 'running' || state === 'waiting' || state === 'done';
        close.hidden = state !== 'done';
        for (const each of [pause, resume, use, discard]) each.ariaLabel = `${each.textContent}: ${name}`;
        if (focused && document.activeElement?.closest('[hidden]'))
          item.querySelector<HTMLButtonElement>('button:not([hidden])')?.focus();
      },
    };
  };

  const lines = new Map<string, Line>();
  const show = (): void => {
    const downloads = library.downloads.list();
    const sources = new Set(downloads.map(({ source }) => source));
    for (const [source, { item }] of lines) {
      if (sources.has(source)) continue;
      item.remove();
      lines.delete(source);
    }
    for (const download of downloads) {
      let line = lines.get(download.source);
      if (!line) {
        lines.set(download.source, (line = createLine()));
        list.append(line.item);
      }
      line.update(download);
    }
    section.hidden = downloads.length === 0;
  };
  library.onChange(show);
  show();
}
