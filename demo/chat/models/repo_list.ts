/** The files of a Hugging Face repository to pick from, under the field for its name. */
import { element } from '../dom';
import { bytes } from '../format';
import { icon } from '../icons';
import { activeShareIn } from './catalogue';
import { describeFit } from './describe';
import type { Device } from './recommend';
import { askForFiles, bestOf, repoIn, sizesOf, type RepoFile } from './repo_files';

export interface RepoListParts {
  device(): Device;
  hub: string;
  signal: AbortSignal;
  download(source: string, name: string): void;
  /** shows in `output` whether the model fits */
  look(source: string, name: string, output: HTMLElement): void;
}

/**
 * Shows the files in `container` if there is something to choose.
 * @returns what was entered, where there is nothing to choose: it is downloaded as it is, and the library says what is
 * wrong with it
 */
export async function showRepo(
  entered: string,
  container: HTMLElement,
  { device, hub, signal, download, look }: RepoListParts,
): Promise<string | undefined> {
  const repo = repoIn(entered, hub);
  const listing = repo && (await askForFiles(repo, { hub, signal }).catch(() => undefined));
  if (signal.aborted) return undefined;
  if (!repo || !listing) return entered;
  const { files, foreign } = listing;
  if (foreign) {
    container.replaceChildren(
      element(
        'p',
        { className: 'problem', role: 'alert' },
        `${repo.repo} is a model of the kind “${foreign}”. This page runs LFM2, LFM2.5 and LFM3 models.`,
      ),
    );
    return undefined;
  }
  if (files.length < 2) return entered;

  const activeShare = activeShareIn(repo.repo);
  const best = bestOf(files, device(), activeShare);
  const lineOf = (file: RepoFile): HTMLLIElement => {
    const { source, name, quantization, problem, parts } = file;
    const title = quantization ?? name;
    const label = name.slice(name.lastIndexOf('/') + 1);
    const output = element('div', { className: 'result', role: 'status' });
    const button = (text: string, act: () => void, ...first: Node[]): HTMLButtonElement => {
      const made = element('button', { type: 'button', ariaLabel: `${text}: ${name}` }, ...first, text);
      made.addEventListener('click', act);
      return made;
    };
    const get = button('Download', () => download(source, label), icon('download'));
    get.classList.toggle('primary', file === best);
    return element(
      'li',
      { className: 'model' },
      element(
        'div',
        { className: 'model-head' },
        element('h5', {}, title),
        ...(file === best ? [element('span', { className: 'pill best' }, 'Recommended for this device')] : []),
        element('span', { className: 'size' }, bytes(file.bytes)),
      ),
      ...(quantization
        ? [element('p', { className: 'description' }, parts > 1 ? `${name}, ${parts} parts` : name)]
        : []),
      element('p', { className: 'fit' }, problem ?? describeFit(sizesOf(file, activeShare), device())),
      ...(problem
        ? []
        : [
            element(
              'div',
              { className: 'row tools' },
              get,
              button('Measure speed', () => look(source, label, output)),
            ),
            output,
          ]),
    );
  };
  const heading = element(
    'h4',
    { tabIndex: -1, id: 'repo-files' },
    `${repo.repo} has ${files.length} files. Choose one:`,
  );
  const list = element('ul', {}, ...files.map(lineOf));
  list.setAttribute('aria-labelledby', heading.id);
  container.replaceChildren(heading, list);
  heading.focus();
  heading.scrollIntoView({ block: 'nearest' });
  return undefined;
}
