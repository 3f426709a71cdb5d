/** The shadow tree of `<rivulet-chat>`: it shows what it is told, and knows no model. */
import { createReplyView } from './reply_view';
import css from './rivulet_chat.css?inline';

export interface ViewActions {
  send(text: string): void;
  stop(): void;
}

export interface ChatView {
  /** where a message is written */
  readonly input: HTMLElement;
  describe(texts: {
    label?: string;
    placeholder?: string;
    greeting?: string;
    disabled: boolean;
    required: boolean;
  }): void;
  /** Replaces the conversation. */
  show(messages: readonly { role: string; text: string; reasoning?: string }[]): void;
  addMessage(role: 'user', text: string): void;
  /** @returns what shows the text of the reply so far, and the thinking before it, folded */
  addReply(): (text: string, reasoning?: string) => void;
  addCall(text: string): void;
  addNote(text: string): void;
  /** Shows an error in place of the one before. @returns what takes it out */
  addProblem(text: string, details: string, again: () => void): () => void;
  /** @returns whether the button with that label was pressed; false as soon as the signal is aborted */
  ask(text: string, label: string, signal: AbortSignal): Promise<boolean>;
  /** An answer begins: an earlier error goes. @returns what removes everything that is added from now on */
  begin(): () => void;
  focus(options?: FocusOptions): void;
  /** @param text undefined: nothing is being loaded */
  setProgress(text: string | undefined, share?: number): void;
  setBusy(busy: boolean): void;
}

/** A page may show many elements: they share one sheet, which needs no permission by a Content Security Policy. */
let sheet: CSSStyleSheet | undefined;

function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  part: string,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.setAttribute('part', part);
  made.classList.add(...part.split(' '));
  return made;
}

/** characters of a call and its result that are shown */
const MOST_OF_A_CALL = 500;
/** Near enough to the end that new text is followed, in CSS pixels. */
const NEAR_END = 48;

