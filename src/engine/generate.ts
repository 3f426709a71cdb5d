/**
 * Prompt tokens in, text out: prefill in batches, decode calls of several steps, and everything that ends a text. The
 * text survives a lost device.
 */
import { GREEDY_SAMPLING, type ChosenLogprob } from '../backend/sampling';
import { abortError, fail } from '../errors';
import { ProgressMeter, type Progress } from '../store/progress';
import { createStopFilter } from '../text/stop_strings';
import { createThinkingSplitter, type EmitPart } from '../text/thinking';
import type { Tokenizer } from '../text/tokenizer';
import { yieldToEventLoop } from './event_loop';
import type { ResolvedGenerateOptions } from './generate_options';
import { commonPrefixLength } from './prompt_reuse';
import type { ModelOnBackend, RecoverableModel } from './recovery';
import {
  appendToHistory,
  EMPTY_HISTORY,
  historyCall,
  historyLength,
  historyTokens,
  rebatchHistory,
  syncRunnerToHistory,
  truncateHistory,
  type TokenHistory,
} from './token_history';

/** A model and the tokens that it has read. Generations run one after another. */
export interface GenerationSession {
  readonly recoverable: Pick<RecoverableModel, 'run' | 'reloadReason'>;
  readonly tokenizer: Tokenizer;
  readonly vocabSize: number;
  /** tokens that end a text */
  readonly eosIds: readonly number[];
  /** special tokens that are part of the text */
  readonly answerMarkers: readonly string[];
  /** what the runner has read; after a reload it reads this again first. Empty if the state is unknown */
  history: TokenHistory;
  /** reports to the page */
  onProgress(progress: Progress): unknown;
}

export interface GenerationResult {
  text: string;
  /**
   * what the model thought before its answer, without the marks; absent if it did not think. Only `chat` separates it
   * from the text
   */
  reasoning?: string;
  /** `stop`: an end token or a stop string; `length`: maxTokens or the end of the context */
  finish: 'stop' | 'length' | 'abort';
  promptTokens: number;
  /** tokens of the prompt that were still in the state */
  reusedTokens: number;
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
}

/** When a text ends, decode calls in flight still have to finish. Together they may take this long. */
const MAX_OVERRUN_MS = 50;
/** Tokens in flight while an answer is replayed: an abort waits for them. */
const MAX_FORCED_TOKENS = 8;

/** After these errors the state of the runner is known. */
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
  const answer = createAnswer(session, request, emit);
  let reusedTokens: number | undefined;

  async function run(model: ModelOnBackend): Promise<void> {
    checkPrompt(session, model, prompt);
    const limit = Math.min(request.maxTokens, model.contextLength - prompt.length);
    // the new backend may have a shorter context
    if (answer.ids.length >= limit) return void (answer.finish = 'length');
    // the last prompt token is always read: its logits are needed
    if (reusedTokens === undefined)
      session.history = request.reuse
        ? truncateHistory(session.history, commonPrefixLength(historyTokens(session.history), prompt.slice(0, -1)))
        : EMPTY_HISTORY;
    const meter = new ProgressMeter('replay', historyLength(session.history) + answer.ids.length, session.onProgress);
    await restoreState(session, model, meter, signal);
    reusedTokens ??= historyLength(session.history);
    await prefill(session, model, prompt, signal);
    await forceTokens(session, model, answer.ids, meter, signal);
    if (session.recoverable.reloadReason) await session.onProgress({ phase: 'ready', bytes: 0, total: 0, rate: 0 });
    await decode(model, limit, request, answer, signal);
    const read = appendToHistory(
      session.history,
      [...answer.ids, ...answer.overrun].map((id) => historyCall([id])),
    );
    session.history = truncateHistory(read, model.runner.position);
  }

  try {
    await session.recoverable.run(run, signal);
  } catch (error) {
    const { name } = error as Error;
    if (!KEEPS_HISTORY.includes(name)) session.history = EMPTY_HISTORY;
    if (name !== 'AbortError') throw error;
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

/** @throws ContextError, RequestError */
export function checkPrompt(
  { vocabSize }: GenerationSession,
  { contextLength }: ModelOnBackend,
  prompt: readonly number[],
): void {
  if (prompt.length === 0) fail('RequestError', { what: 'The prompt is empty', wanted: 'at least one token' });
  if (prompt.length >= contextLength)
    fail('ContextError', {
      what: 'The prompt is too long for the context',
      got: `${prompt.length} tokens`,
      wanted: `fewer than ${contextLength}`,
      cure: 'Shorten the prompt, or load the model with a larger contextLength.',
    });
  const wrong = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong !== undefined)
    fail('RequestError', { what: 'The prompt has an unknown token id', got: wrong, wanted: `0 to ${vocabSize - 1}` });
}

