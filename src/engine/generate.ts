/**
 * Prompt tokens in, text out: prefill in batches, decode calls of several steps, and everything that ends a text. The
 * text survives a lost device.
 */
import type { State } from '../backend/backend';
import { GREEDY_SAMPLING, type ChosenLogprob } from '../backend/sampling';
import { abortError, fail } from '../errors';
import { ProgressMeter, type Progress } from '../store/progress';
import { createRepetitionDetector } from '../text/repetition';
import { createStopFilter } from '../text/stop_strings';
import { createThinkingSplitter, type EmitPart } from '../text/thinking';
import type { Tokenizer } from '../text/tokenizer';
import type { SchemaReport } from './constraints';
import type { Conversation, Conversations, PromptStart, SavedConversations } from './conversations';
import { yieldToEventLoop } from './event_loop';
import type { ResolvedGenerateOptions } from './generate_options';
import { checkPrompt } from './prompt_length';
import type { ModelOnBackend, RecoverableModel, Turn } from './recovery';
import {
  appendToHistory,
  EMPTY_HISTORY,
  historyCall,
  historyLength,
  rebatchHistory,
  syncStateToHistory,
  truncateHistory,
} from './token_history';

/** A model and what it has read. Generations take turns. */
export interface GenerationSession {
  readonly recoverable: Pick<RecoverableModel, 'run' | 'reloadReason' | 'current'>;
  readonly tokenizer: Tokenizer;
  readonly vocabSize: number;
  /** tokens that end a text */
  readonly eosIds: readonly number[];
  /** special tokens that are part of the text */
  readonly answerMarkers: readonly string[];
  readonly conversations: Conversations;
  readonly saved?: SavedConversations | undefined;
  /** reports to the page */
  onProgress(progress: Progress): unknown;
}

export interface GenerationResult {
  text: string;
  /** what the model thought before its answer, without the marks. Only `chat` separates it from the text */
  reasoning?: string;
  /**
   * `stop`: an end token or a stop string; `length`: maxTokens or the end of the context; `repetition`: it said one
   * thing over and over, and `stopRepetition` was set
   */
  finish: 'stop' | 'length' | 'abort' | 'repetition';
  promptTokens: number;
  /** tokens of the prompt that were still in the state */
  reusedTokens: number;
  /** messages that `overflow` of chat() left out, because the conversation is longer than the context */
  dropped?: number;
  /** number of chosen tokens, including the one that ended the text */
  tokens: number;
  seed: number;
  /** time to read the prompt, up to the first token */
  prefillMs: number;
  /** from the first token to the last */
  decodeMs: number;
  /** from the call to the first token */
  firstTokenMs: number;
  /** speed after the first token */
  tokensPerSecond: number;
  /** one for each token, in order, if the call asked for them */
  logprobs?: ChosenLogprob[];
  /** of an answer that `strict: false` holds to a schema */
  schemaReport?: SchemaReport;
}

/** Draws tokens as State.decode does; one call at a time may give more than `steps`. */
export type Drawing = Pick<State, 'decode'>;

let speculate: ((state: State) => Drawing | undefined) | undefined;
/** The side file `speculation` has it. */
export const registerSpeculation = (given: typeof speculate): void => void (speculate = given);

/** When a text ends, decode calls in flight still have to finish. Together they may take this long. */
const MAX_OVERRUN_MS = 50;
/** Tokens in flight while an answer is replayed: an abort waits for them. */
const MAX_FORCED_TOKENS = 8;

/** After these errors it is known what the state has read. */
const KEEPS_HISTORY = ['AbortError', 'ContextError', 'RequestError'];

/**
 * If the device is lost, the state is restored on another one and the text continues. It is the same text if the new
 * backend computes the same numbers, as a device of the same kind does.
 * @param emit gets text and reasoning in pieces of whole characters, as soon as they are certain
 * @param calledAt when the page made the call, as performance.now()
 * @throws ContextError before any work if the prompt leaves no room for an answer; RequestError; DeviceError;
 * MemoryError. An abort is not an error: the generation ends with `finish: 'abort'` and the text so far.
 */
