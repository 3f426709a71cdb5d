/** Prompt tokens in, text out: chunked prefill, decode in windows, and everything that ends a text. A lost device does not end it. */
import { GREEDY_SAMPLING, type ChosenLogprob } from '../backend/sampling';
import { abortError, fail } from '../errors';
import { Meter, type Progress } from '../store/progress';
import { SPOKEN_MARKERS } from '../text/chat';
import { createStopFilter } from '../text/stop';
import type { Tokenizer } from '../text/tokenizer';
import { cut, EMPTY, lengthOf, recut, restore, spanOf, tokensOf, type Journal } from './journal';
import { pause } from './pause';
import type { Place, Seat } from './place';
import type { Request } from './request';
import { commonPrefix } from './reuse';

/** A model in its place, and what is known of its state. Generations on it run one after another. */
export interface Session {
  readonly place: Pick<Place, 'run' | 'cause'>;
  readonly tokenizer: Tokenizer;
  readonly vocabSize: number;
  /** tokens that end a text */
  readonly eosIds: readonly number[];
  /** what the runner has read, or is to read again before anything else; empty when that is unknown */
  journal: Journal;
  /** progress, for the page */
  tell(progress: Progress): unknown;
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
  /** of each token, in order, where they were asked for */
  logprobs?: ChosenLogprob[];
}

/** What is under way when a stop is met has to run out: all of it together may take this long. */
const STOP_MS = 50;
/** Most tokens of an answer that are under way at a time when it is read again: an abort waits for them. */
const REPEATS = 8;

/** After these the state is known. */
const HARMLESS = ['AbortError', 'ContextError', 'RequestError'];

/**
 * When the device is lost on the way, the state is made again on another and the text goes on where it was: the same text, where the new
 * backend computes the same numbers, as a device of the same kind does.
 * @param emit gets the text in pieces, whole characters each, as soon as they are certain
 * @throws ContextError before any work when the prompt leaves no room for an answer; RequestError; DeviceError; MemoryError. An abort is no
 * error: the generation ends with `finish: 'abort'` and what there was.
 */
export async function generate(
  session: Session,
  prompt: readonly number[],
  request: Request,
  emit: (text: string) => void,
  signal?: AbortSignal,
  called = performance.now(),
): Promise<Generation> {
  const start = performance.now();
  const speech = createSpeech(session, request, emit);
  let reused: number | undefined;

  async function speak(seat: Seat): Promise<void> {
    check(session, seat, prompt);
    const limit = Math.min(request.maxTokens, seat.contextLength - prompt.length);
    if (speech.ids.length >= limit) return void (speech.finish = 'length'); // another backend, a shorter context
    // at least one token is left to read: its logits are needed
    if (reused === undefined) session.journal = request.reuse ? cut(session.journal, commonPrefix(tokensOf(session.journal), prompt.slice(0, -1))) : EMPTY;
    const meter = new Meter('replay', lengthOf(session.journal) + speech.ids.length, session.tell);
    await resume(session, seat, meter, signal);
    reused ??= lengthOf(session.journal);
    await prefill(session, seat, prompt, signal);
    await repeat(session, seat, speech.ids, meter, signal);
    if (session.place.cause) await session.tell({ phase: 'ready', bytes: 0, total: 0, rate: 0 });
    await decode(seat, limit, request, speech, signal);
    const answer = [...speech.ids, ...speech.beyond].map((id) => spanOf([id]));
    session.journal = cut({ ...session.journal, spans: [...session.journal.spans, ...answer] }, seat.runner.position);
  }

  try {
    await session.place.run(speak, signal);
  } catch (error) {
    const { name } = error as Error;
    if (!HARMLESS.includes(name)) session.journal = EMPTY;
    if (name !== 'AbortError') throw error;
  }

  const { text, finish, ids, told, firstAt, lastAt } = speech.end();
  const decodeMs = lastAt - firstAt;
  return {
    text,
    finish,
    promptTokens: prompt.length,
    reusedTokens: reused ?? 0,
    tokens: ids.length,
    seed: request.sampling.seed,
    prefillMs: firstAt - start,
    decodeMs,
    firstTokenMs: firstAt - called,
    tokensPerSecond: decodeMs > 0 ? ((ids.length - 1) * 1000) / decodeMs : 0,
    ...(request.logprobs !== undefined && { logprobs: told }),
  };
}

