/**
 * Reads the tool calls in a model's answer. LFM2 writes them like Python, between two markers:
 * `<|tool_call_start|>[set_timer(minutes=5), add_note(text="tea")]<|tool_call_end|>`. On request it writes a JSON list
 * of `{ name, arguments }` there instead (LFM2 model card, "Tool use").
 */
export interface ToolCall {
  name: string;
  arguments: Record<string, unknown>;
}

export interface ParsedAnswer {
  /** the answer without the calls, trimmed */
  text: string;
  /** all calls, in order */
  calls: ToolCall[];
  /** blocks between the markers that could not be read as calls: a model may write anything */
  broken: string[];
}

const CALL_BLOCK = /<\|tool_call_start\|>([\s\S]*?)(?:<\|tool_call_end\|>|$)/g;

/** Values nested deeper than this are not read. */
const MAX_DEPTH = 32;

/** Splits an answer into text and calls. Never throws: a block that cannot be read completely is listed in `broken`. */
export function readCalls(answer: string): ParsedAnswer {
  const calls: ToolCall[] = [];
  const broken: string[] = [];
  const text = answer.replace(CALL_BLOCK, (_, block: string) => {
    const read = readJson(block) ?? readPython(block);
    if (read) calls.push(...read);
    else broken.push(block);
    return '';
  });
  return { text: text.trim(), calls, broken };
}

function readJson(block: string): ToolCall[] | undefined {
  let list: unknown;
  try {
    list = JSON.parse(block);
  } catch {
    return undefined;
  }
  const calls = Array.isArray(list) ? list : [list];
  return calls.length && calls.every(isCall) ? calls.map(({ name, arguments: given }) => ({ name, arguments: given })) : undefined;
}

const isCall = (value: unknown): value is ToolCall => {
  const { name, arguments: given } = (value ?? {}) as Partial<ToolCall>;
  return typeof name === 'string' && typeof given === 'object' && given !== null && !Array.isArray(given);
};

/** Thrown inside and caught in `readPython`. */
class ParseError extends Error {}

function readPython(block: string): ToolCall[] | undefined {
  const reader = createReader(block);
  try {
    const listed = reader.take('[');
    const calls = listed ? reader.list(']', () => call(reader)) : [call(reader)];
    reader.end();
    return calls.length ? calls : undefined;
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}

function call(reader: Reader): ToolCall {
  const name = reader.match(/[\p{L}_][\p{L}\p{N}_.-]*/uy);
  reader.need('(');
  const given = reader.list(')', () => {
    const key = reader.match(/[\p{L}_][\p{L}\p{N}_]*/uy);
    reader.need('=');
    return [key, value(reader, 0)] as const;
  });
  return { name, arguments: Object.fromEntries(given) }; // fromEntries defines keys, so '__proto__' is harmless
}

const WORDS: Record<string, unknown> = { True: true, False: false, None: null, true: true, false: false, null: null };

function value(reader: Reader, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new ParseError();
  const inner = (): unknown => value(reader, depth + 1);
  const quote = reader.peek();
  if (quote === '"' || quote === "'") return reader.string();
  if (reader.take('[')) return reader.list(']', inner);
  if (reader.take('(')) return reader.list(')', inner);
  if (reader.take('{'))
    return Object.fromEntries(
      reader.list('}', () => {
        const key = inner();
        reader.need(':');
        return [String(key), inner()] as const;
      }),
    );
  const word = reader.match(/[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[A-Za-z]+/y);
  if (Object.hasOwn(WORDS, word)) return WORDS[word];
  const number = Number(word.replaceAll('_', ''));
  if (!Number.isFinite(number)) throw new ParseError();
  return number;
}

interface Reader {
  /** the next character that is not a space; '' at the end */
  peek(): string;
  /** moves past the character if it comes next */
  take(character: string): boolean;
  need(character: string): void;
  match(pattern: RegExp): string;
  /** a quoted string with Python's escapes */
  string(): string;
  /** items between commas, up to the closing character; a trailing comma is allowed */
  list<T>(close: string, item: () => T): T[];
  end(): void;
}

const ESCAPES: Record<string, string> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', '0': '\0', '\n': '' };

function createReader(source: string): Reader {
  let at = 0;
  const reader: Reader = {
    peek() {
      while (/\s/.test(source.charAt(at))) at++;
      return source.charAt(at);
    },
    take(character) {
      const here = reader.peek() === character;
      if (here) at++;
      return here;
    },
    need(character) {
      if (!reader.take(character)) throw new ParseError();
    },
    match(pattern) {
      reader.peek();
      pattern.lastIndex = at;
      const found = pattern.exec(source)?.[0];
      if (!found) throw new ParseError();
      at += found.length;
      return found;
    },
    string() {
      const quote = source.charAt(at++);
      let text = '';
      for (let c = source.charAt(at++); c !== quote; c = source.charAt(at++)) {
        if (c === '') throw new ParseError();
        text += c === '\\' ? escaped() : c;
      }
      return text;
    },
    list(close, item) {
      const items = [];
      while (!reader.take(close)) {
        items.push(item());
        if (reader.peek() !== close) reader.need(',');
      }
      return items;
    },
    end() {
      if (reader.peek() !== '') throw new ParseError();
    },
  };

  function escaped(): string {
    const c = source.charAt(at++);
    const digits = { x: 2, u: 4, U: 8 }[c];
    if (digits === undefined) return ESCAPES[c] ?? (/["'\\/]/.test(c) ? c : `\\${c}`);
    const code = source.slice(at, at + digits);
    if (!/^[0-9a-f]+$/i.test(code) || code.length < digits || parseInt(code, 16) > 0x10ffff) throw new ParseError();
    at += digits;
    return String.fromCodePoint(parseInt(code, 16));
  }
  return reader;
}