export async function generate(
  session: GenerationSession,
  prompt: readonly number[],
  request: ResolvedGenerateOptions,
  emit: EmitPart,
  signal?: AbortSignal,
  calledAt = performance.now(),
): Promise<GenerationResult> {
  const startedAt = performance.now();
  const { conversations, recoverable } = session;
  const answer = createAnswer(session, request, emit);
  let conversation: Conversation | undefined;
  let reusedTokens: number | undefined;

  async function run(model: ModelOnBackend, turn: Turn): Promise<void> {
    const start = conversation ? undefined : await findStart(session, model, prompt, request);
    prompt = start?.prompt ?? prompt;
    checkPrompt(session, model, prompt);
    const limit = Math.min(request.maxTokens, model.contextLength - prompt.length);
    // the new backend may have a shorter context
    if (answer.ids.length >= limit) return void (answer.finish = 'length');
    conversation ??= await conversations.open(start!);
    const state = await stateOf(conversation, model);
    const reading: Reading = { conversation, state, model, turn, signal };
    // a state that lacked memory is where it was
    if (answer.ids.length === 0 || state.position !== prompt.length + answer.ids.length - 1) {
      const meter = new ProgressMeter(
        'replay',
        historyLength(conversation.history) + answer.ids.length,
        session.onProgress,
      );
      await restoreHistory(reading, meter);
      reusedTokens ??= historyLength(conversation.history);
      await prefill(reading, prompt);
      await forceTokens(reading, session.vocabSize, answer.ids, meter);
      if (recoverable.reloadReason) await session.onProgress({ phase: 'ready', bytes: 0, total: 0, rate: 0 });
    }
    await decode(reading, limit, request, answer);
    finishReading(reading, prompt.length, answer.ids);
    if (!signal?.aborted) conversations.trim(model.program);
  }

  try {
    await recoverable.run(run, signal, () => conversation?.state?.position ?? 0);
  } catch (error) {
    const { name } = error as Error;
    if (conversation && !KEEPS_HISTORY.includes(name)) conversation.history = EMPTY_HISTORY;
    if (name !== 'AbortError') throw error;
  } finally {
    if (conversation) conversation.inUse = false;
  }

  const finish = answer.close();
  const { text, reasoning, ids, logprobs, firstTokenAt, lastTokenAt } = answer;
  const decodeMs = lastTokenAt - firstTokenAt;
  return {
    text,
    ...(reasoning && { reasoning }),
    finish,
    promptTokens: prompt.length,
    reusedTokens: reusedTokens ?? 0,
    tokens: ids.length,
    seed: request.sampling.seed,
    prefillMs: firstTokenAt - startedAt,
    decodeMs,
    firstTokenMs: firstTokenAt - calledAt,
    tokensPerSecond: decodeMs > 0 ? ((ids.length - 1) * 1000) / decodeMs : 0,
    ...(request.logprobs !== undefined && { logprobs }),
  };
}

/** The conversation of which a prompt keeps most: in memory, or saved. @throws MemoryError, DeviceError */
async function findStart(
  { conversations, saved, tokenizer }: GenerationSession,
  model: ModelOnBackend,
  prompt: readonly number[],
  { reuse, align }: ResolvedGenerateOptions,
): Promise<PromptStart> {
  const aligning = align ? tokenizer : undefined;
  const found = conversations.find(model.program, prompt, reuse, aligning);
  const restored = reuse && (await saved?.restore(model, prompt, found.kept, aligning));
  if (restored) conversations.add(restored.conversation!);
  return restored || found;
}

/** A conversation on the device, in the turn of its call. */
export interface Reading {
  conversation: Conversation;
  state: State;
  model: ModelOnBackend;
  turn: Turn;
  signal?: AbortSignal;
}

