/** The model dialog: the embedded model, models kept on this device, the hub's, an address, files. */
import { deleteModel, listModels, type ModelSource } from '../../src/index';
import { EMBEDDED, HUB, sizeOf, type Offer } from './catalogue';
import { element, find } from './dom';
import { bytes } from './format';

/** What the reader chose, and how to call it. */
export interface Choice {
  name: string;
  source: ModelSource;
}

export const choiceOf = (files: File[]): Choice =>
  files.length === 1 ? { name: files[0].name, source: { file: files[0] } } : { name: `${files.length} files`, source: { files } };

const offered = ({ name, source }: Offer): Choice => ({ name, source });

export function choiceNamed(source: string): Choice {
  const offer = [EMBEDDED, ...HUB].find((known) => known.source === source);
  return offer ? offered(offer) : { name: source.split('/').pop() || source, source };
}

/** @param onChoose gets the choice after the dialog has closed */
export function createPicker(onChoose: (choice: Choice) => void, announce: (text: string) => void): { open(): void } {
  const dialog = find('models', HTMLDialogElement);
  const choose = (choice: Choice): void => {
    dialog.close();
    onChoose(choice);
  };

  const card = (offer: Offer): HTMLLIElement => {
    const button = element('button', { type: 'button', className: 'card' });
    button.append(
      element('strong', {}, offer.name),
      element('span', { className: 'size' }, sizeOf(offer)),
      element('span', { className: 'description' }, offer.description),
    );
    button.addEventListener('click', () => choose(offered(offer)));
    return element('li', {}, button);
  };
  find('models-embedded', HTMLUListElement).append(card(EMBEDDED));
  find('models-hub', HTMLUListElement).append(...HUB.map(card));

  const showKept = async (): Promise<void> => {
    const list = find('models-kept', HTMLUListElement);
    const none = find('models-kept-none', HTMLElement);
    try {
      const models = await listModels();
      list.replaceChildren(
        ...models.map(({ id, bytes: size, there, complete }) => {
          const load = element('button', { type: 'button', className: 'card' });
          load.append(
            element('strong', {}, choiceNamed(id).name),
            element('span', { className: 'size' }, complete ? bytes(size) : `${bytes(there)} of ${bytes(size)}`),
          );
          if (!complete) load.append(element('span', { className: 'description' }, 'Not all of it is here: loading goes on with the download.'));
          load.addEventListener('click', () => choose(choiceNamed(id)));
          const remove = element('button', { type: 'button', ariaLabel: `Delete ${choiceNamed(id).name} from this device` }, 'Delete');
          remove.addEventListener('click', async () => {
            await deleteModel(id);
            announce('Deleted.');
            await showKept();
            dialog.querySelector<HTMLButtonElement>('.close')?.focus();
          });
          return element('li', { className: 'row' }, load, remove);
        }),
      );
      none.hidden = models.length > 0;
    } catch (error) {
      list.replaceChildren();
      none.textContent = `The browser does not show what is kept: ${error instanceof Error ? error.message : String(error)}`;
      none.hidden = false;
    }
  };

  const address = find('address', HTMLInputElement);
  find('models-address', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const source = address.value.trim();
    if (source) choose(choiceNamed(source));
  });
  const file = find('file', HTMLInputElement);
  file.addEventListener('change', () => {
    const files = [...(file.files ?? [])];
    file.value = '';
    if (files.length) choose(choiceOf(files));
  });

  return {
    open() {
      dialog.showModal();
      void showKept();
    },
  };
}
