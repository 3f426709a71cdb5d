/**
 * Cuts a template into tokens, with the white space that trim_blocks, lstrip_blocks and the signs at the tags leave.
 */
import { raise } from './values';
import { SPACE, strip } from './strings';

export interface Token {
  /** 'text' between tags; 'name' and 'operator' have a key; 'end' is the last one */
  kind: 'text' | 'name' | 'operator' | 'string' | 'integer' | 'float' | 'end';
  /** the name or operator; '' for all others, so that a text is not taken for a name */
  key: string;
  value: string;
  at: number;
}

const OPEN = /\{([{%#])([-+]?)/g;
const RAW = new RegExp(`[${SPACE}]*raw[${SPACE}]*(-?)%\\}`, 'y');
const END_RAW = /\{%([-+]?)\s*endraw\s*([-+]?)%\}/g;
const END_COMMENT = /([-+]?)#\}/g;
const CLOSE = { '{': /(-?)\}\}/y, '%': /([-+]?)%\}/y };
const BLANK = new RegExp(`[${SPACE}]*`, 'y');
const DIGITS = '\\d+(?:_\\d+)*';
const TOKEN = new RegExp(
  `((?<!\\.)${DIGITS}(?:\\.${DIGITS}(?:[eE][-+]?${DIGITS})?|[eE][-+]?${DIGITS}))|(0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[\\da-fA-F])+|${DIGITS})|([\\p{L}_][\\p{L}\\p{M}\\p{N}_]*)|` +
    `("[^"\\\\]*(?:\\\\[^][^"\\\\]*)*"|'[^'\\\\]*(?:\\\\[^][^'\\\\]*)*')|(//|\\*\\*|[=!<>]=|[-+/*%~[\\](){}<>=.:|,])`,
  'yu',
);
const KINDS = ['float', 'integer', 'name', 'string', 'operator'] as const;
const BRACKETS: Record<string, string> = { '(': ')', '[': ']', '{': '}' };

/** @throws Error with the line of what is wrong */
export function tokenize(given: string): Token[] {
  const source = given.replace(/\r\n?/g, '\n').replace(/\n$/, '');
  const tokens: Token[] = [];
  let at = 0;
  const push = (kind: Token['kind'], value: string, key = ''): unknown => tokens.push({ kind, key, value, at });
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(source);
  };
  const need = (found: RegExpExecArray | null, what: string): RegExpExecArray =>
    found ?? raise(`${what} does not end, line ${lineOf(source, at)}`);

  /** The text up to a tag. */
  function before(end: number, sign: string, block: boolean): void {
    let text = source.slice(at, end);
    const line = text.lastIndexOf('\n') + 1;
    if (sign === '-') text = strip(text, null, 2);
    else if (sign !== '+' && block && (line || !at || source[at - 1] === '\n') && !strip(text.slice(line)))
      text = text.slice(0, line);
    if (text) push('text', text);
  }
  /** Behind a tag. */
  function after(end: number, sign: string, block: boolean): void {
    at = end;
    if (sign === '-') at += match(BLANK)![0].length;
    else if (block && sign !== '+' && source[at] === '\n') at++;
  }

  for (let open = match(OPEN); open; open = match(OPEN)) {
    const [whole, kind, sign] = open;
    const inside = open.index + whole.length;
    before(open.index, sign, kind !== '{');
    at = inside;
    if (kind === '#') {
      const end = need(match(END_COMMENT), 'a comment');
      after(end.index + end[0].length, end[1], true);
      continue;
    }
    const raw = kind === '%' && match(RAW);
    if (raw) {
      after(at + raw[0].length, raw[1], false);
      const end = need(match(END_RAW), 'raw');
      before(end.index, end[1], true);
      after(end.index + end[0].length, end[2], true);
      continue;
    }
    push('operator', whole, `{${kind}`);
    const close: string[] = [];
    for (;;) {
      at += match(BLANK)![0].length;
      const end = close.length ? null : match(CLOSE[kind as '{' | '%']);
      if (end) {
        push('operator', end[0], kind === '{' ? '}}' : '%}');
        after(at + end[0].length, end[1], kind === '%');
        break;
      }
      const token = need(match(TOKEN), 'a tag, or what it holds,');
      const value = token[0];
      const name = KINDS[token.slice(1).findIndex((part) => part !== undefined)];
      push(name, value, name === 'name' || name === 'operator' ? value : '');
      if (name === 'operator') {
        if (value in BRACKETS) close.push(BRACKETS[value]);
        else if (/[)\]}]/.test(value) && close.pop() !== value)
          raise(`${value} closes nothing, line ${lineOf(source, at)}`);
      }
      at += value.length;
    }
  }
  before(source.length, '', false);
  push('end', '');
  return tokens;
}

/** The line of a place in a text, from 1. */
const lineOf = (source: string, at: number): number => source.slice(0, at).split('\n').length;

const ESCAPES: Record<string, string> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v', '\n': '' };

/** The text that a string token stands for. */
export const unquote = (source: string): string =>
  source
    .slice(1, -1)
    .replace(
      /\\(?:x([\da-f]{2})|u([\da-f]{4})|U([\da-f]{8})|([0-7]{1,3})|([abfnrtv\n\\'"]))/gi,
      (whole: string, ...[x, u, long, octal, c = '']: (string | undefined)[]) =>
        octal
          ? String.fromCodePoint(parseInt(octal, 8))
          : (x ?? u ?? long)
            ? String.fromCodePoint(parseInt((x ?? u ?? long)!, 16))
            : /[A-Z]/.test(c)
              ? whole
              : (ESCAPES[c] ?? c),
    );