/** The state of a conversation on this program: the one that it has, or an empty one. @throws MemoryError */
export async function stateOf(conversation: Conversation, model: ModelOnBackend): Promise<State> {
  if (conversation.state?.program !== model.program) {
    conversation.state = model.unusedState ?? (await model.program.newState());
    model.unusedState = undefined;
  }
  return conversation.state;
}

/** Brings the state to the end of the conversation's history. */
export async function restoreHistory(
  { conversation, state, model, turn, signal }: Reading,
  meter?: ProgressMeter,
): Promise<void> {
  const history = rebatchHistory(conversation.history, model.backend.info.name, model.batchSizes.prefillBatch);
  conversation.history = history;
  conversation.history = await syncStateToHistory(
    state,
    history,
    async (tokens) => {
      meter?.update(tokens);
      await turn.pass();
    },
    signal,
  );
}

/**
 * Reads the tokens of the prompt that are not in the state yet. It marks where the last batch begins, for the same
 * prompt again, and where the prompt ends, for another answer.
 */
export async function prefill({ conversation, state, model, turn, signal }: Reading, prompt: readonly number[]) {
  const batch = model.batchSizes.prefillBatch;
  for (let at = historyLength(conversation.history); at < prompt.length; at += batch) {
    if (signal?.aborted) throw abortError();
    if (at + batch >= prompt.length) state.mark();
    const call = historyCall(prompt.slice(at, at + batch));
    await state.prefill(Uint32Array.from(call.ids), { signal, pass: () => turn.pass() });
    conversation.history = appendToHistory(conversation.history, [call]);
    if (at + batch >= prompt.length) state.mark();
    await turn.pass();
  }
  if (signal?.aborted) throw abortError();
}

/** Adds what was read of the answer to the history. What was read behind its end is taken back. */
function finishReading({ conversation, state, signal }: Reading, promptLength: number, ids: readonly number[]): void {
  const end = Math.min(state.position, promptLength + ids.length);
  const read = ids.map((id) => historyCall([id]));
  conversation.history = truncateHistory(appendToHistory(conversation.history, read), end);
  if (signal?.aborted) return; // another call may have the device
  if (state.position > end) state.rewind(end);
  state.mark();
}

/**
 * Makes the state choose the tokens of an answer again, with masks that allow one token each: penalties count chosen
 * tokens as output.
 */
async function forceTokens(
  { state, model: { batchSizes }, turn, signal }: Reading,
  vocabSize: number,
  ids: readonly number[],
  meter: ProgressMeter,
): Promise<void> {
  const force = (id: number): Promise<Uint32Array> => {
    const mask = new Uint32Array(Math.ceil(vocabSize / 32));
    mask[id >>> 5] = 1 << (id & 31);
    return state.decode(1, { ...GREEDY_SAMPLING, mask });
  };
  const batch = Math.min(batchSizes.decodeSteps, MAX_FORCED_TOKENS);
  const before = state.position;
  for (let at = 0; at < ids.length; at += batch) {
    const wanted = ids.slice(at, at + batch);
    const got = await Promise.all(wanted.map(force));
    if (got.some(([id], i) => id !== wanted[i]))
      fail('DeviceError', {
        what: 'The device chose tokens that the mask excludes',
        got: got.join(),
        wanted: wanted.join(),
      });
    meter.update(before + at + wanted.length);
    await turn.pass();
    if (signal?.aborted) throw abortError();
  }
}

/** The answer so far. It survives the device that it began on. */
interface Answer {
  text: string;
  reasoning: string;
  finish?: GenerationResult['finish'];
  /** chosen tokens, up to the end of the text */
  ids: number[];
  /** one for each token, if the call asked for them */
  logprobs: ChosenLogprob[];
  /** when the first and the last token came; 0 before */
  firstTokenAt: number;
  lastTokenAt: number;
  /** Adds a token. The text ends at `limit` tokens. */
  push(id: number, limit: number): void;
  /** Emits the text that was held back. No token may follow. */
  close(): GenerationResult['finish'];
}

