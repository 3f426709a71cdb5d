/** Prompt tokens in, text out: chunked prefill, decode in windows, and everything that ends a text. */
import type { Runner } from '../backend/backend';
import { fail } from '../errors';
import { SPOKEN_MARKERS } from '../text/chat';
import { createStopFilter } from '../text/stop';
import type { Tokenizer } from '../text/tokenizer';
import { pause } from './pause';
import type { Request } from './request';
import { commonPrefix } from './reuse';

/** A runner and what is known of its state. Generations on it run one after another. */
export interface Session {
  readonly runner: Runner;
  readonly tokenizer: Tokenizer;
  readonly contextLength: number;
  readonly vocabSize: number;
  /** tokens that end a text */
  readonly eosIds: readonly number[];
  readonly pace: Pace;
  /** the tokens the runner has read, by position; empty when that is unknown */
  read: number[];
}

export interface Pace {
  /** tokens of one prefill call; fixed, because the cut of a prompt shows in the rounding */
  chunk: number;
  /** decode calls under way at a time */
  windows: number;
  /** decode steps of one call, at most */
  longest: number;
}

export interface Generation {
  text: string;
  /** `stop`: an end token or a stop string; `length`: maxTokens or the end of the context */
  finish: 'stop' | 'length' | 'abort';
  promptTokens: number;
  /** of them, those that were still in the state */
  reusedTokens: number;
  /** tokens chosen, with the one that ended the text */
  tokens: number;
  seed: number;
  /** of reading the prompt, to the first token */
  prefillMs: number;
  /** from the first token to the last */
  decodeMs: number;
  /** from the call to the first token */
  firstTokenMs: number;
  /** of the tokens after the first */
  tokensPerSecond: number;
}

/** What is under way when a stop is met has to run out: all of it together may take this long. */
const STOP_MS = 50;

/**
 * @param emit gets the text in pieces, whole characters each, as soon as they are certain
 * @throws ContextError before any work when the prompt leaves no room for an answer; RequestError; DeviceError. An abort is no error: the
 * generation ends with `finish: 'abort'` and what there was.
 */
export async function generate(
  session: Session,
  prompt: readonly number[],
  request: Request,
  emit: (text: string) => void,
  signal?: AbortSignal,
  called = performance.now(),
): Promise<Generation> {
  check(session, prompt);
  const start = performance.now();
  const reusedTokens = recall(session, request.reuse ? prompt : []);
  session.read = []; // unknown, should anything fail on the way
  await prefill(session, prompt, reusedTokens, signal);
  const said = signal?.aborted ? nothing(performance.now()) : await decode(session, prompt, request, emit, signal);
  session.read = [...prompt, ...said.chosen].slice(0, session.runner.position);

  const { text, finish, tokens, firstAt, lastAt } = said;
  const decodeMs = lastAt - firstAt;
  return {
    text,
    finish,
    promptTokens: prompt.length,
    reusedTokens,
    tokens,
    seed: request.sampling.seed,
    prefillMs: firstAt - start,
    decodeMs,
    firstTokenMs: firstAt - called,
    tokensPerSecond: decodeMs > 0 ? ((tokens - 1) * 1000) / decodeMs : 0,
  };
}

/** @throws ContextError, RequestError */
export function check({ contextLength, vocabSize }: Session, prompt: readonly number[]): void {
  if (prompt.length === 0) fail('RequestError', { what: 'The prompt is empty', wanted: 'at least one token' });
  if (prompt.length >= contextLength)
    fail('ContextError', {
      what: 'The prompt does not fit into the context with room for an answer',
      got: `${prompt.length} tokens`,
      wanted: `fewer than ${contextLength}`,
      cure: 'Shorten it, or load the model with a larger contextLength.',
    });
  const wrong = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong !== undefined) fail('RequestError', { what: 'The model does not know a token of the prompt', got: wrong, wanted: `0 to ${vocabSize - 1}` });
}

/** Takes the runner back to where its state and the prompt part, or to 0. At least one token is left to read: its logits are needed. */
function recall({ runner, read }: Session, prompt: readonly number[]): number {
  const common = commonPrefix(read, prompt.slice(0, -1));
  if (common === runner.position || runner.rewind(common)) return common;
  runner.rewind(0);
  return 0;
}

/** Reads the prompt from position `from` on; ends early when aborted. */
export async function prefill({ runner, pace }: Session, prompt: readonly number[], from: number, signal?: AbortSignal): Promise<void> {
  for (let at = from; at < prompt.length; at += pace.chunk) {
    if (at > from) await pause();
    if (signal?.aborted) return;
    await runner.prefill(Uint32Array.from(prompt.slice(at, at + pace.chunk)));
  }
  await pause();
}

interface Said {
  text: string;
  finish: Generation['finish'];
  /** every token the runner chose, also those after the end */
  chosen: number[];
  tokens: number;
  /** when the first and the last token came */
  firstAt: number;
  lastAt: number;
}

const nothing = (at: number): Said => ({ text: '', finish: 'abort', chosen: [], tokens: 0, firstAt: at, lastAt: at });

async function decode(
  session: Session,
  prompt: readonly number[],
  request: Request,
  emit: (text: string) => void,
  signal?: AbortSignal,
): Promise<Said> {
  const { runner, tokenizer, eosIds, contextLength } = session;
  const { windows, longest } = session.pace;
  const limit = Math.min(request.maxTokens, contextLength - prompt.length);
  const detokenizer = tokenizer.stream({ skipSpecial: true, keep: SPOKEN_MARKERS });
  const filter = createStopFilter(request.stop);
  const said = nothing(0);
  const say = (piece: string): void => {
    said.text += piece;
    if (piece) emit(piece);
  };

  const underWay: Promise<Uint32Array>[] = [];
  let asked = 0;
  let steps = 1;
  let depth = 1;
  let finish: Generation['finish'] | undefined;
  try {
    while (!finish) {
      while (underWay.length < depth && asked < limit) {
        const window = runner.decode(Math.min(steps, limit - asked), request.sampling);
        window.catch(() => undefined); // it is awaited later, perhaps after another has failed
        asked += Math.min(steps, limit - asked);
        underWay.push(window);
      }
      const ids = await underWay.shift()!;
      const now = performance.now();
      said.chosen.push(...ids);
      for (const id of ids) {
        said.tokens++;
        if (eosIds.includes(id)) finish = 'stop';
        else say(filter.push(detokenizer.push(id)));
        if (filter.stopped !== undefined) finish = 'stop';
        else if (said.tokens === limit) finish ??= 'length';
        if (finish) break;
      }
      if (said.firstAt) {
        const fitting = Math.floor(STOP_MS / windows / ((now - said.lastAt) / ids.length));
        steps = Math.max(1, Math.min(fitting, 2 * steps, longest));
        depth = fitting ? windows : 1; // on a slow device nothing is won by a second one
      } else said.firstAt = now;
      said.lastAt = now;
      await pause();
      if (signal?.aborted) finish ??= 'abort';
    }
  } finally {
    // the calls after the end still change the state: nothing may begin before they are through
    for (const window of await Promise.allSettled(underWay)) if (window.status === 'fulfilled') said.chosen.push(...window.value);
  }
  say(filter.push(finish === 'abort' ? '' : detokenizer.flush()));
  say(filter.flush());
  return { ...said, finish };
}
