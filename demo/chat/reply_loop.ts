/** A reply with tools: model → calls → results → model, until it answers in words. */
import { visibleWords } from '../../src/element/visible_words';
import { readCalls, type GenerationResult, type Message, type ToolCall } from '../../src/index';
import type { AttachedFile, KeptCall, KeptPicture, OfferReason, Step, Turn } from './history';

export const MOST_ROUNDS = 4;

export interface ReplyParts {
  /** the demo model gets results in a word, and its mistakes are told to the person instead of to it */
  demo: boolean;
  /** definitions of the tools that the model may call */
  tools?: readonly object[];
  /**
   * Writes one answer; `onText` gets text and thinking so far. Resolves also when the generation is stopped.
   * @param continues the last message is a reply to be continued: the text is what comes after it
   */
  generate(
    messages: Message[],
    onText: (text: string, reasoning?: string) => void,
    continues: boolean,
  ): Promise<{ text: string; reasoning?: string; result: GenerationResult }>;
  run(call: ToolCall | undefined): Promise<KeptCall>;
  /** told after each change of the reply */
  onChange(reply: Turn): void;
  signal: AbortSignal;
}

export interface Outcome {
  reply: Turn;
  result: GenerationResult;
  /** what stopped the reply besides the model */
  ended?: 'rounds';
}

/** What a person may see of an answer. */
export const wordsOf = (answer: string, tools?: readonly object[]): string =>
  visibleWords(answer, (text) => readCalls(text, { tools }));

/** An answer as the model wrote it: while it goes on, it reads its thinking again. */
export const written = ({ text, reasoning }: { text: string; reasoning?: string }): string =>
  reasoning ? `<think>${reasoning}${text && '</think>'}${text}` : text;

/** What the model reads of an earlier call. The demo model was trained on one message with all results of a round. */
const results = ({ calls }: Step, demo: boolean): Message[] =>
  demo
    ? [{ role: 'tool', content: calls.map(({ brief }) => brief).join(', ') }]
    : calls.map(({ value, undone }) => ({
        role: 'tool',
        content: JSON.stringify(undone ? { ...value, undone: 'The user has taken this back.' } : value),
      }));

const fileText = ({ name, text, picture }: AttachedFile): string =>
  picture ? `Picture ${name}` : `File ${name}:\n${text}`;

const stepMessages = ({ steps = [] }: Turn, demo: boolean): Message[] =>
  steps.flatMap((step): Message[] => [{ role: 'assistant', content: written(step) }, ...results(step, demo)]);

/**
 * A turn as the model reads it. What the demo model misunderstood is left out: it knows no results that are errors.
 * @param seen the file of a picture, for a model that sees; others read its name
 */
export function turnMessages(
  turn: Turn,
  demo: boolean,
  seen: (picture: KeptPicture) => Blob | undefined = () => undefined,
): Message[] {
  const { role, content: words, offer, files = [] } = turn;
  const images = files.flatMap(({ picture }) => (picture && seen(picture)) ?? []);
  const read = files.filter(({ picture }) => !picture || !seen(picture));
  const text = [...read.map(fileText), words].filter(Boolean).join('\n\n');
  const content = images.length
    ? [...images.map((image) => ({ type: 'image', image })), ...(text ? [{ type: 'text', text }] : [])]
    : text;
  const earlier = demo && offer === 'misunderstood' ? [] : stepMessages(turn, demo);
  return [...earlier, ...(content || !earlier.length ? [{ role, content }] : [])];
}

export const MISUNDERSTOOD = 'The demo model did not understand this request, so nothing was done.';
const NOTHING_DONE = 'Nothing was done.';
const PARTLY_DONE = 'A part of the request was not done.';
/** how the demo model says that it has no answer, in English and German */
const APOLOGY =
  /\b(?:sorry, |no tool|none of my tools|cannot|can['’]t|not able|do(?: not|n['’]t) know|too small)\b|(?<!\p{L})(?:kein werkzeug|weiß ich nicht|zu klein)(?!\p{L})/iu;

/** Nothing came of it, and nothing can come of it later. */
const failed = ({ state, late }: KeptCall): boolean => state === 'refused' || (state === 'failed' && !late);
const numbersIn = (text: string): string[] => text.match(/\d+(?:[.:]\d+)*/g) ?? [];

const withoutSpaces = (text: string): string => text.replace(/\s/g, '');