export function createView(root: ShadowRoot, actions: ViewActions): ChatView {
  if (!sheet) (sheet = new CSSStyleSheet()).replaceSync(css);
  root.adoptedStyleSheets = [sheet];

  // in a page that runs from right to left, each text keeps its own direction
  const header = make('header', 'header', { hidden: true, dir: 'auto' });
  const greeting = make('p', 'greeting', { hidden: true, dir: 'auto' });
  // focusable, so that a keyboard scrolls it
  const list = make('div', 'messages', { tabIndex: 0, role: 'log' });
  list.append(greeting);
  const status = make('div', 'status', { dir: 'auto' });
  // a screen reader hears what is done, not each percent of it
  const announcer = make('div', 'announcer', { role: 'status' });
  const bar = make('progress', 'progress', { hidden: true, max: 1, ariaLabel: 'Loading the model' });
  const input = make('textarea', 'input', { rows: 1, dir: 'auto' });
  const send = make('button', 'send', { type: 'button', textContent: 'Send' });
  const stop = make('button', 'stop quiet', { type: 'button', textContent: 'Stop', hidden: true });
  const composer = make('div', 'composer');
  composer.append(input, send, stop);
  root.append(header, list, bar, status, announcer, composer);

  /** Runs a change of the list, and stays at its end if the reader was there. */
  function change(act: () => void): void {
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END;
    act();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }
  const add = (item: HTMLElement): void => change(() => list.append(item));
  const clearProblem = (): void => list.querySelectorAll('.problem').forEach((box) => box.remove());

  function message(role: string, speaker: string): HTMLElement {
    const item = make('div', `message ${role}`);
    item.role = 'group';
    item.ariaLabel = speaker;
    item.dir = 'auto';
    return item;
  }

  function submit(): void {
    const text = input.value;
    if (!text.trim() || input.disabled || !stop.hidden) return;
    input.value = '';
    actions.send(text);
  }
  send.addEventListener('click', submit);
  stop.addEventListener('click', actions.stop);
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  root.addEventListener('keydown', (event) => {
    if ((event as KeyboardEvent).key !== 'Escape' || stop.hidden) return;
    // a dialog round the element stays open
    event.preventDefault();
    event.stopPropagation();
    actions.stop();
  });

  const view: ChatView = {
    input,
    describe({ label, placeholder, greeting: welcome, disabled, required }) {
      header.textContent = label ?? '';
      header.hidden = !label;
      list.ariaLabel = label ? `${label}: conversation` : 'Conversation';
      input.ariaLabel = placeholder ?? 'Message';
      input.placeholder = placeholder ?? 'Message';
      greeting.textContent = welcome ?? '';
      greeting.hidden = !welcome;
      input.disabled = send.disabled = disabled;
      input.ariaRequired = String(required);
    },
    show(messages) {
      list.replaceChildren(greeting);
      for (const { role, text, reasoning } of messages) {
        if (role === 'user') view.addMessage('user', text);
        else view.addReply()(text, reasoning);
      }
    },
    addMessage(role, text) {
      const item = message(role, 'You');
      item.textContent = text;
      add(item);
      list.scrollTop = list.scrollHeight;
    },
    addReply() {
      const item = message('reply', 'Reply');
      item.hidden = true;
      const thoughts = make('details', 'thinking', { hidden: true });
      const thought = make('p', 'plain', { dir: 'auto' });
      const summary = document.createElement('summary');
      thoughts.append(summary, thought);
      add(thoughts);
      add(item);
      const show = createReplyView(item);
      let waiting: { text: string; reasoning: string } | undefined;
      const draw = (): void => {
        const { text, reasoning } = waiting!;
        waiting = undefined;
        change(() => {
          thoughts.hidden = !reasoning;
          summary.textContent = text ? 'Thought' : 'Thinking';
          thought.textContent = reasoning;
          item.hidden = !text;
          show(text);
        });
      };
      return (text, reasoning = '') => {
        // drawn at most once a frame, however fast the model writes
        if (!waiting) requestAnimationFrame(draw);
        waiting = { text, reasoning };
      };
    },
    addCall: (text) =>
      add(
        make('div', 'call', {
          dir: 'auto',
          textContent: text.length > MOST_OF_A_CALL ? `${text.slice(0, MOST_OF_A_CALL)}…` : text,
        }),
      ),
    addNote: (text) => add(make('p', 'note', { dir: 'auto', textContent: text })),
    addProblem(text, details, again) {
      clearProblem();
      const box = make('div', 'problem', { dir: 'auto', role: 'alert' });
      const line = document.createElement('p');
      line.textContent = text.trim();
      line.title = details;
      const button = make('button', 'again quiet', { type: 'button', textContent: 'Try again' });
      button.addEventListener('click', () => {
        box.remove();
        input.focus();
        again();
      });
      box.append(line, button);
      add(box);
      return () => box.remove();
    },
    begin() {
      clearProblem();
      const last = list.lastElementChild;
      return () => {
        if (last?.parentElement === list) while (list.lastElementChild !== last) list.lastElementChild!.remove();
      };
    },
    focus: (options) => input.focus(options),
    ask(text, label, signal) {
      const box = make('div', 'question', { dir: 'auto', role: 'group', ariaLabel: text });
      const line = document.createElement('p');
      line.textContent = text;
      const yes = make('button', 'yes', { type: 'button', textContent: label });
      const no = make('button', 'no quiet', { type: 'button', textContent: 'Not now' });
      box.append(line, yes, ' ', no);
      add(box);
      announcer.textContent = text;
      // a page that loads with the question keeps its focus
      if (root.activeElement) yes.focus();
      return new Promise((resolve) => {
        const answer = (agreed: boolean) => (): void => {
          const focused = box.contains(root.activeElement);
          box.remove();
          if (focused) input.focus();
          resolve(agreed);
        };
        yes.addEventListener('click', answer(true));
        no.addEventListener('click', answer(false));
        signal.addEventListener('abort', answer(false), { once: true });
      });
    },
    setProgress(text, share) {
      const said = text?.replace(/:.*/, '') ?? '';
      if (announcer.textContent !== said) announcer.textContent = said;
      status.textContent = text ?? '';
      bar.hidden = text === undefined;
      if (share === undefined) bar.removeAttribute('value');
      else bar.value = share;
    },
    setBusy(busy) {
      const focused = root.activeElement === send || root.activeElement === stop;
      stop.hidden = !busy;
      send.hidden = busy;
      if (focused) input.focus();
      list.ariaBusy = String(busy);
    },
  };
  return view;
}
