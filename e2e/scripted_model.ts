/** A model whose answers are written down, for tests of interfaces: the page's own streams, without an engine. */
import { createTextStream } from '../src/api/text_stream';
import { OPTIONS, readOptions } from '../src/api/options';
import { RivuletError } from '../src/errors';
import type { ChatOptions, GenerateOptions, GenerationResult, Message, ModelInfo } from '../src/index';
import type { OpenAIModel } from '../src/openai/types';
import { createThinkingSplitter } from '../src/text/thinking';

export interface ScriptedCall {
  kind: 'chat' | 'generate';
  messages: readonly Message[];
  prompt?: string | readonly number[];
  options: ChatOptions;
  /** whether it was aborted */
  aborted: boolean;
}

export interface ScriptedModel extends OpenAIModel {
  calls: ScriptedCall[];
  /** it can be held to formats and tools: it takes the options of that, and writes what it writes */
  constrained: boolean;
}

/** What the model writes; an Error ends the answer with it where it stands. */
export type Script = (string | Error)[];

/** Tokens of three characters: markers are split over several. */
const TOKEN = 3;

/**
 * @param scripts one answer after the other; the last again and again. A text, what comes before an error, or a
 * function of the call
 */
export function createScriptedModel(...scripts: (string | Script | ((call: ScriptedCall) => string))[]): ScriptedModel {
  const calls: ScriptedCall[] = [];
  const info = { id: 'scripted', name: 'scripted' } as ModelInfo;

  function run(call: ScriptedCall, given: GenerateOptions & { signal?: AbortSignal }): ReturnType<OpenAIModel['chat']> {
    const { signal } = given;
    const script = scripts[Math.min(calls.length, scripts.length - 1)];
    calls.push(call);
    return createTextStream(async (emit, stop) => {
      const options = readOptions<ChatOptions & { signal?: AbortSignal }>(OPTIONS.chat, given);
      const held = HELD.find((name) => name in options);
      if (held && !model.constrained)
        throw new RivuletError('RequestError', {
          what: `This model cannot be held to ${held}`,
          cure: 'Load it with constraints: true.',
        });
      const answer = typeof script === 'function' ? script(call) : script;
      const pieces = (Array.isArray(answer) ? answer : [answer]).flatMap((part): Script =>
        typeof part === 'string' ? tokensOf(part) : [part],
      );
      const got = { text: '', reasoning: '' };
      const splitter = createThinkingSplitter(
        (text, type) => {
          got[type] += text;
          emit(text, type);
        },
        call.kind === 'chat' ? '' : undefined,
      );
      let tokens = 0;
      let finish: GenerationResult['finish'] = 'stop';
      for (const piece of pieces) {
        await new Promise((go) => setTimeout(go));
        if (stop.aborted) finish = 'abort';
        else if (tokens === options.maxTokens) finish = 'length';
        if (finish !== 'stop') break;
        if (piece instanceof Error) throw piece;
        tokens++;
        splitter.push(piece);
      }
      splitter.flush();
      call.aborted = finish === 'abort';
      return resultOf(got, finish, tokens, options);
    }, signal);
  }

  const model: ScriptedModel = {
    calls,
    constrained: false,
    info,
    chat: (messages, options = {}) => run({ kind: 'chat', messages, options, aborted: false }, options),
    generate: (prompt, options = {}) =>
      run({ kind: 'generate', messages: [], prompt, options, aborted: false }, options),
    detokenize: async (ids, { skipSpecial } = {}) =>
      ids.map((id) => (id !== END_ID ? `<${id}>` : skipSpecial ? '' : '<|im_end|>')).join(''),
  };
  return model;
}

const HELD = ['responseFormat', 'toolChoice'] as const;

const END_ID = 7;

const tokensOf = (text: string): string[] => text.match(new RegExp(`[^]{1,${TOKEN}}`, 'g')) ?? [];

function resultOf(
  { text, reasoning }: { text: string; reasoning: string },
  finish: GenerationResult['finish'],
  tokens: number,
  { logprobs, seed = 1 }: GenerateOptions,
): GenerationResult {
  const chosen = (id: number): NonNullable<GenerationResult['logprobs']>[number] => ({
    id,
    logprob: -id,
    top: Array.from({ length: logprobs ?? 0 }, (_, i) => ({ id: id + i, logprob: -id - i })),
  });
  return {
    text,
    ...(reasoning && { reasoning }),
    finish,
    promptTokens: 20,
    reusedTokens: 5,
    tokens: tokens + (finish === 'stop' ? 1 : 0),
    seed,
    prefillMs: 30,
    decodeMs: 10 * tokens,
    firstTokenMs: 31,
    tokensPerSecond: 100,
    ...(logprobs !== undefined && {
      logprobs: [
        ...Array.from({ length: tokens }, (_, i) => chosen(100 + i)),
        ...(finish === 'stop' ? [chosen(END_ID)] : []),
      ],
    }),
  };
}

/** An error as the page gets it from the worker. */
export const engineError = (
  name: 'ContextError' | 'MemoryError' | 'DeviceError' | 'RequestError',
  what: string,
): Error => new RivuletError(name, { what });

/** All that a stream gives. */
export async function collect<T>(stream: AsyncIterable<T> | Promise<AsyncIterable<T>>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of await stream) all.push(one);
  return all;
}
