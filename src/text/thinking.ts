/**
 * Separates what a model thinks from its answer. LFM2.5 models think before they answer: `<think>…</think>`; some
 * templates begin it for them.
 */
import { longestPartialMatch } from './stop_strings';

/** A piece of an answer as it arrives. All reasoning comes before all text. */
export interface AnswerPart {
  type: 'reasoning' | 'text';
  text: string;
}

/** Gets a piece of an answer. */
export type EmitPart = (text: string, type: AnswerPart['type']) => unknown;

export interface ThinkingSplitter {
  /** emits what is certain; text that may be a mark, and white space around thinking, are held back */
  push(text: string): void;
  /** the end of the answer: emits what was held back. Half a mark is dropped. */
  flush(): void;
}

const BEGIN = '<think>';
export const THINK_END = '</think>';
const MARKS = [BEGIN, THINK_END];

/**
 * Thinking stands at the beginning of an answer and ends at the first `</think>`, or never: then there is no answer.
 * Further thinking may follow it directly. Behind the first word of the answer, marks are text. White space around
 * thinking is dropped. The result does not depend on how the text is split into pieces.
 * @param begun the beginning of the answer, which is not emitted; undefined: all is text
 */
export function createThinkingSplitter(emit: EmitPart, begun?: string): ThinkingSplitter {
  let type: AnswerPart['type'] = 'text';
  let thought = false;
  /** no word of this thinking, or of the answer, has come yet */
  let leading = begun !== undefined;
  /** white space that counts only if a word of the same kind follows */
  let blank = '';
  /** may be the beginning of a mark */
  let held = '';
  let muted = true;
  const write = (text: string): void => {
    if (text && !muted) emit(text, type);
  };

  /** @returns what comes behind the next mark, or '' */
  function read(text: string): string {
    if (leading) {
      const word = text.trimStart();
      blank += text.slice(0, text.length - word.length);
      const mark = MARKS.find((each) => word.startsWith(each));
      if (mark) {
        thought = true;
        type = mark === BEGIN ? 'reasoning' : 'text';
        blank = '';
        return word.slice(mark.length);
      }
      if (MARKS.some((each) => each.startsWith(word))) {
        held = word;
        return '';
      }
      leading = false;
      text = thought ? word : blank + word;
      blank = '';
    }
    if (type === 'text') {
      write(text);
      return '';
    }
    const end = text.indexOf(THINK_END);
    const body = text.slice(0, end < 0 ? text.length - longestPartialMatch(text, [THINK_END]) : end);
    const words = body.trimEnd();
    if (words) {
      write(blank + words);
      blank = '';
    }
    blank += body.slice(words.length);
    if (end < 0) {
      held = text.slice(body.length);
      return '';
    }
    leading = true;
    return text.slice(end);
  }

  const splitter: ThinkingSplitter = {
    push(text) {
      let rest = held + text;
      held = '';
      while (rest) rest = read(rest);
    },
    flush() {
      if (!thought) write(blank + (held.length > 1 ? '' : held));
    },
  };
  splitter.push(begun ?? '');
  muted = false;
  return splitter;
}

/** A whole answer without its thinking. */
export const withoutThinking = (answer: string): string =>
  answer.replace(/^(?:\s*(?:<think>[^]*?(?:<\/think>|$)|<\/think>))+\s*/, '');

/** The mark at the end of a prompt whose template begins the thinking; '' in other prompts. */
export const thinkingBegun = (prompt: string): string => (prompt.trimEnd().endsWith(BEGIN) ? BEGIN : '');
