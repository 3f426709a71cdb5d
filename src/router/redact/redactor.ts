/** Takes private text out of a request before it leaves, and puts it back into the answer. */
import { fail, show } from '../../errors';
import { isObject } from '../../openai/fields';
import type { ChatCompletionRequest } from '../../openai/types';
import type { Redactor } from '../parts';
import { failRoute } from '../route_error';
import { findPrivate, KINDS, termDetector, type Detector, type PrivateSpan } from './detectors';
import { createVault } from './vault';

export interface RedactionOptions {
  /** 'replace' by placeholders, or 'refuse': the request stays on the device */
  mode?: 'replace' | 'refuse';
  /** built-in detectors; all if it is not given */
  kinds?: readonly (typeof KINDS)[number][];
  /** words that are private here: names of people, projects, customers */
  terms?: readonly string[];
  /** detectors of the page */
  detectors?: readonly Detector[];
  /** Private texts in a text, by a judge such as a model of the device. If it fails, the request stays */
  judge?: (text: string) => Promise<readonly string[]>;
}

/** What is sent literally in the form of a placeholder must not be taken for one when it comes back. */
const LITERAL: Detector = {
  kind: 'literal',
  *find(text) {
    for (const { 0: found, index } of text.matchAll(/\[[A-Z]+_\d+\]/g))
      yield { start: index, end: index + found.length };
  },
};

/** Texts whose findings are kept: a conversation is sent again and again. */
const MOST_KEPT = 2000;

/** @throws RequestError for options that are not valid */
export function createRedactor({
  mode = 'replace',
  kinds = KINDS,
  terms = [],
  detectors = [],
  judge,
}: RedactionOptions): Redactor {
  const strange = kinds.find((kind) => !KINDS.includes(kind));
  if (strange || (mode !== 'replace' && mode !== 'refuse'))
    fail('RequestError', {
      what: 'The redaction is not valid',
      got: strange ? show(strange) : show(mode),
      wanted: strange ? KINDS.join(', ') : "'replace' or 'refuse'",
    });
  const vault = createVault();
  const kept = new Map<string, PrivateSpan[]>();
  const judged = new Set<string>();
  const judgedTerms: string[] = [];
  let own = detectorsOf();

  function detectorsOf(): Detector[] {
    const listed = kinds.includes('term') ? termDetector([...terms, ...judgedTerms]) : undefined;
    return [...(listed ? [listed] : []), ...detectors, LITERAL];
  }
  function spansIn(text: string): PrivateSpan[] {
    const known = kept.get(text);
    if (known) return known;
    const found = findPrivate(text, kinds, own);
    if (kept.size >= MOST_KEPT) kept.delete(kept.keys().next().value!);
    kept.set(text, found);
    return found;
  }
  function replaced(text: string, counts: Record<string, number>): string {
    let out = '';
    let at = 0;
    for (const { kind, start, end } of spansIn(text)) {
      out += text.slice(at, start) + vault.placeholder(kind, text.slice(start, end));
      at = end;
      if (kind !== LITERAL.kind) counts[kind] = (counts[kind] ?? 0) + 1;
    }
    return out + text.slice(at);
  }

  return {
    kinds(request) {
      const counts: Record<string, number> = {};
      redactRequest(request, (text) => replaced(text, counts));
      return Object.keys(counts).sort();
    },
    redact(request) {
      const counts: Record<string, number> = {};
      const clean = redactRequest(request, (text) => replaced(text, counts));
      const found = Object.keys(counts);
      if (mode === 'refuse' && found.length)
        failRoute('private_text', {
          what: 'The request holds private text, which does not leave',
          got: found.join(', '),
        });
      return { request: clean, counts };
    },
    partialTail: (text) => vault.partialTail(text),
    restorer: (json) => vault.restorer(json),
    async learn(request) {
      if (!judge) return;
      const texts: string[] = [];
      redactRequest(request, (text) => {
        if (!judged.has(text)) texts.push(text);
        return text;
      });
      for (const text of texts) {
        const found = (await judge(text)).filter((one) => one && text.includes(one));
        judged.add(text);
        judgedTerms.push(...found);
      }
      if (!texts.length) return;
      own = detectorsOf();
      kept.clear();
    },
  };
}

type Change = (text: string) => string;

/** All texts of a request that can leave. Pictures and files have rules of their own. */
function redactRequest(request: ChatCompletionRequest, change: Change): ChatCompletionRequest {
  const { messages, tools, response_format, stop, tool_choice } = request;
  return {
    ...request,
    messages: messages.map((message) => {
      if (!isObject(message)) return message;
      const { content, name, tool_calls } = message;
      return {
        ...message,
        ...(content && {
          content: typeof content === 'string' ? change(content) : content.map((part) => changePart(part, change)),
        }),
        ...(typeof name === 'string' && { name: change(name) }),
        ...(Array.isArray(tool_calls) && { tool_calls: tool_calls.map((call) => changeCall(call, change)) }),
      };
    }) as ChatCompletionRequest['messages'],
    ...(tools && { tools: changeAll(tools, change) }),
    ...(response_format && { response_format: changeAll(response_format, change) }),
    ...(stop && { stop: changeAll(stop, change) }),
    ...(tool_choice && { tool_choice: changeAll(tool_choice, change) }),
  };
}

const changePart = <T>(part: T, change: Change): T =>
  isObject(part) && typeof part.text === 'string' ? { ...part, text: change(part.text) } : part;

/** Arguments are a JSON text: its values are looked at without their escapes. */
function changeCall<T>(call: T, change: Change): T {
  if (!isObject(call) || !isObject(call.function)) return call;
  const { arguments: text } = call.function;
  if (typeof text !== 'string') return call;
  let changed: string;
  try {
    const value = JSON.parse(text) as unknown;
    changed = JSON.stringify(changeAll(value, change));
    if (changed === JSON.stringify(value)) changed = text;
  } catch {
    changed = change(text);
  }
  return { ...call, function: { ...call.function, arguments: changed } };
}

/** Every text in a value of JSON, names of fields too. A number that is private as a text becomes one. */
function changeAll<T>(value: T, change: Change): T {
  if (typeof value === 'string') return change(value) as T;
  if (typeof value === 'number') {
    const text = String(value);
    const changed = text.length > 6 ? change(text) : text;
    return changed === text ? value : (changed as T);
  }
  if (Array.isArray(value)) return value.map((one: unknown) => changeAll(one, change)) as T;
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [change(name), changeAll(one, change)])) as T;
}