/** @throws ContextError, RequestError */
export function check({ vocabSize }: Session, { contextLength }: Seat, prompt: readonly number[]): void {
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

/** Brings the runner to where the journal ends. */
async function resume(session: Session, { runner, backend, pace }: Seat, meter: Meter, signal?: AbortSignal): Promise<void> {
  session.journal = recut(session.journal, backend.info.name, pace.chunk);
  session.journal = await restore(runner, session.journal, (tokens) => meter.at(tokens), signal);
}

/** Reads what of the prompt is not in the state yet. */
export async function prefill(session: Session, { runner, pace }: Seat, prompt: readonly number[], signal?: AbortSignal): Promise<void> {
  for (let at = lengthOf(session.journal); at < prompt.length; at += pace.chunk) {
    if (signal?.aborted) throw abortError();
    const span = spanOf(prompt.slice(at, at + pace.chunk));
    await runner.prefill(Uint32Array.from(span.ids));
    session.journal = { ...session.journal, spans: [...session.journal.spans, span] };
    await pause();
  }
  if (signal?.aborted) throw abortError();
}

/** Has the runner choose the tokens of an answer once more, whatever it would choose: they are output, as the penalties count. */
async function repeat({ vocabSize }: Session, { runner, pace }: Seat, ids: readonly number[], meter: Meter, signal?: AbortSignal): Promise<void> {
  const only = (id: number): Promise<Uint32Array> => {
    const mask = new Uint32Array(Math.ceil(vocabSize / 32));
    mask[id >>> 5] = 1 << (id & 31);
    return runner.decode(1, { ...GREEDY_SAMPLING, mask });
  };
  const batch = Math.min(pace.longest, REPEATS);
  const before = runner.position;
  for (let at = 0; at < ids.length; at += batch) {
    const wanted = ids.slice(at, at + batch);
    const got = await Promise.all(wanted.map(only));
    if (got.some(([id], i) => id !== wanted[i])) fail('DeviceError', { what: 'The device does not say what it is told', got: got.join(), wanted: wanted.join() });
    meter.at(before + at + wanted.length);
    await pause();
    if (signal?.aborted) throw abortError();
  }
}

/** What an answer has come to: it outlives the device that it began on. */
interface Speech {
  text: string;
  finish?: Generation['finish'];
  /** tokens chosen, up to the end */
  ids: number[];
  /** what the model says of them, where that was asked for */
  told: ChosenLogprob[];
  /** those that the runner chose after it */
  beyond: number[];
  /** when the first and the last token came; 0 before */
  firstAt: number;
  lastAt: number;
  /** Takes the next token, which is the end where `limit` tokens are reached. */
  hear(id: number, limit: number): void;
  /** No more tokens come: what was held back is said. */
  end(): Speech & { finish: Generation['finish'] };
}

function createSpeech({ tokenizer, eosIds }: Session, { stop }: Request, emit: (text: string) => void): Speech {
  const detokenizer = tokenizer.stream({ skipSpecial: true, keep: SPOKEN_MARKERS });
  const filter = createStopFilter(stop);
  const say = (piece: string): void => {
    speech.text += piece;
    if (piece) emit(piece);
  };
  const speech: Speech = {
    text: '',
    ids: [],
    told: [],
    beyond: [],
    firstAt: 0,
    lastAt: 0,
    hear(id, limit) {
      speech.ids.push(id);
      if (eosIds.includes(id)) speech.finish = 'stop';
      else say(filter.push(detokenizer.push(id)));
      if (filter.stopped !== undefined) speech.finish = 'stop';
      else if (speech.ids.length >= limit) speech.finish ??= 'length';
    },
    end() {
      const finish = (speech.finish ??= 'abort');
      say(filter.push(finish === 'abort' ? '' : detokenizer.flush()));
      say(filter.flush());
      if (!speech.firstAt) speech.firstAt = speech.lastAt = performance.now();
      return { ...speech, finish };
    },
  };
  return speech;
}

/** Goes on with an answer to its end. */
async function decode({ runner, pace }: Seat, limit: number, request: Request, speech: Speech, signal?: AbortSignal): Promise<void> {
  const { windows, longest } = request.logprobs === undefined ? pace : { windows: 1, longest: 1 };
  const underWay: Promise<Uint32Array>[] = [];
  let asked = speech.ids.length;
  let steps = 1;
  let depth = 1;
  try {
    while (!speech.finish) {
      while (underWay.length < depth && asked < limit) {
        const window = runner.decode(Math.min(steps, limit - asked), request.sampling);
        window.catch(() => undefined); // it is awaited later, perhaps after another has failed
        asked += Math.min(steps, limit - asked);
        underWay.push(window);
      }
      const ids = await underWay.shift()!;
      if (request.logprobs !== undefined) speech.told.push(await runner.logprobs(ids[0], request.logprobs));
      const now = performance.now();
      for (const id of ids) {
        if (speech.finish) speech.beyond.push(id);
        else speech.hear(id, limit);
      }
      if (speech.firstAt) {
        const fitting = Math.floor(STOP_MS / windows / ((now - speech.lastAt) / ids.length));
        steps = Math.max(1, Math.min(fitting, 2 * steps, longest));
        depth = fitting ? windows : 1; // on a slow device nothing is won by a second one
      } else speech.firstAt = now;
      speech.lastAt = now;
      await pause();
      if (signal?.aborted) speech.finish ??= 'abort';
    }
  } finally {
    // the calls after the end still change the state: nothing may begin before they are through
    for (const window of await Promise.allSettled(underWay)) if (speech.finish && window.status === 'fulfilled') speech.beyond.push(...window.value);
  }
}
