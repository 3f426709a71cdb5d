/** The messages of the conversation, and what can be done with each. */
import { appendError, type ReplyError } from './conversations/reply_error';
import { createMessageFoot, type MessageActions, type MessageLine } from './conversations/message_foot';
import type { ChatMessage } from './conversations/conversation';
import { element } from './dom';
import { count } from './format';
import type { KeptCall, OfferReason, Turn } from './history';
import { createMarkdown } from './markdown/markdown';
import { showText } from './markdown/long_text';
import { askedForm, attachedFile, createMessageParts, shownText, type MessageParts } from './message_parts';
import { callCard, type CardActions } from './tool_cards';

/** A reply that is being written. */
export interface Reply {
  /** the list of the cards */
  cards: HTMLElement;
  /** Shows the reply so far: new cards at once, its text at most once a frame. */
  write(turn: Turn): void;
  /** It is this message, which has got its first word. */
  isOf(message: ChatMessage): void;
  /**
   * It is not written any more. If it is a message, the next `show` goes on with what stands there; else it is taken
   * out.
   */
  end(): void;
}

export interface Transcript {
  /**
   * Shows these messages. Those that are shown already and have not changed are left alone.
   * @param readFrom id of the first message that the model still reads, where it does not read them all
   */
  show(lines: readonly MessageLine[], readFrom?: string): void;
  /** @param message given: this reply goes on */
  reply(model: string, message?: ChatMessage): Reply;
  /** shows a card anew */
  update(call: KeptCall): void;
  /** An error at the reply that it belongs to, or after the last message. */
  showError(error: ReplyError, message?: ChatMessage): void;
  hideError(): void;
  /** While a reply is being written, messages cannot be changed. */
  setReplying(replying: boolean): void;
  scrollToEnd(): void;
  /** The messages that are not drawn: the oldest of a long conversation, and those that a slice is still to draw. */
  undrawn(): ChatMessage[];
  /**
   * Draws all messages from this one on, with some before it. @returns its element, when it is there; undefined: it is
   * not in the conversation
   */
  reveal(id: string): Promise<HTMLElement | undefined>;
}

export interface TranscriptParts {
  actions: CardActions;
  messages: MessageActions;
  /** what stands under a reply that offers a larger model */
  offer(reason: OfferReason): HTMLElement;
}

/** A long conversation shows this many of its last messages at first: the page must lay out all that it shows. */
const SHOWN = 200;
/** What a conversation draws at once, when it is opened. The rest follows in slices, the newest first. */
const FIRST = 6;
/**
 * A conversation that fits on a screen is drawn as a whole: else its messages would move when the earlier ones come.
 */
const SHORT = 12;
/** milliseconds of a slice, with its layout */
const SLICE_MS = 16;
const MOST_IN_SLICE = 24;
/**
 * Each slice lays out all messages again. Where more are shown than at first, it draws this part of their number at
 * least: else the time would grow with its square.
 */
const OF_LONG = 8;
/** messages above one that is looked for, so that it is read with what led to it */
const BEFORE = 20;
const NOT_READ = 'Messages above this line are no longer read by the model';

interface Shown {
  item: HTMLLIElement;
  line: MessageLine;
  stamp: string;
}

/** The reply that is being written, or has just been written. */
interface Live {
  item: HTMLLIElement;
  /** of its message, which it has from its first word on */
  id?: string;
  ended: boolean;
  /** makes it a message like the others */
  finish(line: MessageLine): void;
}

/** All that a message's look depends on. */
const stampOf = ({ message: { id, revision, steps = [] }, version, versions, state }: MessageLine): string =>
  [
    id,
    revision,
    version,
    versions,
    state,
    ...steps.flatMap(({ calls }) => calls.map(({ ended, undone }) => `${ended ?? ''}${undone ? '-' : ''}`)),
  ].join(' ');