function createAnswer(
  { tokenizer, eosIds, answerMarkers }: GenerationSession,
  { stop, begun, stopRepetition }: ResolvedGenerateOptions,
  emit: EmitPart,
): Answer {
  const detokenizer = tokenizer.stream({ skipSpecial: true, keep: answerMarkers });
  const filter = createStopFilter(stop);
  const append: EmitPart = (piece, type) => {
    answer[type] += piece;
    if (piece) emit(piece, type);
  };
  // stop strings count in the text only
  const splitter = createThinkingSplitter(
    (piece, type) => append(type === 'text' ? filter.push(piece) : piece, type),
    begun,
  );
  const repeats = createRepetitionDetector();
  const answer: Answer = {
    text: '',
    reasoning: '',
    ids: [],
    logprobs: [],
    firstTokenAt: 0,
    lastTokenAt: 0,
    push(id, limit) {
      answer.ids.push(id);
      if (eosIds.includes(id)) answer.finish = 'stop';
      else splitter.push(detokenizer.push(id));
      if (filter.stopped !== undefined) answer.finish = 'stop';
      else if (answer.ids.length >= limit) answer.finish ??= 'length';
      if (stopRepetition && repeats(id)) answer.finish ??= 'repetition';
    },
    close() {
      const finish = (answer.finish ??= 'abort');
      if (finish !== 'abort') splitter.push(detokenizer.flush());
      splitter.flush();
      append(filter.flush(), 'text');
      if (!answer.firstTokenAt) answer.firstTokenAt = answer.lastTokenAt = performance.now();
      return finish;
    },
  };
  return answer;
}

/**
 * Decodes until the answer ends. The number of steps in flight follows the speed of the device. While another call
 * waits, they take turns, one decode call each.
 */
async function decode(
  { state, model: { batchSizes }, turn, signal }: Reading,
  limit: number,
  request: ResolvedGenerateOptions,
  answer: Answer,
): Promise<void> {
  const { constraint, logprobs } = request;
  const free = logprobs === undefined && !constraint;
  const { decodesInFlight, decodeSteps } = free ? batchSizes : { decodesInFlight: 1, decodeSteps: 1 };
  const drawing = (free && speculate?.(state)) || state;
  const inFlight: Promise<Uint32Array>[] = [];
  let requested = answer.ids.length;
  let steps = 1;
  let depth = 1;
  let since = 0;
  try {
    while (!answer.finish) {
      while (inFlight.length < (turn.wanted ? 1 : depth) && requested < limit) {
        const sampling = constraint ? { ...request.sampling, mask: constraint.mask() } : request.sampling;
        const call = drawing.decode(Math.min(steps, limit - requested), sampling);
        call.catch(() => undefined); // it is awaited later; an earlier call may fail before that
        requested += Math.min(steps, limit - requested);
        inFlight.push(call);
      }
      const ids = await inFlight.shift()!;
      if (logprobs !== undefined) answer.logprobs.push(await state.logprobs(ids[0], logprobs));
      const now = performance.now();
      for (const id of ids) if (!answer.finish) answer.push(id, limit);
      requested = Math.max(requested, answer.ids.length);
      if (!answer.finish) constraint?.accept(ids[0]);
      if (answer.firstTokenAt) {
        const fitting = Math.floor(
          MAX_OVERRUN_MS / decodesInFlight / ((now - Math.max(since, answer.lastTokenAt)) / ids.length),
        );
        steps = Math.max(1, Math.min(fitting, 2 * steps, decodeSteps));
        depth = fitting ? decodesInFlight : 1; // on a slow device a second call gains nothing
      } else answer.firstTokenAt = now;
      answer.lastTokenAt = now;
      if (inFlight.length || answer.finish) await yieldToEventLoop();
      else if (await turn.pass()) since = performance.now();
      if (signal?.aborted) answer.finish ??= 'abort';
    }
  } finally {
    // calls in flight still change the state, so whoever comes next must wait for them
    await Promise.allSettled(inFlight);
  }
}
