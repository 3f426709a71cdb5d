/** The model dialog: the embedded model, stored models, models of the hub, an address, files. */
import { deleteModel, estimate, listModels, pinModel, verifyModel, type CachedModel, type LoadEstimate, type EstimateOptions, type ModelSource } from '../../../src/index';
import { EMBEDDED, HUB, sizeOf, type Offer } from './catalogue';
import { element, find } from '../dom';
import { explain, explained } from '../explain';
import { bytes, speed } from '../format';

/** A model to load, and its name. */
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

/** An estimate as a sentence. */
export function describeEstimate({ fits, obstacles, download, free, memory, tokensPerSecond, backend }: LoadEstimate): string {
  const needs = [
    download > 0 ? `${bytes(download)} to download${free === undefined ? '' : ` (${bytes(free)} free)`}` : 'nothing to download',
    `up to ${bytes(memory.total)} of memory`,
    `about ${speed(tokensPerSecond)} on the ${backend.name === 'webgpu' ? 'GPU' : 'CPU'}`,
  ].join(', ');
  return fits ? `It fits: ${needs}.` : `It does not fit. ${obstacles.join(' ')} It needs ${needs}.`;
}

/**
 * @param onChoose gets the choice after the dialog has closed
 * @param options that a model would be loaded with
 */
export function createPicker(onChoose: (choice: Choice) => void, announce: (text: string) => void, options: () => EstimateOptions): { open(): void } {
  const dialog = find('models', HTMLDialogElement);
  const choose = (choice: Choice): void => {
    dialog.close();
    onChoose(choice);
  };

  /** Shows in `output` what the model needs of this device. One at a time: a second call cancels the first. */
  let looking: AbortController | undefined;
  const look = async (source: string, name: string, output: HTMLElement): Promise<void> => {
    looking?.abort();
    const mine = (looking = new AbortController());
    output.textContent = `Checking ${name}…`;
    try {
      output.textContent = describeEstimate(await estimate(source, { ...options(), signal: mine.signal }));
    } catch (error) {
      output.replaceChildren(...(mine.signal.aborted ? [] : explained(explain(error, options().backend))));
    }
  };

  const hubCard = (offer: Offer): HTMLLIElement => {
    const item = card(offer);
    const output = element('div', { className: 'result', role: 'status' }); // in the dialog, because a screen reader does not read what is behind it
    const ask = element('button', { type: 'button', ariaLabel: `Does it fit? ${offer.name}` }, 'Does it fit?');
    ask.addEventListener('click', () => void look(offer.source, offer.name, output));
    item.append(element('div', { className: 'row tools' }, ask), output);
    return item;
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
  find('models-hub', HTMLUListElement).append(...HUB.map(hubCard));

  const verify = async (id: CachedModel['id'], output: HTMLElement): Promise<void> => {
    output.textContent = 'Verifying…';
    try {
      const { ok } = await verifyModel(id);
      output.textContent = ok ? 'No damage found.' : 'Damaged. It will be repaired the next time you load it.';
    } catch (error) {
      output.replaceChildren(...explained(explain(error)));
    }
  };

  const showKept = async (): Promise<void> => {
    const list = find('models-kept', HTMLUListElement);
    const none = find('models-kept-none', HTMLElement);
    try {
      const models = await listModels();
      list.replaceChildren(
        ...models.map(({ id, bytes: size, storedBytes, complete, pinned }) => {
          const load = element('button', { type: 'button', className: 'card' });
          load.append(
            element('strong', {}, choiceNamed(id).name),
            element('span', { className: 'size' }, complete ? bytes(size) : `${bytes(storedBytes)} of ${bytes(size)}`),
          );
          if (!complete) load.append(element('span', { className: 'description' }, 'Download incomplete. Select to resume.'));
          load.addEventListener('click', () => choose(choiceNamed(id)));
          const remove = element('button', { type: 'button', ariaLabel: `Delete ${choiceNamed(id).name}` }, 'Delete');
          remove.addEventListener('click', async () => {
            await deleteModel(id);
            announce('Deleted.');
            await showKept();
            dialog.querySelector<HTMLButtonElement>('.close')?.focus();
          });
          const output = element('div', { className: 'result', role: 'status' });
          const pin = element('button', { type: 'button', ariaPressed: String(pinned), ariaLabel: `Pin (never delete automatically): ${choiceNamed(id).name}` }, 'Pin (never delete automatically)');
          pin.addEventListener('click', async () => {
            const pinning = pin.ariaPressed !== 'true';
            await pinModel(id, pinning);
            pin.ariaPressed = String(pinning);
          });
          const check = element('button', { type: 'button', ariaLabel: `Verify ${choiceNamed(id).name}` }, 'Verify');
          check.addEventListener('click', () => void verify(id, output));
          return element('li', {}, load, element('div', { className: 'row tools' }, pin, check, remove), output);
        }),
      );
      none.textContent = 'No models are stored yet.';
      none.hidden = models.length > 0;
    } catch (error) {
      list.replaceChildren();
      none.replaceChildren(...explained(explain(error)));
      none.hidden = false;
    }
  };

  const address = find('address', HTMLInputElement);
  find('models-address', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const source = address.value.trim();
    if (source) choose(choiceNamed(source));
  });
  find('address-look', HTMLButtonElement).addEventListener('click', () => {
    const source = address.value.trim();
    if (!address.reportValidity() || !source) return;
    void look(source, choiceNamed(source).name, find('address-estimate', HTMLElement));
  });
  dialog.addEventListener('close', () => looking?.abort());
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
