/**
 * Messages that wait until the model is ready, or until the reply before them has ended. They stand under the
 * conversation.
 */
import { element } from '../dom';
import type { Draft } from './drafts';

export interface Queue {
  add(draft: Draft): void;
  /** Puts one back that was taken out. */
  addFirst(draft: Draft): void;
  /** Takes the first one out. There must be one. */
  next(): Draft;
  /** Takes all out. */
  takeAll(): Draft[];
  readonly all: readonly Draft[];
  /** says what they wait for */
  setReason(reason: string): void;
}

export interface QueueParts {
  /** shown after this list */
  after: HTMLElement;
  /** the user takes one back into the field */
  edit(draft: Draft): void;
  changed(): void;
}

export function createQueue({ after, edit, changed }: QueueParts): Queue {
  let drafts: Draft[] = [];
  let reason = '';
  const list = element('ol', { id: 'waiting', ariaLabel: 'Messages that wait', hidden: true });
  after.after(list);

  function show(): void {
    list.hidden = drafts.length === 0;
    list.replaceChildren(
      ...drafts.map((draft) => {
        const take = (label: string, name: string, act: () => void): HTMLButtonElement => {
          const button = element('button', { type: 'button', ariaLabel: name }, label);
          button.addEventListener('click', () => {
            drafts = drafts.filter((each) => each !== draft);
            show();
            act();
            changed();
            document.getElementById('prompt')?.focus();
          });
          return button;
        };
        return element(
          'li',
          { className: 'user waiting' },
          element('h2', {}, 'You'),
          ...draft.files.map(({ name }) => element('p', { className: 'attached' }, name)),
          element('div', { className: 'body', dir: 'auto' }, draft.text),
          element(
            'div',
            { className: 'foot' },
            element('span', { className: 'figures' }, reason),
            take('Edit', 'Edit the message that waits', () => edit(draft)),
            take('Cancel', 'Cancel the message that waits', () => undefined),
          ),
        );
      }),
    );
  }

  return {
    get all() {
      return drafts;
    },
    add(draft) {
      drafts = [...drafts, draft];
      show();
      changed();
    },
    addFirst(draft) {
      drafts = [draft, ...drafts];
      show();
      changed();
    },
    next() {
      const [first, ...rest] = drafts;
      drafts = rest;
      show();
      changed();
      return first;
    },
    takeAll() {
      const all = drafts;
      if (!all.length) return all;
      drafts = [];
      show();
      changed();
      return all;
    },
    setReason(now) {
      if (now === reason) return;
      reason = now;
      for (const shown of list.querySelectorAll('.figures')) shown.textContent = reason;
    },
  };
}
