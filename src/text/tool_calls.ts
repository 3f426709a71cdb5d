/**
 * Reads the tool calls in a model's answer. LFM2 writes them like Python, between two markers:
 * `<|tool_call_start|>[set_timer(minutes=5), add_note(text="tea")]<|tool_call_end|>`. On request it writes a JSON list
 * of `{ name, arguments }` there instead (LFM2 model card, "Tool use"). Models drift from both forms: every call that
 * has one reading is read.
 */
import { THINK_END, withoutThinking } from './thinking';

export interface ToolCall {
  name: string;
  /** Values as JSON has them. A whole number that JavaScript would round is the text of its digits. */
  arguments: Record<string, unknown>;
}

export interface ParsedAnswer {
  /** the answer without calls, and without thinking that it begins with; trimmed */
  text: string;
  /** all calls, in order */
  calls: ToolCall[];
  /** what stands between the markers and could not be read as calls: a model may write anything */
  broken: string[];
}

export interface ReadCallsOptions {
  /**
   * the tools that were offered, as `chat` takes them: a list of their calls on a line of its own is read without
   * markers, too
   */
  tools?: readonly (object | string)[];
}

export const CALLS_START = '<|tool_call_start|>';
export const CALLS_END = '<|tool_call_end|>';
/** the next block, or the next line that may be a list of calls */
const NEXT = /(?:<\|tool_call_start\|>\s*)+|^[ \t]*\[.*/gm;
const MARKS = [CALLS_START, CALLS_END];
/** what may stand around calls in a block: brackets, commas, comments, code fences */
export const BETWEEN_CALLS = /[\s,;[\]]+|#.*|```\w*/y;

/** Values nested deeper than this are not read. */
const MAX_DEPTH = 32;

/**
 * Splits an answer into text and calls. Never throws: what cannot be read is listed in `broken`. Calls inside thinking
 * do not count. The time grows with the length of the answer, whatever it holds.
 */
export function readCalls(answer: string, options?: ReadCallsOptions): ParsedAnswer {
  const source = withoutThinking(typeof answer === 'string' ? answer : '');
  const tools = options?.tools;
  const known = Array.isArray(tools) ? tools.map(nameOfTool) : [];
  let found: ParsedAnswer = { text: '', calls: [], broken: [] };
  let at = 0;
  let firstEnd = source.indexOf(CALLS_END);

  /** Text up to here. Before a lone end of thinking stands thinking that the template began: its calls do not count. */
  const addText = (to: number): void => {
    const text = source.slice(at, to);
    const end = text.lastIndexOf(THINK_END);
    if (end >= 0 && found.calls.length + found.broken.length)
      found = { text: text.slice(end + THINK_END.length), calls: [], broken: [] };
    else found.text += text;
    at = to;
  };

  NEXT.lastIndex = 0;
  for (let next = NEXT.exec(source); next; next = NEXT.exec(source)) {
    const marked = next[0].startsWith(CALLS_START);
    const from = marked ? NEXT.lastIndex : next.index;
    while (firstEnd >= 0 && firstEnd < from) firstEnd = source.indexOf(CALLS_END, from);
    const { calls, broken, length } = marked
      ? readBlock(source.slice(from), firstEnd < 0 ? source.length : firstEnd - from)
      : readItems(next[0]);
    if (!marked && (broken.length || !calls.every(({ name }) => known.includes(name)))) {
      NEXT.lastIndex = from + 1;
      continue;
    }
    addText(next.index);
    for (const call of calls) found.calls.push(call);
    for (const part of broken) found.broken.push(part);
    at = from + length;
    if (source.startsWith(CALLS_END, at)) at += CALLS_END.length;
    NEXT.lastIndex = at;
  }
  addText(source.length);
  return { ...found, text: found.text.trim() };
}

/** The name of a tool as `chat` takes it; undefined if it has none. */
export function nameOfTool(tool: unknown): unknown {
  if (typeof tool === 'string') {
    try {
      return nameOfTool(JSON.parse(tool));
    } catch {
      return undefined;
    }
  }
  const { name, function: wrapped } = (tool ?? {}) as { name?: unknown; function?: { name?: unknown } | null };
  return wrapped?.name ?? name;
}

export interface CallsRead {
  calls: ToolCall[];
  broken: string[];
  /** how much of the source they take */
  length: number;
}

/**
 * @param end where the first end marker stands. It ends the block, unless all of the block can be read if that marker
 * is part of a text.
 */
export function readBlock(source: string, end: number): CallsRead {
  const block = readItems(source.slice(0, end));
  if (!block.broken.length || end === source.length) return block;
  const next = source.indexOf(CALLS_START, end);
  const longer = readItems(next < 0 ? source : source.slice(0, next));
  return longer.broken.length || longer.length <= end || !source.startsWith(CALLS_END, longer.length) ? block : longer;
}

/** Reads calls up to a marker. Where none can be read, the whole is broken. */
export function readItems(source: string): CallsRead {
  const reader = createCallReader(source);
  const calls: ToolCall[] = [];
  const broken: string[] = [];
  for (;;) {
    while (reader.skip(BETWEEN_CALLS));
    const start = reader.at;
    if (start === source.length || MARKS.some((mark) => source.startsWith(mark, start))) break;
    const item = attemptToRead(() => readCall(reader));
    if (item) calls.push(item);
    else {
      skipItem(reader, start, source);
      broken.push(source.slice(start, reader.at).trim());
    }
  }
  return { calls, broken: calls.length ? broken : [source.slice(0, reader.at)], length: reader.at };
}

/** Thrown inside and caught in `attemptToRead`. */
class ParseError extends Error {}

const fail = (): never => {
  throw new ParseError();
};

/** What `read` gives; undefined if it finds something else than it reads. */
export function attemptToRead<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}

