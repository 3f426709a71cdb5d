/**
 * What a message of the conversation is made of: its name, the cards of its tool calls, what the model thought, its
 * text.
 */
import { element } from './dom';
import type { AttachedFile, KeptCall, Turn } from './history';
import { formatJson, jsonBlock } from './json/form';
import { showText } from './markdown/long_text';
import { pictureImage } from './pictures/show_picture';
import { wordsOf } from './reply_loop';

export interface MessageParts {
  item: HTMLLIElement;
  body: HTMLElement;
  cards: HTMLElement;
  /** adds the cards that are not there yet */
  showCards(turn: Turn): void;
  /** shows what the model thought before its last words, folded */
  showThinking(turn: Turn, going?: boolean): void;
}

/** What a model thought, folded. Everything in it is text, never markup. */
function thinkingBox(): { box: HTMLDetailsElement; show(reasoning: string | undefined, going: boolean): void } {
  const summary = element('summary');
  const text = element('div', { dir: 'auto' });
  const box = element('details', { className: 'thinking', hidden: true }, summary, text);
  return {
    box,
    show(reasoning = '', going) {
      box.hidden = reasoning === '';
      summary.textContent = going ? 'Thinking' : 'Thought';
      if (text.textContent !== reasoning) text.textContent = reasoning;
    },
  };
}

export function createMessageParts(
  role: Turn['role'],
  name: string,
  card: (call: KeptCall) => HTMLLIElement,
): MessageParts {
  const body = element('div', { className: 'body', dir: 'auto' });
  const calls = element('ul', { className: 'calls', ariaLabel: 'Tools used', hidden: true });
  const thinking = thinkingBox();
  const item = element(
    'li',
    { className: role },
    element('h2', {}, name),
    ...(role === 'assistant' ? [calls, thinking.box] : []),
    body,
  );
  const said = new Set<object>();
  const there = new Set<KeptCall>();
  return {
    item,
    body,
    cards: calls,
    showCards({ steps = [] }) {
      for (const step of steps) {
        if (!said.has(step)) {
          const thought = thinkingBox();
          thought.show(step.reasoning, false);
          if (step.reasoning) calls.append(element('li', {}, thought.box));
          const words = wordsOf(step.text, step.calls);
          if (words) calls.append(element('li', { className: 'said', dir: 'auto' }, words));
        }
        said.add(step);
        for (const call of step.calls) {
          if (!there.has(call)) calls.append(card(call));
          there.add(call);
        }
      }
      calls.hidden = steps.length === 0;
    },
    showThinking: ({ reasoning }, going = false) => thinking.show(reasoning, going),
  };
}

/** The text of a reply as it is shown: Markdown, or JSON as a block of code. */
export const shownText = ({ content, json }: Turn): string => (json ? jsonBlock(content) : content);

/** A text that was sent along, folded. */
function attachedText(name: string, text: string): HTMLElement {
  const shown = element('pre', { tabIndex: 0, dir: 'auto' });
  showText(shown, text);
  return element('details', { className: 'attached' }, element('summary', {}, name), shown);
}

/** A file that was sent along. */
export const attachedFile = ({ name, text, picture }: AttachedFile): HTMLElement =>
  picture ? pictureImage({ name, text, picture }, 'picture') : attachedText(name, text);

/** The form that a request asks for. */
export const askedForm = (schema: string): HTMLElement =>
  schema.trim() === ''
    ? element('p', { className: 'attached' }, 'Reply as JSON')
    : attachedText('Reply as JSON of a schema', formatJson(schema));
