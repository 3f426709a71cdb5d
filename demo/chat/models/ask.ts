/** A question in a dialog of its own. */
import { element } from '../dom';

export interface Question {
  title: string;
  /** the paragraphs under the title; a list stands by itself */
  body: (string | Node)[];
  yes: string;
  no?: string;
  /** what is done cannot be undone: Enter alone does not say yes */
  careful?: boolean;
  signal?: AbortSignal;
}

let nextId = 1;

/** @returns whether the answer is yes; Escape is no */
export function ask({ title, body, yes, no = 'Cancel', careful, signal }: Question): Promise<boolean> {
  const id = `question-${nextId++}`;
  const heading = element('h2', { id }, title);
  const accept = element('button', { value: 'yes', className: careful ? 'danger' : 'primary' }, yes);
  const decline = element('button', { value: 'no' }, no);
  const dialog = element(
    'dialog',
    { className: 'question' },
    element(
      'form',
      { method: 'dialog' },
      heading,
      ...body.map((part) => (part instanceof HTMLUListElement ? part : element('p', {}, part))),
      element('div', { className: 'actions' }, accept, decline),
    ),
  );
  dialog.setAttribute('aria-labelledby', id);
  document.body.append(dialog);
  const close = (): void => dialog.close('no');
  signal?.addEventListener('abort', close);
  dialog.showModal();
  (careful ? decline : accept).focus();
  return new Promise((resolve) =>
    dialog.addEventListener('close', () => {
      signal?.removeEventListener('abort', close);
      // Escape leaves the value of an earlier close, of which a new dialog has none
      resolve(dialog.returnValue === 'yes');
      dialog.remove();
    }),
  );
}
