/** What went wrong with a reply, at its place: the cure, and buttons for the ways out. */
import { element } from '../dom';
import { explain, explained, type Explanation } from '../explain';

export interface ReplyError extends Explanation {
  ways: { label: string; act(): void; opensDialog?: true }[];
}

interface Ways {
  again(): void;
  newChat(): void;
  useCpu(): void;
  chooseModel(): void;
}

/** @param backend the one that was asked for */
export function replyError(
  error: unknown,
  backend: 'auto' | 'webgpu' | 'wasm' = 'auto',
  { again, newChat, useCpu, chooseModel }: Ways,
): ReplyError {
  const name = error instanceof Error ? error.name : '';
  return {
    ...explain(error, backend),
    ways: [
      // the same prompt would be too long again
      name === 'ContextError' ? { label: 'New chat', act: newChat } : { label: 'Try again', act: again },
      ...(name === 'DeviceError' && backend !== 'wasm' ? [{ label: 'Use the CPU', act: useCpu }] : []),
      { label: 'Choose another model', act: chooseModel, opensDialog: true },
    ],
  };
}

export function appendError(item: HTMLElement, { ways, ...explanation }: ReplyError): void {
  item.querySelector('.reply-error')?.remove();
  const buttons = ways.map(({ label, act, opensDialog }) => {
    const button = element('button', { type: 'button' }, label);
    if (opensDialog) button.ariaHasPopup = 'dialog';
    button.addEventListener('click', act);
    return button;
  });
  const box = element(
    'div',
    { className: 'reply-error', role: 'alert' },
    element('h3', {}, explanation.title),
    ...explained(explanation),
    element('p', { className: 'actions' }, ...buttons),
  );
  item.append(box);
  box.scrollIntoView({ block: 'nearest' });
}
