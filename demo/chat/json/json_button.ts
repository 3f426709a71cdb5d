/** The button of the message field that says whether replies are JSON, and opens the dialog about it. */
import { find } from '../dom';
import { icon, iconButton } from '../icons';
import { lazy } from '../lazy';
import type { ModelSession } from '../models/model_session';

export interface JsonButtonParts {
  session: Pick<ModelSession, 'model' | 'constrained' | 'constrain'>;
  chosen(): string | undefined;
  choose(schema: string | undefined): void;
}

/** @returns shows the form of replies */
export function createJsonButton(parts: JsonButtonParts): (schema: string | undefined) => void {
  let dialog: { open(): void } | undefined;
  const button = iconButton('braces', '', async () => {
    dialog ??= (await lazy(() => import('./json_dialog')))?.createJsonDialog(parts);
    dialog?.open();
  });
  button.id = 'json-form';
  button.ariaHasPopup = 'dialog';
  find('composer-tools', HTMLElement).append(button);
  return (schema) => {
    const on = schema !== undefined;
    button.ariaLabel = button.title = on ? 'Replies are JSON. Change this' : 'Reply as JSON';
    button.classList.toggle('on', on);
    button.replaceChildren(icon('braces'), ...(on ? ['JSON'] : []));
  };
}
