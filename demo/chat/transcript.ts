/** The list of messages. */
import { element } from './dom';
import type { Turn } from './history';
import { createMarkdown } from './markdown';

export interface Reply {
  /** Shows the text so far, at most once a frame. */
  write(text: string): void;
  /** Takes the message out of its busy state. */
  finish(turn: Turn): void;
  remove(): void;
}

export interface Transcript {
  show(turn: Turn): void;
  reply(): Reply;
  clear(): void;
}

const NAMES = { user: 'You', assistant: 'Rivulet' };

export function createTranscript(list: HTMLOListElement, announce: (text: string) => void): Transcript {
  const scroller = document.scrollingElement ?? document.documentElement;
  /** Follows the text only while the reader is at its end. */
  const follow = (change: () => void): void => {
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
    change();
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
  };

  const message = (role: Turn['role']): { item: HTMLLIElement; body: HTMLElement; foot: HTMLElement } => {
    const body = element('div', { className: 'body', dir: 'auto' });
    const foot = element('p', { className: 'foot' });
    const item = element('li', { className: role }, element('h2', {}, NAMES[role]), body, foot);
    return { item, body, foot };
  };

  const copyButton = (text: string): HTMLButtonElement => {
    const button = element('button', { type: 'button' }, 'Copy');
    button.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(text);
        announce('Copied.');
        button.textContent = 'Copied';
      } catch {
        announce('The browser does not allow this page to copy.');
        button.textContent = 'Not allowed';
      }
      setTimeout(() => (button.textContent = 'Copy'), 2000);
    });
    return button;
  };

  const reply = (): Reply => {
    const { item, body, foot } = message('assistant');
    const render = createMarkdown(body);
    let text = '';
    let frame = 0;
    item.ariaBusy = 'true';
    follow(() => list.append(item));
    return {
      write(soFar) {
        text = soFar;
        frame ||= requestAnimationFrame(() => {
          frame = 0;
          follow(() => render(text));
        });
      },
      finish({ content, note }) {
        cancelAnimationFrame(frame);
        follow(() => {
          render(content);
          foot.replaceChildren(...(note ? [note, ' '] : []), copyButton(content));
        });
        item.ariaBusy = null;
      },
      remove() {
        cancelAnimationFrame(frame);
        item.remove();
      },
    };
  };

  return {
    reply,
    show(turn) {
      if (turn.role === 'assistant') return reply().finish(turn);
      const { item, body, foot } = message('user');
      body.textContent = turn.content;
      foot.append(copyButton(turn.content));
      list.append(item);
      scroller.scrollTop = scroller.scrollHeight;
    },
    clear: () => list.replaceChildren(),
  };
}