const NAME = String.raw`[\p{L}_][\p{L}\p{N}_.-]*`;
const CALL_NAME = new RegExp(NAME, 'uy');
const STRING_START = /([rbuf]{0,2})("""|'''|["'])/iy;
const NUMBER_OR_WORD = /([-+]?)(0[xob][\da-f_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:e[-+]?\d+)?|[a-z]+)/iy;
const WORDS: Record<string, unknown> = { True: true, False: false, None: null, true: true, false: false, null: null };

// Models leave quotes inside of texts unescaped: a quote ends a text only if what can follow a text follows it.
const AFTER_ARGUMENT = new RegExp(String.raw`\s*(?:\)|,\s*(?:\)|#|\*\*|${NAME}\s*=)|\s[rbuf]{0,2}["'])`, 'iuy');
const AFTER_ITEM =
  /\s*(?:[\])}:]|,\s*(?:[\])}#[({+.\d-]|(?:true|false|none|null)\b|[rbuf]{0,2}["'])|\s[rbuf]{0,2}["'])/iy;
const AFTER_ANY = /\s*[,)\]}:]/y;

/** `name(key=value, **{…})`, or an object with a name. */
export function readCall(reader: Reader): ToolCall {
  if (reader.peek() === '{') return callOf(value(reader, 0, AFTER_ITEM));
  const [name] = reader.match(CALL_NAME);
  if (!reader.take('(')) fail();
  const given = reader.list(')', () => {
    if (reader.peek() === '*') {
      reader.match(/\*\*/y);
      return Object.entries(objectOr(value(reader, 0, AFTER_ARGUMENT)));
    }
    const [key] = reader.match(CALL_NAME);
    if (!reader.take('=')) fail();
    return [[key, value(reader, 0, AFTER_ARGUMENT)] as const];
  });
  return { name, arguments: Object.fromEntries(given.flat()) }; // fromEntries defines keys, so '__proto__' is harmless
}

/**
 * `{ name, arguments }`, also inside `{ type: 'function', function }`; the arguments may be a text, may be called
 * parameters, and may be missing.
 */
function callOf(written: unknown): ToolCall {
  const outer = objectOr(written);
  const { name, arguments: given, parameters } = objectOr(outer.function ?? outer);
  if (typeof name !== 'string') return fail();
  const values = given ?? parameters ?? {};
  return { name, arguments: objectOr(typeof values === 'string' ? literal(values) : values) };
}

/** The value of a whole text; {} of an empty one. */
function literal(text: string): unknown {
  const reader = createCallReader(text);
  const read = reader.peek() ? value(reader, 0, AFTER_ITEM) : {};
  return reader.peek() ? fail() : read;
}

const objectOr = (given: unknown): Record<string, unknown> =>
  typeof given === 'object' && given !== null && !Array.isArray(given) ? (given as Record<string, unknown>) : fail();

function value(reader: Reader, depth: number, after: RegExp): unknown {
  if (depth > MAX_DEPTH) return fail();
  const inner = (): unknown => value(reader, depth + 1, AFTER_ITEM);
  if (reader.take('[')) return reader.list(']', inner);
  if (reader.take('(')) {
    const items = reader.list(')', inner);
    return items.length === 1 && !reader.comma ? items[0] : items;
  }
  if (reader.take('{')) return dictOrSet(reader, inner);
  if (reader.sees(STRING_START)) {
    let text = '';
    do text += reader.string(after);
    while (reader.sees(STRING_START));
    return text;
  }
  const [, sign, word] = reader.match(NUMBER_OR_WORD);
  if (!sign && Object.hasOwn(WORDS, word)) return WORDS[word];
  const digits = word.replaceAll('_', '');
  const number = Number(digits);
  if (/^(?:\d+|0[xob].+)$/i.test(digits) && number > Number.MAX_SAFE_INTEGER) return sign.replace('+', '') + digits;
  if (!Number.isFinite(number)) return fail();
  return sign === '-' ? -number : number;
}

function dictOrSet(reader: Reader, inner: () => unknown): unknown {
  const items = reader.list('}', () => {
    const key = inner();
    if (!reader.take(':')) return [key];
    return typeof key === 'object' && key !== null ? fail() : [String(key), inner()];
  });
  if (items.every(({ length }) => length === 2)) return Object.fromEntries(items as [string, unknown][]);
  return items.every(({ length }) => length === 1) ? items.flat() : fail();
}

interface Reader {
  /** the place in the source */
  at: number;
  /** whether a comma stood before the end of the last list */
  comma: boolean;
  /** the next character that is neither a space nor in a comment; '' at the end */
  peek(): string;
  /** moves past the character if it comes next */
  take(character: string): boolean;
  /** whether this comes next, after spaces */
  sees(pattern: RegExp): boolean;
  /** moves past what matches here */
  skip(pattern: RegExp): boolean;
  match(pattern: RegExp): RegExpExecArray;
  /** a text with Python's prefixes and escapes. A quote ends it only if `after` matches behind it. */
  string(after: RegExp): string;
  /** items between commas, up to the closing character; a trailing comma is allowed */
  list<T>(close: string, item: () => T): T[];
}

const BLANK = /\s+|#.*/y;
const ESCAPES: Record<string, string> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', '0': '\0', '\n': '' };

export function createCallReader(source: string): Reader {
  const test = (pattern: RegExp, at: number): boolean => {
    pattern.lastIndex = at;
    return pattern.test(source);
  };
  const reader: Reader = {
    at: 0,
    comma: false,
    peek() {
      while (reader.skip(BLANK));
      return source.charAt(reader.at);
    },
    take(character) {
      const here = reader.peek() === character;
      if (here) reader.at++;
      return here;
    },
    sees(pattern) {
      reader.peek();
      return test(pattern, reader.at);
    },
    skip(pattern) {
      const here = test(pattern, reader.at);
      if (here) reader.at = pattern.lastIndex;
      return here;
    },
    match(pattern) {
      reader.peek();
      pattern.lastIndex = reader.at;
      const found = pattern.exec(source) ?? fail();
      reader.at = pattern.lastIndex;
      return found;
    },
    string(after) {
      const [, prefix, quote] = reader.match(STRING_START);
      const raw = /r/i.test(prefix);
      let text = '';
      while (reader.at < source.length) {
        if (source.startsWith(quote, reader.at) && (quote.length > 1 || test(after, reader.at + 1))) {
          reader.at += quote.length;
          return text;
        }
        const c = source.charAt(reader.at++);
        // an answer that is still being written may end here
        text += c === '\\' && !raw && reader.at < source.length ? escaped() : c;
      }
      return fail();
    },
    list(close, item) {
      const items = [];
      let comma = false;
      while (!reader.take(close)) {
        items.push(item());
        comma = reader.take(',');
        if (!comma && reader.peek() !== close) fail();
      }
      reader.comma = comma;
      return items;
    },
  };

  function escaped(): string {
    const c = source.charAt(reader.at++);
    const digits = { x: 2, u: 4, U: 8 }[c];
    if (digits === undefined) return ESCAPES[c] ?? (/["'\\/]/.test(c) ? c : `\\${c}`);
    const code = source.slice(reader.at, reader.at + digits);
    if (!/^[0-9a-f]+$/i.test(code) || code.length < digits || parseInt(code, 16) > 0x10ffff) fail();
    reader.at += digits;
    return String.fromCodePoint(parseInt(code, 16));
  }
  return reader;
}

/**
 * Moves past what is no call and began at `start`: to the next comma or line that is neither in brackets nor in a text,
 * or to a marker. Not back behind what has been read in vain: so the time grows with the length alone.
 */
function skipItem(reader: Reader, start: number, source: string): void {
  const read = reader.at;
  let depth = 0;
  for (reader.at = start; reader.at < source.length;) {
    const c = source[reader.at];
    if (
      reader.at >= read &&
      ((!depth && /[,;\]\n]/.test(c)) || MARKS.some((mark) => source.startsWith(mark, reader.at)))
    )
      return;
    if (/["']/.test(c)) {
      if (attemptToRead(() => reader.string(AFTER_ANY)) === undefined) return;
    } else {
      reader.at++;
      if ('([{'.includes(c)) depth++;
      else if (')]}'.includes(c) && depth) depth--;
    }
  }
}
