/**
 * Reads tool calls while an answer arrives. It finds the calls that `readCalls` finds in the whole answer, each as soon
 * as it is complete, and never shows a marker.
 */
import { longestPartialMatch } from './stop_strings';
import {
  attemptToRead,
  BETWEEN_CALLS,
  CALLS_END,
  CALLS_START,
  createCallReader,
  nameOfTool,
  readBlock,
  readCall,
  readItems,
  type CallsRead,
  type ReadCallsOptions,
  type ToolCall,
} from './tool_calls';

/** A piece of an answer. `malformed` is what stood between markers and is no call. */
export type CallStreamPart =
  { type: 'text'; text: string } | { type: 'call'; call: ToolCall } | { type: 'malformed'; text: string };

export interface ToolCallStream {
  push(text: string): void;
  /** the end of the answer: decides about all that was held back */
  flush(): void;
}

const MARKERS = [CALLS_START, CALLS_END];
/** the next marker, or the beginning of a line that may be a list of calls */
const NEXT = /<\|tool_call_(?:start|end)\|>|^[ \t]*\[/gm;
const LINE_END = /[\n\r\u2028\u2029]/;
/** brackets and commas before the name of a call, and as much of the name as is there */
const LINE_BEGIN = /^[ \t]*\[[\s,;[\]]*(?:([\p{L}_][\p{L}\p{N}_.-]*)|.)?/u;
/** Reading again what could not be read waits until there is this much more of it: the time grows with the length. */
const GROWTH = 1.125;

/**
 * White space around calls at the beginning and at the end of an answer is dropped; an answer without calls stays as it
 * is. The result does not depend on how the text is split into pieces.
 * @param emit gets the parts in order
 * @param options the tools that were offered. A line that may be a list of their calls is held back until it is decided
 */
export function createToolCallStream(
  emit: (part: CallStreamPart) => void,
  { tools = [] }: ReadCallsOptions = {},
): ToolCallStream {
  const known = tools.map(nameOfTool).filter((name): name is string => typeof name === 'string');
  /** what is not decided yet */
  let held = '';
  let inBlock = false;
  /** the block has given a call */
  let begun = false;
  /** the lengths at which reading a call, and the block, is tried again */
  let callTryAt = 0;
  let blockTryAt = 0;
  let lineStart = true;
  let wrote = false;
  let called = false;
  /** white space that counts only if text follows */
  let blank = '';

  function writeText(text: string): void {
    if (!text) return;
    lineStart = LINE_END.test(text.slice(-1));
    const words = text.trimEnd();
    if (words) emit({ type: 'text', text: called && !wrote ? words.trimStart() : blank + words });
    blank = (words ? '' : blank) + text.slice(words.length);
    wrote ||= words !== '';
  }

  function writeCall(call: ToolCall): void {
    if (!wrote) blank = '';
    called = true;
    emit({ type: 'call', call });
  }

  function writeCalls({ calls, broken }: CallsRead): void {
    calls.forEach(writeCall);
    const texts = broken.map((text) => text.trim()).filter((text) => !begun || !isBetweenCalls(text));
    begun ||= calls.length > 0;
    if (!wrote) blank = '';
    called ||= texts.length > 0;
    for (const text of texts) emit({ type: 'malformed', text });
  }

  const consume = (length: number): void => {
    held = held.slice(length);
  };

  /** Reads a block. @returns whether it has ended */
  function readInBlock(last: boolean): boolean {
    const end = held.indexOf(CALLS_END);
    if (end < 0 && !last) {
      readCompleteCalls();
      return endsAtStart();
    }
    const final = last || held.includes(CALLS_START, end);
    if (!final && held.length < blockTryAt) return false;
    const block = readBlock(held, end < 0 ? held.length : end);
    // the first end marker may stand in a text that goes on
    if (!final && (block.length > end ? !held.startsWith(CALLS_END, block.length) : block.broken.length)) {
      blockTryAt = held.length * GROWTH;
      return false;
    }
    writeCalls(block);
    consume(block.length);
    if (held.startsWith(CALLS_END)) consume(CALLS_END.length);
    return true;
  }

  /** A call can only have become complete with more text and a bracket. */
  function readCompleteCalls(): void {
    while (held.length >= callTryAt && /[)}]/.test(held)) {
      const first = readFirstCall(held);
      callTryAt = first ? 0 : held.length * GROWTH;
      if (!first) return;
      begun = true;
      writeCall(first.call);
      consume(first.length);
    }
  }

  /** After calls the start of another block ends this one. */
  function endsAtStart(): boolean {
    const start = begun ? /^[\s,;[\]]*(?=<\|tool_call_start\|>)/.exec(held) : null;
    if (start) consume(start[0].length);
    return start !== null;
  }

  /** Reads text up to the next block. @returns whether there is one */
  function readText(last: boolean): boolean {
    for (let from = 0; ;) {
      NEXT.lastIndex = from;
      const next = NEXT.exec(held);
      if (!next) {
        const safe = last ? held.length : held.length - undecided();
        writeText(held.slice(0, safe));
        consume(safe);
        return false;
      }
      const [mark] = next;
      if (MARKERS.includes(mark)) {
        writeText(held.slice(0, next.index));
        consume(next.index + mark.length);
        lineStart = false;
        if (mark === CALLS_START) return true;
        from = 0;
        continue;
      }
      from = next.index + 1;
      if (next.index === 0 && !lineStart) continue;
      const line = held.slice(next.index);
      const length = line.search(LINE_END);
      if (length < 0 && !last && mayBeCalls(line)) {
        writeText(held.slice(0, next.index));
        consume(next.index);
        return false;
      }
      const read = mayBeCalls(line) && readItems(length < 0 ? line : line.slice(0, length));
      if (!read || read.broken.length || !read.calls.every(({ name }) => known.includes(name))) continue;
      writeText(held.slice(0, next.index));
      writeCalls(read);
      consume(next.index + read.length);
      if (held.startsWith(CALLS_END)) consume(CALLS_END.length);
      lineStart = false;
      from = 0;
    }
  }

  /** How much of the end may become a marker, or a line of calls. */
  const undecided = (): number => {
    const [blanks] = /[ \t]*$/.exec(held)!;
    const before = held.slice(0, held.length - blanks.length);
    const atLine = known.length > 0 && (before ? LINE_END.test(before.slice(-1)) : lineStart);
    return Math.max(longestPartialMatch(held, MARKERS), atLine ? blanks.length : 0);
  };

  /** Whether a line that begins like this can be a list of calls of known tools. */
  function mayBeCalls(line: string): boolean {
    const [whole, name] = LINE_BEGIN.exec(line) ?? [''];
    if (!known.length || !whole) return false;
    if (name === undefined) return /[[\s,;\]{#`]$/.test(whole);
    return whole.length < line.length ? known.includes(name) : known.some((one) => one.startsWith(name));
  }

  function read(last: boolean): void {
    for (;;) {
      if (inBlock) {
        // a block may begin twice
        if (!begun) held = held.replace(/^(?:\s*<\|tool_call_start\|>)+/, '');
        if (!begun && !last && CALLS_START.startsWith(held.trimStart())) return;
        if (!readInBlock(last)) return;
        inBlock = false;
      } else if (readText(last)) {
        inBlock = true;
        begun = false;
        callTryAt = blockTryAt = 0;
      } else return;
    }
  }

  return {
    push(text) {
      held += text;
      read(false);
    },
    flush() {
      read(true);
      if (!called && blank) emit({ type: 'text', text: blank });
      blank = '';
    },
  };
}

/** The first call of a source, if it stands there whole: what follows then changes nothing about it. */
function readFirstCall(source: string): { call: ToolCall; length: number } | undefined {
  const reader = createCallReader(source);
  while (reader.skip(BETWEEN_CALLS));
  const call = attemptToRead(() => readCall(reader));
  return call && { call, length: reader.at };
}

/** Whether nothing but what may stand around calls is there. */
function isBetweenCalls(source: string): boolean {
  const reader = createCallReader(source);
  while (reader.skip(BETWEEN_CALLS));
  return reader.at === source.length;
}