/** Brings the runner to the end of the session's history. */
async function restoreState(
  session: GenerationSession,
  { runner, backend, batchSizes }: ModelOnBackend,
  meter: ProgressMeter,
  signal?: AbortSignal,
): Promise<void> {
  session.history = rebatchHistory(session.history, backend.info.name, batchSizes.prefillBatch);
  session.history = await syncRunnerToHistory(runner, session.history, (tokens) => meter.update(tokens), signal);
}

/** Reads the tokens of the prompt that are not in the state yet. */
export async function prefill(
  session: GenerationSession,
  { runner, batchSizes }: ModelOnBackend,
  prompt: readonly number[],
  signal?: AbortSignal,
): Promise<void> {
  for (let at = historyLength(session.history); at < prompt.length; at += batchSizes.prefillBatch) {
    if (signal?.aborted) throw abortError();
    const call = historyCall(prompt.slice(at, at + batchSizes.prefillBatch));
    await runner.prefill(Uint32Array.from(call.ids));
    session.history = appendToHistory(session.history, [call]);
    await yieldToEventLoop();
  }
  if (signal?.aborted) throw abortError();
}

/**
 * Makes the runner choose the tokens of an answer again, with masks that allow one token each: penalties count chosen
 * tokens as output.
 */
async function forceTokens(
  { vocabSize }: GenerationSession,
  { runner, batchSizes }: ModelOnBackend,
  ids: readonly number[],
  meter: ProgressMeter,
  signal?: AbortSignal,
): Promise<void> {
  const force = (id: number): Promise<Uint32Array> => {
    const mask = new Uint32Array(Math.ceil(vocabSize / 32));
    mask[id >>> 5] = 1 << (id & 31);
    return runner.decode(1, { ...GREEDY_SAMPLING, mask });
  };
  const batch = Math.min(batchSizes.decodeSteps, MAX_FORCED_TOKENS);
  const before = runner.position;
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
    await yieldToEventLoop();
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
  /** ids that the device chose after the text had ended */
  overrun: number[];
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
  { stop, begun }: ResolvedGenerateOptions,
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
  const answer: Answer = {
    text: '',
    reasoning: '',
    ids: [],
    logprobs: [],
    overrun: [],
    firstTokenAt: 0,
    lastTokenAt: 0,
    push(id, limit) {
      answer.ids.push(id);
      if (eosIds.includes(id)) answer.finish = 'stop';
      else splitter.push(detokenizer.push(id));
      if (filter.stopped !== undefined) answer.finish = 'stop';
      else if (answer.ids.length >= limit) answer.finish ??= 'length';
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

/** Decodes until the answer ends. The number of steps in flight follows the speed of the device. */
async function decode(
  { runner, batchSizes }: ModelOnBackend,
  limit: number,
  request: ResolvedGenerateOptions,
  answer: Answer,
  signal?: AbortSignal,
): Promise<void> {
  const { decodesInFlight, decodeSteps } =
    request.logprobs === undefined ? batchSizes : { decodesInFlight: 1, decodeSteps: 1 };
  const inFlight: Promise<Uint32Array>[] = [];
  let requested = answer.ids.length;
  let steps = 1;
  let depth = 1;
  try {
    while (!answer.finish) {
      while (inFlight.length < depth && requested < limit) {
        const call = runner.decode(Math.min(steps, limit - requested), request.sampling);
        call.catch(() => undefined); // it is awaited later; an earlier call may fail before that
        requested += Math.min(steps, limit - requested);
        inFlight.push(call);
      }
      const ids = await inFlight.shift()!;
      if (request.logprobs !== undefined) answer.logprobs.push(await runner.logprobs(ids[0], request.logprobs));
      const now = performance.now();
      for (const id of ids) {
        if (answer.finish) answer.overrun.push(id);
        else answer.push(id, limit);
      }
      if (answer.firstTokenAt) {
        const fitting = Math.floor(MAX_OVERRUN_MS / decodesInFlight / ((now - answer.lastTokenAt) / ids.length));
        steps = Math.max(1, Math.min(fitting, 2 * steps, decodeSteps));
        depth = fitting ? decodesInFlight : 1; // on a slow device a second call gains nothing
      } else answer.firstTokenAt = now;
      answer.lastTokenAt = now;
      await yieldToEventLoop();
      if (signal?.aborted) answer.finish ??= 'abort';
    }
  } finally {
    // calls in flight still change the state, so the next generation must wait for them
    for (const call of await Promise.allSettled(inFlight))
      if (answer.finish && call.status === 'fulfilled') answer.overrun.push(...call.value);
  }
}
