/** The list of messages. */
import { element } from './dom';
import type { KeptCall, OfferReason, Turn } from './history';
import { copyButton } from './icons';
import { createMarkdown } from './markdown/markdown';
import { showText } from './markdown/long_text';
import { wordsOf } from './reply_loop';
import { callCard, type CardActions } from './tool_cards';

export interface Reply {
  /** the list of the cards */
  cards: HTMLElement;
  /** Shows the reply so far: new cards at once, its text at most once a frame. */
  write(turn: Turn): void;
  /** Takes the message out of its busy state. */
  finish(turn: Turn): void;
  remove(): void;
}

export interface Transcript {
  show(turn: Turn): void;
  reply(): Reply;
  /** shows a card anew */
  update(call: KeptCall): void;
  clear(): void;
}

export interface TranscriptParts {
  actions: CardActions;
  /** what stands under a reply that offers a larger model */
  offer(reason: OfferReason): HTMLElement;
}

const summaries = ({ steps = [] }: Turn): string => steps.flatMap(({ calls }) => calls.map(({ summary }) => summary)).join('\n');

const NAMES = { user: 'You', assistant: 'Rivulet' };

export function createTranscript(list: HTMLOListElement, { actions, offer }: TranscriptParts): Transcript {
  const scroller = document.scrollingElement ?? document.documentElement;
  /** Follows the text only while the reader is at its end. */
  const follow = (change: () => void): void => {
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
    change();
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
  };

  const message = (role: Turn['role']): { item: HTMLLIElement; body: HTMLElement; foot: HTMLElement } => {
    const body = element('div', { className: 'body', dir: 'auto' });
    const foot = element('div', { className: 'foot' });
    const item = element('li', { className: role }, element('h2', {}, NAMES[role]), body, foot);
    return { item, body, foot };
  };

  /** What can be done with a message, and beside it how it came. */
  const fillFoot = (foot: HTMLElement, buttons: HTMLElement[], note?: string): void =>
    foot.replaceChildren(element('span', { className: 'actions' }, ...buttons), ...(note ? [element('span', { className: 'note' }, note)] : []));

  const shown = new WeakMap<KeptCall, HTMLElement>();
  const card = (call: KeptCall): HTMLLIElement => {
    const made = callCard(call, actions);
    shown.set(call, made);
    return made;
  };
  const update = (call: KeptCall): void => {
    const old = shown.get(call);
    if (!old) return;
    const focused = old.contains(document.activeElement);
    const made = card(call);
    old.replaceWith(made);
    if (!focused) return;
    // its button may be gone; the focus stays at the card
    made.tabIndex = -1;
    made.focus();
  };

  const reply = (): Reply => {
    const { item, body, foot } = message('assistant');
    const render = createMarkdown(body, follow);
    const cards = element('ul', { className: 'calls', ariaLabel: 'Tools used', hidden: true });
    body.before(cards);
    let text = '';
    let frame = 0;
    item.ariaBusy = 'true';
    follow(() => list.append(item));
    const said = new Set<object>();
    const showCards = ({ steps = [] }: Turn): void => {
      for (const step of steps) {
        const words = wordsOf(step.text);
        if (words && !said.has(step)) cards.append(element('li', { className: 'said', dir: 'auto' }, words));
        said.add(step);
        for (const call of step.calls) if (!shown.has(call)) cards.append(card(call));
      }
      cards.hidden = steps.length === 0;
    };
    return {
      cards,
      write(turn) {
        follow(() => showCards(turn));
        text = turn.content;
        frame ||= requestAnimationFrame(() => {
          frame = 0;
          follow(() => render(text));
        });
      },
      finish(turn) {
        cancelAnimationFrame(frame);
        follow(() => {
          showCards(turn);
          render(turn.content, true);
          body.hidden = turn.content === '' && turn.steps !== undefined;
          if (turn.offer) body.after(offer(turn.offer));
          fillFoot(foot, [copyButton('Copy', () => turn.content || summaries(turn))], turn.note);
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
    update,
    show(turn) {
      if (turn.role === 'assistant') return reply().finish(turn);
      const { item, body, foot } = message('user');
      showText(body, turn.content);
      fillFoot(foot, [copyButton('Copy', () => turn.content)]);
      list.append(item);
      scroller.scrollTop = scroller.scrollHeight;
    },
    clear: () => list.replaceChildren(),
  };
}
