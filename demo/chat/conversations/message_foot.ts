/** The line under a message: its figures, its versions, and what can be done with it. */
import { element } from '../dom';
import type { Turn } from '../history';
import { formatJson } from '../json/form';
import { copyButton, iconButton } from '../icons';
import type { ChatMessage } from './conversation';
import { figuresIn } from './generate';

/** A message of the branch that is shown. */
export interface MessageLine {
  message: ChatMessage;
  /** 1 for the first */
  version: number;
  versions: number;
  /**
   * - 'open': a request that has no reply
   * - 'interrupted': a reply that its page did not finish
   * - 'elsewhere': a reply that another tab is writing
   */
  state?: 'open' | 'interrupted' | 'elsewhere';
}

export interface MessageActions {
  /** A changed request is sent, as another version. @returns why it cannot be sent */
  edit(message: ChatMessage, content: string): Promise<string | undefined>;
  regenerate(message: ChatMessage): void;
  continueReply(message: ChatMessage): void;
  /** answers a request that has no reply */
  answer(message: ChatMessage): void;
  remove(message: ChatMessage): void;
  showVersion(message: ChatMessage, by: 1 | -1): void;
}

/** These ends leave something to be said. */
const CONTINUED = ['length', 'abort', 'rounds', 'failed'];
const canContinue = ({ message: { finish, role }, state }: MessageLine): boolean =>
  role === 'assistant' && (state === 'interrupted' || (finish !== undefined && CONTINUED.includes(finish)));

const summaries = ({ steps = [] }: Turn): string =>
  steps.flatMap(({ calls }) => calls.map(({ summary }) => summary)).join('\n');

export function createMessageFoot(actions: MessageActions): (line: MessageLine, item: HTMLElement) => HTMLElement {
  /** A button that changes the conversation: while a reply is being written it cannot be pressed. */
  const changing = (button: HTMLButtonElement, name: string): HTMLButtonElement => {
    button.classList.add(name);
    button.dataset.changes = '';
    return button;
  };
  const wordButton = (label: string, name: string, act: () => void): HTMLButtonElement => {
    const button = element('button', { type: 'button' }, label);
    button.addEventListener('click', act);
    return changing(button, name);
  };

  const versionsOf = ({ message, version, versions }: MessageLine, item: HTMLElement): HTMLElement => {
    const step = (by: 1 | -1): HTMLButtonElement => {
      const name = by < 0 ? 'version-before' : 'version-after';
      const button = changing(
        iconButton(by < 0 ? 'chevron-left' : 'chevron-right', by < 0 ? 'Previous version' : 'Next version', () => {
          const place = [...(item.parentElement?.children ?? [])].indexOf(item);
          const list = item.parentElement;
          actions.showVersion(message, by);
          // the other version stands at the same place; at the last one the button of the other direction is left
          const there = list?.children[place];
          (
            there?.querySelector<HTMLElement>(`.${name}:not(:disabled)`) ??
            there?.querySelector<HTMLElement>('.versions button:not(:disabled)')
          )?.focus();
        }),
        name,
      );
      if (by < 0 ? version === 1 : version === versions) {
        button.disabled = true;
        delete button.dataset.changes;
      }
      return button;
    };
    const group = element('span', {
      className: 'versions',
      role: 'group',
      ariaLabel: `Version ${version} of ${versions}`,
    });
    group.append(step(-1), element('span', {}, `${version}/${versions}`), step(1));
    return group;
  };

  /** The message as a field. Enter sends it, Escape gives up. */
  const edit = (message: ChatMessage, item: HTMLElement): void => {
    const [body, foot] = [item.querySelector<HTMLElement>('.body'), item.querySelector<HTMLElement>('.foot')];
    if (!body || !foot) return;
    const field = element('textarea', {
      className: 'edit',
      value: message.content,
      ariaLabel: 'Edit the message',
      dir: 'auto',
      rows: Math.min(12, message.content.split('\n').length + 1),
    });
    const end = (): void => {
      form.remove();
      body.hidden = foot.hidden = false;
      foot.querySelector<HTMLElement>('.edit-message')?.focus();
    };
    const problem = element('p', { className: 'problem', role: 'alert' });
    const form = element(
      'form',
      { className: 'edit-form' },
      field,
      problem,
      element(
        'p',
        { className: 'actions' },
        element('button', { type: 'submit' }, 'Send'),
        wordButton('Cancel', 'cancel', end),
      ),
    );
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      const content = field.value.trim();
      if (content) problem.textContent = (await actions.edit(message, content)) ?? '';
    });
    field.addEventListener('keydown', (event) => {
      if (event.isComposing || event.shiftKey || (event.key !== 'Enter' && event.key !== 'Escape')) return;
      event.preventDefault();
      event.stopPropagation();
      if (event.key === 'Enter') form.requestSubmit();
      else end();
    });
    body.hidden = foot.hidden = true;
    foot.before(form);
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  };

  return (line, item) => {
    const { message, versions, state } = line;
    const { role } = message;
    const note =
      (state === 'interrupted'
        ? 'interrupted'
        : state === 'elsewhere'
          ? 'another tab is writing this reply'
          : message.note) ?? '';
    const speed = figuresIn(note);
    const end = note.slice(speed.length);
    const copy = copyButton(
      'Copy',
      () => (message.json ? formatJson(message.content) : message.content) || summaries(message),
    );
    copy.classList.add('copy');
    const buttons = [
      copy,
      ...(role === 'user'
        ? [
            changing(
              iconButton('pencil', 'Edit', () => edit(message, item)),
              'edit-message',
            ),
          ]
        : []),
      ...(role === 'assistant' && message.parent !== null && state !== 'elsewhere'
        ? [
            changing(
              iconButton('refresh-cw', 'Regenerate', () => actions.regenerate(message)),
              'regenerate',
            ),
          ]
        : []),
      changing(
        iconButton('trash-2', 'Delete', () => actions.remove(message)),
        'delete',
      ),
    ];
    return element(
      'div',
      { className: 'foot' },
      ...(note
        ? [
            element(
              'span',
              { className: end ? 'figures' : 'figures speed' },
              ...(end && speed ? [element('span', { className: 'speed' }, speed), end] : [note]),
            ),
          ]
        : []),
      ...(canContinue(line) ? [wordButton('Continue', 'continue', () => actions.continueReply(message))] : []),
      ...(state === 'open' ? [wordButton('Get a reply', 'answer', () => actions.answer(message))] : []),
      ...(versions > 1 ? [versionsOf(line, item)] : []),
      element('span', { className: 'actions' }, ...buttons),
    );
  };
}
