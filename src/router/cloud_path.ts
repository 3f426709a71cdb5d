/** An endpoint's answer as events: every piece is checked, and calls come whole. */
import { createId } from '../openai/models';
import { isObject, type Fields } from '../openai/fields';
import type { ChatCompletionMessageToolCall, FinishReason } from '../openai/types';
import { failRoute } from './route_error';
import { readEvents } from './sse';
import type { CloudEndpoint, PathEvent } from './types';
import { openWire, type WireCall } from './wire';

/**
 * Asks an endpoint. Leaving the loop ends the request on the wire.
 * @throws RouteError, AbortError
 */
export async function* askCloud(call: WireCall): AsyncGenerator<PathEvent, void> {
  const answer = await openWire(call);
  try {
    const reader = createAnswerReader(call.endpoint);
    if (answer.kind === 'json') {
      yield* reader.whole(parse(await textOf(answer.pieces)));
      return;
    }
    for await (const data of readEvents(answer.pieces)) {
      if (data.trim() === '[DONE]') {
        reader.done();
        break;
      }
      for (const event of reader.chunk(parse(data))) {
        answer.begun();
        yield event;
      }
    }
    yield* reader.end();
  } finally {
    answer.close();
  }
}

/** Characters of an answer that comes as a whole. */
const MOST_JSON = 4 << 20;

async function textOf(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const piece of pieces) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > MOST_JSON)
      failRoute('too_large', { what: 'The answer is too large', wanted: `at most ${MOST_JSON} characters` });
  }
  return text + decoder.decode();
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return failRoute('bad_json', { what: 'The endpoint sent JSON that is cut or wrong' });
  }
}

const wrong = (what: string): never =>
  failRoute('bad_stream', { what: `The answer of the endpoint is not valid: ${what}` });

const textIn = (value: unknown, name: string): string => {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : wrong(`${name} is no text`);
};

const FINISHES: Record<string, FinishReason> = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'tool_calls',
  function_call: 'tool_calls',
};

const MOST_CALLS = 128;

function createAnswerReader(endpoint: CloudEndpoint) {
  const calls: ChatCompletionMessageToolCall[] = [];
  let finish: FinishReason | undefined;
  let finished = false;
  let usage: Fields = {};

  function readHead(chunk: unknown): Fields {
    if (!isObject(chunk)) return wrong('an event is no object');
    if (isObject(chunk.error) || typeof chunk.error === 'string') {
      const code = isObject(chunk.error) ? Number(chunk.error.code ?? chunk.error.status) : NaN;
      failRoute(code === 429 ? 'rate_limited' : 'server_failed', {
        what: `The endpoint reports an error in its answer`,
      });
    }
    const { model } = chunk;
    if (typeof model === 'string' && model !== '' && !isNameOf(endpoint, model))
      failRoute('wrong_model', {
        what: `${endpoint.name} answers with another model`,
        wanted: endpoint.model,
        cure: 'If it is the same, give its name in `aliases`.',
      });
    if (!Array.isArray(chunk.choices)) return wrong('it has no choices');
    if (isObject(chunk.usage)) usage = chunk.usage;
    const [choice] = chunk.choices.filter((one) => isObject(one) && (one.index ?? 0) === 0) as Fields[];
    return choice ?? {};
  }

  function readCalls(given: unknown): void {
    if (given === undefined || given === null) return;
    if (!Array.isArray(given)) wrong('tool_calls is no list');
    for (const [i, part] of (given as unknown[]).entries()) {
      const at = isObject(part) && Number.isInteger(part.index) ? (part.index as number) : i;
      if (!isObject(part) || at < 0 || at > calls.length || at >= MOST_CALLS) return wrong('a tool call is no object');
      const said = isObject(part.function) ? part.function : {};
      calls[at] ??= {
        id: textIn(part.id, 'id') || createId('call_'),
        type: 'function',
        function: { name: '', arguments: '' },
      };
      calls[at].function.name += textIn(said.name, 'name');
      calls[at].function.arguments += textIn(said.arguments, 'arguments');
    }
  }

  function* readParts(parts: Fields): Generator<PathEvent> {
    const reasoning = textIn(parts.reasoning_content ?? parts.reasoning, 'reasoning_content');
    if (reasoning) yield { type: 'reasoning', text: reasoning };
    const text = textIn(parts.content, 'content');
    if (text) yield { type: 'text', text };
    readCalls(parts.tool_calls);
  }

  function readFinish(choice: Fields): void {
    if (choice.finish_reason === undefined || choice.finish_reason === null) return;
    finish = FINISHES[textIn(choice.finish_reason, 'finish_reason')] ?? 'stop';
    finished = true;
  }

  const reader = {
    *chunk(chunk: unknown): Generator<PathEvent> {
      const choice = readHead(chunk);
      if (isObject(choice.delta)) yield* readParts(choice.delta);
      readFinish(choice);
    },
    *whole(body: unknown): Generator<PathEvent> {
      const choice = readHead(body);
      if (!isObject(choice.message)) return wrong('it has no message');
      yield* readParts(choice.message);
      readFinish(choice);
      reader.done();
      yield* reader.end();
    },
    done(): void {
      finished = true;
    },
    *end(): Generator<PathEvent> {
      if (!finished) failRoute('stream_cut', { what: 'The answer of the endpoint ended without its end' });
      for (const call of calls) {
        if (!call.function.name || !isCallText(call.function.arguments)) wrong('a tool call is cut');
        yield {
          type: 'call',
          call: { ...call, function: { ...call.function, arguments: call.function.arguments || '{}' } },
        };
      }
      const count = (value: unknown): number | null =>
        Number.isInteger(value) && (value as number) >= 0 ? (value as number) : null;
      yield {
        type: 'end',
        finish: calls.length ? 'tool_calls' : finish === 'tool_calls' ? 'stop' : (finish ?? 'stop'),
        promptTokens: count(usage.prompt_tokens),
        tokens: count(usage.completion_tokens),
      };
    },
  };
  return reader;
}

/** A server may give a version behind the name, as gpt-x-2026-01-31, or a folder before it. */
function isNameOf({ model, aliases = [] }: CloudEndpoint, given: string): boolean {
  return [model, ...aliases].some(
    (name) =>
      given === name ||
      new RegExp(`^${name.replace(/[^\w]/g, '\\$&')}-\\d[\\d-]*$`).test(given) ||
      given.endsWith(`/${name}`) ||
      name.endsWith(`/${given}`),
  );
}

function isCallText(text: string): boolean {
  if (!text) return true;
  try {
    return isObject(JSON.parse(text));
  } catch {
    return false;
  }
}