/**
 * The demo model sometimes copies a figure or its unit wrongly. Words with a number that neither the user nor a result
 * has named are not shown, nor a result without its unit.
 */
function trusted(words: string, { steps = [] }: Turn, asked: string): boolean {
  const calls = steps.flatMap((step) => step.calls);
  const known = new Set(numbersIn([asked, ...calls.map(({ summary, brief }) => `${summary} ${brief}`)].join(' ')));
  const results = calls.filter(({ state }) => state === 'done').map(({ brief }) => brief);
  const named = results.filter((brief) => numbersIn(brief).some((number) => numbersIn(words).includes(number)));
  return (
    numbersIn(words).every((number) => known.has(number)) &&
    named.every((brief) => withoutSpaces(words).includes(withoutSpaces(brief)))
  );
}

/**
 * @param before the messages up to the user's last
 * @param soFar a reply that was stopped, to be continued
 */
export async function replyWithTools(
  before: Message[],
  { demo, tools, generate, run, onChange, signal }: ReplyParts,
  soFar?: Turn,
): Promise<Outcome> {
  const reply: Turn = {
    role: 'assistant',
    content: soFar?.content ?? '',
    ...(soFar?.steps && { steps: [...soFar.steps] }),
  };
  if (soFar?.reasoning) reply.reasoning = soFar.reasoning;
  const think = (reasoning: string): void => {
    if (reasoning) reply.reasoning = reasoning;
    else delete reply.reasoning;
  };
  const finish = (
    result: GenerationResult,
    content: string,
    more: { offer?: OfferReason; ended?: 'rounds' } = {},
  ): Outcome => {
    reply.content = content;
    if (more.offer) reply.offer = more.offer;
    return { reply, result, ...(more.ended && { ended: more.ended }) };
  };
  // The demo model loses track after another subject. Where nothing came of its first try, it is asked once more, with
  // the last request alone.
  const alone = before.filter(({ role }, i) => role === 'system' || i === before.length - 1);
  let again = demo && !soFar && alone.length < before.length;
  let read = before;
  for (let round = 1; ; round++) {
    const start = { text: reply.content, reasoning: reply.reasoning ?? '' };
    const begun = written(start);
    const answer = await generate(
      [...read, ...stepMessages(reply, demo), ...(begun ? [{ role: 'assistant', content: begun }] : [])],
      (more, thoughts = '') => {
        reply.content = wordsOf(start.text + more, tools);
        think(start.reasoning + thoughts);
        onChange(reply);
      },
      begun !== '',
    );
    const { result } = answer;
    const text = start.text + answer.text;
    think(start.reasoning + (answer.reasoning ?? ''));
    const { calls, broken } = readCalls(text, { tools });
    const words = wordsOf(text, tools);
    // a call that was stopped in the middle was not meant
    if (result.finish === 'abort' || signal.aborted) return finish(result, words);
    if (!calls.length && !broken.length) {
      if (again && round === 1 && APOLOGY.test(words)) {
        again = false;
        read = alone;
        reply.content = '';
        think('');
        continue;
      }
      const shown = demo && reply.steps && !trusted(words, reply, String(before.at(-1)?.content ?? '')) ? '' : words;
      return finish(result, shown, { offer: demo && !reply.steps && APOLOGY.test(words) ? 'unanswered' : undefined });
    }

    const step: Step = { text, ...(reply.reasoning && { reasoning: reply.reasoning }), calls: [] };
    reply.steps = [...(reply.steps ?? []), step];
    reply.content = '';
    think('');
    const first = again && round === 1;
    if (!first) onChange(reply);
    for (const call of [...calls, ...broken.map(() => undefined)]) {
      if (signal.aborted) break;
      const ran = await run(call);
      step.calls.push(ran);
      if (!first || !failed(ran)) onChange(reply);
    }
    if (signal.aborted) return finish({ ...result, finish: 'abort' }, '');
    if (first && step.calls.every(failed)) {
      again = false;
      read = alone;
      delete reply.steps;
      continue;
    }
    if (demo && !step.calls.some(({ state }) => state === 'done')) {
      if (reply.steps.length > 1) return finish(result, PARTLY_DONE);
      const understood = step.calls.some(({ state }) => state !== 'refused');
      return understood ? finish(result, NOTHING_DONE) : finish(result, MISUNDERSTOOD, { offer: 'misunderstood' });
    }
    if (round === MOST_ROUNDS) return finish(result, '', { ended: 'rounds' });
  }
}