export function createTranscript(list: HTMLOListElement, { actions, messages, offer }: TranscriptParts): Transcript {
  const foot = createMessageFoot(messages);
  const shown = new Map<string, Shown>();
  const notRead = element('li', { className: 'not-read' }, element('span', {}, NOT_READ));
  const cards = new WeakMap<KeptCall, HTMLElement>();
  let live: Live | undefined;
  /** an error that belongs to no message */
  let failed: HTMLLIElement | undefined;
  let replying = false;

  const scroller = document.scrollingElement ?? document.documentElement;
  const scrollToEnd = (): void => void (scroller.scrollTop = scroller.scrollHeight);
  let following = false;
  /**
   * Follows the text only while the reader is at its end. What stands before the first message is read from its start.
   * Each look at the place lays out the page: of changes within a change only the outer one looks.
   */
  const follow = (change: () => void): void => {
    if (following) return change();
    const atEnd = list.childElementCount > 0 && scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
    following = true;
    try {
      change();
    } finally {
      following = false;
    }
    if (atEnd) scrollToEnd();
  };

  const card = (call: KeptCall): HTMLLIElement => {
    const made = callCard(call, actions);
    cards.set(call, made);
    return made;
  };

  const parts = (role: Turn['role'], name: string): MessageParts => createMessageParts(role, name, card);

  /** @returns the item, and what fills it as soon as it is in the page */
  function itemOf(line: MessageLine): { item: HTMLLIElement; draw(): void } {
    const { message } = line;
    const { item, body, showCards, showThinking } = parts(
      message.role,
      message.role === 'user' ? 'You' : (message.model ?? 'Rivulet'),
    );
    item.dataset.id = message.id;
    let draw = (): void => undefined;
    if (message.role === 'user') {
      for (const file of message.files ?? []) body.before(attachedFile(file));
      if (message.schema !== undefined) body.before(askedForm(message.schema));
      showText(body, message.content);
    } else {
      showCards(message);
      showThinking(message);
      draw = () => createMarkdown(body)(shownText(message), true);
      if (message.offer) body.after(offer(message.offer));
    }
    body.hidden = message.content === '' && (message.steps ?? message.files ?? message.reasoning) !== undefined;
    if (line.state === 'elsewhere') item.ariaBusy = 'true';
    item.append(foot(line, item));
    return { item, draw };
  }

  const disable = (): void => {
    for (const button of list.querySelectorAll<HTMLButtonElement>('.foot [data-changes]')) button.disabled = replying;
  };

  /** all messages of the branch, and how many of the last are shown */
  let all: readonly MessageLine[] = [];
  let limit = SHOWN;
  let from: string | undefined;
  /** told when no slice is to come */
  const waiting: (() => void)[] = [];
  const earlier = element('button', { type: 'button', className: 'more' });
  const earlierItem = element('li', { className: 'earlier' }, earlier);
  earlier.addEventListener('click', () => {
    const hidden = all.slice(0, -limit);
    limit += SHOWN;
    keepPlace(draw);
    const next = hidden.at(-1) && shown.get(hidden.at(-1)!.message.id);
    next?.item.querySelector<HTMLElement>('.copy')?.focus({ preventScroll: true });
  });
  /** What is read stays in its place while messages are added above. */
  function keepPlace(change: () => void): void {
    const seen = [...list.children].find(
      (item) => item !== earlierItem && item !== notRead && item.getBoundingClientRect().bottom > 0,
    );
    const before = seen?.getBoundingClientRect().top ?? 0;
    change();
    const moved = seen?.isConnected ? seen.getBoundingClientRect().top - before : 0;
    if (Math.abs(moved) >= 1) scroller.scrollTop += moved;
  }

  /** how many messages a slice draws */
  let room = FIRST;
  let slice: ReturnType<typeof setTimeout> | undefined;
  function drawSlice(): void {
    slice = undefined;
    const start = performance.now();
    follow(() => keepPlace(draw));
    const least = shown.size < SHOWN ? 2 : Math.ceil(shown.size / OF_LONG);
    room = Math.max(least, Math.min(MOST_IN_SLICE, Math.floor((room * SLICE_MS) / (performance.now() - start))));
  }

  function show(given: readonly MessageLine[], readFrom?: string): void {
    if (given[0]?.message.id !== all[0]?.message.id) {
      limit = SHOWN;
      room = given.length <= SHORT ? SHORT : FIRST;
    }
    all = given;
    from = readFrom;
    draw();
  }

  /**
   * The lines that are shown now: those that are drawn already, what is newer, and the newest of the others, if no
   * slice is to come that draws them.
   */
  function linesOfSlice(lines: readonly MessageLine[]): Set<MessageLine> {
    const chosen = new Set<MessageLine>();
    let left = slice === undefined ? room : 0;
    let newer = shown.size > 0;
    for (const line of [...lines].reverse()) {
      const { id } = line.message;
      const drawn = id === live?.id || shown.has(id);
      if (drawn) newer = false;
      if (drawn || newer || left-- > 0) chosen.add(line);
    }
    return chosen;
  }

  function draw(): void {
    const lines = all.slice(-limit);
    const ids = new Set(lines.map(({ message }) => message.id));
    for (const [id, { item }] of shown)
      if (!ids.has(id) || id === live?.id) {
        item.remove();
        shown.delete(id);
      }
    notRead.remove();
    earlierItem.remove();
    const chosen = linesOfSlice(lines);
    const more = chosen.size < lines.length;
    let at: Element | null = list.firstElementChild;
    for (const line of lines) {
      if (!chosen.has(line)) continue;
      const { id } = line.message;
      const stamp = stampOf(line);
      const before = shown.get(id);
      let item = live?.id === id ? live.item : before?.stamp === stamp ? before.item : undefined;
      let fill: (() => void) | undefined;
      if (!item) {
        if (at && at === before?.item) at = at.nextElementSibling;
        before?.item.remove();
        ({ item, draw: fill } = itemOf(line));
      }
      if (item === live?.item && live.ended) {
        live.finish(line);
        live = undefined;
      }
      if (item !== live?.item) shown.set(id, { item, line, stamp });
      if (item === at) at = at.nextElementSibling;
      else list.insertBefore(item, at);
      fill?.();
    }
    if (live?.ended) {
      live.item.remove();
      live = undefined;
    } else if (live && !(live.id && ids.has(live.id))) list.append(live.item);
    if (failed) list.append(failed);
    const first = from === undefined ? undefined : shown.get(from)?.item;
    if (first && (first !== list.firstElementChild || all.length > chosen.size)) first.before(notRead);
    earlier.textContent = `Show earlier messages (${count(all.length - lines.length)})`;
    if (all.length > lines.length && !more) list.prepend(earlierItem);
    // the newest messages stand at the foot of the page from the start
    list.classList.toggle('drawing', more);
    if (more) slice ??= setTimeout(drawSlice);
    else for (const drawn of waiting.splice(0)) drawn();
    disable();
  }

  return {
    show: (lines, readFrom) => follow(() => show(lines, readFrom)),
    scrollToEnd,
    undrawn: () => all.map(({ message }) => message).filter(({ id }) => id !== live?.id && !shown.has(id)),
    async reveal(id) {
      const place = all.findIndex(({ message }) => message.id === id);
      limit = Math.max(limit, place < 0 ? 0 : all.length - place + BEFORE);
      keepPlace(draw);
      if (place >= 0 && !shown.has(id)) await new Promise<void>((resolve) => waiting.push(resolve));
      return shown.get(id)?.item;
    },
    setReplying(now) {
      replying = now;
      disable();
    },
    update(call) {
      const old = cards.get(call);
      if (!old) return;
      const focused = old.contains(document.activeElement);
      const made = card(call);
      old.replaceWith(made);
      made.querySelector('details')!.open = old.querySelector('details')!.open;
      // the rest of the message is as it was
      const found = [...shown.values()].find(({ item }) => item.contains(made));
      if (found) found.stamp = stampOf(found.line);
      if (!focused) return;
      // its button may be gone; the focus stays at the card
      made.tabIndex = -1;
      made.focus();
    },
    reply(model, message) {
      const made = parts('assistant', model);
      const { item, body, showCards, showThinking } = made;
      const render = createMarkdown(body, follow);
      // the room for the buttons is there from the start, so that nothing moves when the reply ends
      const room = element('div', { className: 'foot' });
      item.append(room);
      let now: Turn = message ?? { role: 'assistant', content: '' };
      const draw = (): void =>
        follow(() => {
          showThinking(now, !now.content);
          render(shownText(now));
        });
      let frame = 0;
      item.ariaBusy = 'true';
      const old = message && shown.get(message.id);
      follow(() => {
        if (message) {
          showCards(message);
          draw();
        }
        if (old) old.item.replaceWith(item);
        else list.append(item);
      });
      if (message) shown.delete(message.id);
      live?.item.remove();
      const mine: Live = {
        item,
        id: message?.id,
        ended: false,
        finish(line) {
          const { message } = line;
          item.dataset.id = message.id;
          showCards(message);
          showThinking(message);
          render(shownText(message), true);
          body.hidden = message.content === '' && (message.steps ?? message.reasoning) !== undefined;
          if (message.offer) body.after(offer(message.offer));
          room.replaceWith(foot(line, item));
          item.ariaBusy = null;
        },
      };
      live = mine;
      return {
        cards: made.cards,
        write(turn) {
          if (turn.steps?.length) follow(() => showCards(turn));
          now = { ...turn };
          frame ||= requestAnimationFrame(() => {
            frame = 0;
            draw();
          });
        },
        isOf: ({ id }) => void (mine.id = id),
        end() {
          cancelAnimationFrame(frame);
          mine.ended = true;
          if (mine.id !== undefined) return;
          item.remove();
          if (live === mine) live = undefined;
        },
      };
    },
    showError(error, message) {
      follow(() => {
        const there = message && shown.get(message.id)?.item;
        failed?.remove();
        failed = undefined;
        if (there) return appendError(there, error);
        failed = element('li', { className: 'assistant failed' }, element('h2', {}, 'Rivulet'));
        appendError(failed, error);
        list.append(failed);
      });
    },
    hideError() {
      failed?.remove();
      failed = undefined;
      list.querySelector('.reply-error')?.remove();
    },
  };
}
