/** The model dialog: the embedded model, models kept on this device, the hub's, an address, files. */
import { deleteModel, estimate, listModels, pinModel, verifyModel, type CachedModel, type Estimate, type EstimateOptions, type ModelSource } from '../../src/index';
import { EMBEDDED, HUB, sizeOf, type Offer } from './catalogue';
import { element, find } from './dom';
import { bytes, speed } from './format';

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

/** What an estimate says, in plain words. */
export function explain({ fits, obstacles, download, free, memory, tokensPerSecond, backend }: Estimate): string {
  const parts = [
    download > 0 ? `${bytes(download)} to download${free === undefined ? '' : `, ${bytes(free)} free`}` : 'Nothing to download',
    `${bytes(memory.total)} of memory at a full context`,
    `about ${speed(tokensPerSecond)} ${backend.name === 'webgpu' ? 'on the graphics processor' : 'on the processor'}`,
  ];
  return `${fits ? 'It fits' : `It does not fit: ${obstacles.join(' ')}`} ${fits ? '— ' : ''}${parts.join('; ')}.`;
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

  /** Fills `output` with what the model would need of this device. One at a time: a second look ends the first. */
  let looking: AbortController | undefined;
  const look = async (source: string, name: string, output: HTMLElement): Promise<void> => {
    looking?.abort();
    const mine = (looking = new AbortController());
    output.textContent = `Looking at ${name}…`;
    try {
      output.textContent = explain(await estimate(source, { ...options(), signal: mine.signal }));
    } catch (error) {
      output.textContent = mine.signal.aborted ? '' : error instanceof Error ? error.message : String(error);
    }
  };

  const hubCard = (offer: Offer): HTMLLIElement => {
    const item = card(offer);
    const output = element('p', { role: 'status' }); // in the dialog: what is behind it is not read out
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
    output.textContent = 'Checking every stored byte…';
    try {
      const { ok } = await verifyModel(id);
      output.textContent = ok ? 'Every stored byte is as it was written.' : 'Some of it is damaged: the next load fetches that part anew.';
    } catch (error) {
      output.textContent = error instanceof Error ? error.message : String(error);
    }
  };

  const showKept = async (): Promise<void> => {
    const list = find('models-kept', HTMLUListElement);
    const none = find('models-kept-none', HTMLElement);
    try {
      const models = await listModels();
      list.replaceChildren(
        ...models.map(({ id, bytes: size, there, complete, pinned }) => {
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
          const output = element('p', { role: 'status' });
          const pin = element('button', { type: 'button', ariaPressed: String(pinned), ariaLabel: `Keep ${choiceNamed(id).name} when room is made for others` }, 'Keep');
          pin.addEventListener('click', async () => {
            const keep = pin.ariaPressed !== 'true';
            await pinModel(id, keep);
            pin.ariaPressed = String(keep);
          });
          const check = element('button', { type: 'button', ariaLabel: `Check ${choiceNamed(id).name} for damage` }, 'Check');
          check.addEventListener('click', () => void verify(id, output));
          return element('li', {}, load, element('div', { className: 'row tools' }, pin, check, remove), output);
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
