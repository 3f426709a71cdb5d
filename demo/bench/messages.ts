/** What the page says above its results: problems, and questions with their buttons. */
import { element, find } from '../chat/dom';

export const button = (id: string): HTMLButtonElement => find(id, HTMLButtonElement);
export const problem = find('problem', HTMLElement);
const question = find('question', HTMLElement);

export function say(text: string): void {
  problem.replaceChildren(element('p', { textContent: text }));
  problem.hidden = !text;
}

let answer: ((word: string | undefined) => void) | undefined;

export const takeQuestionBack = (): void => answer?.(undefined);

/** Asks in the page. @returns the pressed button, or undefined if another question took its place */
export function ask(text: string, words: string[]): Promise<string | undefined> {
  takeQuestionBack();
  return new Promise((resolve) => {
    const settle = (word: string | undefined): void => {
      if (answer === settle) answer = undefined;
      question.hidden = true;
      resolve(word);
    };
    answer = settle;
    const buttons = words.map((word, i) => {
      const made = element('button', { type: 'button', textContent: word, className: i ? '' : 'primary' });
      made.addEventListener('click', () => {
        button('run').focus({ preventScroll: true }); // this button goes
        settle(word);
      });
      return made;
    });
    question.replaceChildren(element('p', { textContent: text }), element('p', { className: 'actions' }, ...buttons));
    question.hidden = false;
  });
}
