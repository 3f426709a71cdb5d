/** Automata over bytes for one piece of a text: a quoted string, a number, a bare word. States are whole numbers. */
import { targetIn, type Dfa } from './dfa';
import { memo } from './memo';
import { ANY } from './ranges';

export interface Lexer {
  readonly start: number;
  /**
   * The states after each byte: [256] of a state, `DEAD`, or `CLOSE` for a byte that ends the piece and belongs to it.
   */
  row(state: number): Int32Array;
  /** the piece may end here; −1 if not, else what it is */
  label(state: number): number;
  /** the piece ends in front of a byte of what follows, not by one of its own */
  readonly open: boolean;
  /** how characters are written; undefined where no state takes any text */
  readonly writing?: Writing;
  /** any text may follow, and the piece may end behind all of it */
  isAny(state: number): boolean;
  /** 1 in the middle of a character */
  partial(state: number): number;
  /** characters that the shortest end of the piece still needs, a character that has begun among them */
  need(state: number): number;
  /** the states of the automaton over characters that a character which has begun can lead to; else its own */
  targets(state: number): readonly number[];
}

export const DEAD = -1;
export const CLOSE = -2;

/** How characters are written. */
export interface Writing {
  /** the byte that ends a piece and belongs to it */
  close?: number;
  /** single characters behind a backslash: byte → code point */
  escapes?: ReadonlyMap<number, number>;
  /** `\u` with four digits, and whether two of them write a character beyond U+FFFF */
  unicode?: 'bmp' | 'pairs';
  /** bytes that are not written as themselves */
  refused?: ReadonlySet<number>;
}

const CONTROLS = Array.from({ length: 32 }, (_, i) => i);
export const code = (c: string): number => c.charCodeAt(0);
const escapes = (texts: string, points: string): ReadonlyMap<number, number> =>
  new Map(Array.from(texts, (c, i) => [code(c), code(points[i])]));

const quoted = (quote: string): Set<number> => new Set([...CONTROLS, code(quote), code('\\')]);

export const JSON_STRING: Writing = {
  close: code('"'),
  escapes: escapes('"\\/bfnrt', '"\\/\b\f\n\r\t'),
  unicode: 'pairs',
  refused: quoted('"'),
};
/** What Python and src/text/tool_calls.ts read alike. */
const pythonString = (quote: string): Writing => ({
  close: code(quote),
  escapes: escapes('"\'\\bfnrt', '"\'\\\b\f\n\r\t'),
  unicode: 'bmp',
  refused: quoted(quote),
});
export const PYTHON_STRINGS = [pythonString('"'), pythonString("'")];
export const RAW: Writing = {};

interface SubState {
  /** state of the automaton over characters */
  q: number;
  /**
   * utf8: bytes of a character; into: the same where all of them lead to one state; escape: behind a backslash; hex:
   * digits; pair: the backslash, then the u, of a low half
   */
  kind: 'char' | 'utf8' | 'into' | 'escape' | 'hex' | 'pair' | 'pairU';
  /** digits or bytes that are to come, and the value of those before; of `into` the state that follows */
  left: number;
  value: number;
  /** the least code point of this length in UTF-8; the high half of a pair */
  floor: number;
}

/** Reads the words of an automaton over characters in some writing, as UTF-8. */
export function createLexer(dfa: Dfa, writing: Writing): Lexer {
  const { close, escapes: simple, unicode, refused } = writing;
  const ids = new Map<string, number>();
  const states: SubState[] = [];
  const rows: (Int32Array | undefined)[] = [];
  const needs: number[] = [];
  const takesAny: boolean[] = [];

  function idOf(state: SubState): number {
    const key = `${state.q} ${state.kind} ${state.left} ${state.value} ${state.floor}`;
    return memo(ids, key, () => states.push(state) - 1);
  }
  const at = (q: number): number => idOf({ q, kind: 'char', left: 0, value: 0, floor: 0 });

  /** Behind some bytes of a character. */
  function utf8(state: SubState): number {
    const { q, left, value, floor } = state;
    const low = value * 64 ** left;
    const edges = dfa.edges(q);
    for (let i = 0; i < edges.length && edges[i] <= low; i += 3)
      if (low >= floor && edges[i + 1] >= low + 64 ** left - 1)
        return idOf({ q, kind: 'into', left, value: edges[i + 2], floor: 0 });
    return idOf(state);
  }

  const target = (q: number, point: number): number => targetIn(dfa, q, point);
  /** The code points that this digit sequence can still write, as intervals. */
  function hexPoints({ left, value, floor }: SubState): [number, number][] {
    const low = value * 16 ** left;
    const high = low + 16 ** left - 1;
    const clip = (from: number, to: number): [number, number] => [Math.max(low, from), Math.min(high, to)];
    if (floor) {
      const base = 0x10000 + (floor - 0xd800) * 0x400 - 0xdc00;
      const [a, b] = clip(0xdc00, 0xdfff);
      return a <= b ? [[base + a, base + b]] : [];
    }
    const [a, b] = clip(0xd800, 0xdbff);
    const pairs: [number, number] = [0x10000 + (a - 0xd800) * 0x400, 0x10000 + (b - 0xd800) * 0x400 + 0x3ff];
    return [clip(0, 0xd7ff), clip(0xe000, 0xffff), ...(unicode === 'pairs' && a <= b ? [pairs] : [])];
  }
  /** The code points that a character which has begun can still become. */
  function pointsOf(state: SubState): [number, number][] {
    const { kind, left, value, floor } = state;
    if (kind === 'utf8') return [[Math.max(floor, value * 64 ** left), (value + 1) * 64 ** left - 1]];
    if (kind === 'hex') return hexPoints(state);
    if (kind !== 'escape') return hexPoints({ ...state, left: 4, value: 0 });
    const singles = [...simple!.values()].map((point): [number, number] => [point, point]);
    return unicode ? [...singles, ...hexPoints(hexStart(state.q))] : singles;
  }
  const alive = (state: SubState): boolean =>
    pointsOf(state).some(([low, high]) => low <= high && targetIn(dfa, state.q, low, high) >= 0);

  function hexRow(state: SubState, row: Int32Array): void {
    for (const c of '0123456789abcdefABCDEF') {
      const value = state.value * 16 + parseInt(c, 16);
      const next = { ...state, left: state.left - 1, value };
      if (!alive(next)) continue;
      if (next.left) row[code(c)] = idOf(next);
      else if (state.floor)
        row[code(c)] = at(target(state.q, 0x10000 + (state.floor - 0xd800) * 0x400 + (value - 0xdc00)));
      else if (value >= 0xd800 && value <= 0xdbff)
        row[code(c)] = idOf({ ...next, kind: 'pair', value: 0, floor: value });
      else row[code(c)] = at(target(state.q, value));
    }
  }

  function charRow(q: number, row: Int32Array): void {
    const edges = dfa.edges(q);
    for (let i = 0; i < edges.length; i += 3) {
      const [low, high] = [edges[i], edges[i + 1]];
      if (low < 0x80) row.fill(at(edges[i + 2]), low, Math.min(high, 0x7f) + 1);
      // bytes that begin longer characters: those that follow, the least and the last code point, the fixed bits
      for (const [length, floor, last, lead] of [
        [1, 0x80, 0x7ff, 0xc0],
        [2, 0x800, 0xffff, 0xe0],
        [3, 0x10000, 0x10ffff, 0xf0],
      ]) {
        const from = Math.max(low, floor);
        const to = Math.min(high, last);
        for (let value = from >> (6 * length); from <= to && value <= to >> (6 * length); value++)
          row[lead | value] = utf8({ q, kind: 'utf8', left: length, value, floor });
      }
    }
    for (const byte of refused ?? []) row[byte] = DEAD;
    if (close !== undefined) row[close] = dfa.label(q) >= 0 ? CLOSE : DEAD;
    const escape: SubState = { q, kind: 'escape', left: 0, value: 0, floor: 0 };
    if (simple && alive(escape)) row[code('\\')] = idOf(escape);
  }
  /** Any character leads back to the state. */
  const isAny = (q: number): boolean => `${dfa.edges(q)}` === `${[ANY[0], ANY[1], q, ANY[2], ANY[3], q]}`;
  const hexStart = (q: number): SubState => ({ q, kind: 'hex', left: 4, value: 0, floor: 0 });
  function buildRow(id: number): Int32Array {
    const row = new Int32Array(256).fill(DEAD);
    const state = states[id];
    const { q, kind, left, value } = state;
    if (kind === 'char') charRow(q, row);
    else if (kind === 'into') row.fill(left > 1 ? idOf({ ...state, left: left - 1 }) : at(value), 0x80, 0xc0);
    else if (kind === 'hex') hexRow(state, row);
    else if (kind === 'pair') row[code('\\')] = idOf({ ...state, kind: 'pairU' });
    else if (kind === 'pairU') row[code('u')] = idOf({ ...state, kind: 'hex', left: 4 });
    else if (kind === 'escape') {
      for (const [byte, point] of simple!) {
        const next = target(q, point);
        if (next >= 0) row[byte] = at(next);
      }
      if (unicode && alive(hexStart(q))) row[code('u')] = idOf(hexStart(q));
    } else
      for (let byte = 0x80; byte < 0xc0; byte++) {
        const next = { ...state, left: left - 1, value: value * 64 + (byte & 63) };
        if (alive(next)) row[byte] = left > 1 ? utf8(next) : at(target(q, next.value));
      }
    return row;
  }

  function targets(id: number): number[] {
    const state = states[id];
    if (state.kind === 'char') return [state.q];
    if (state.kind === 'into') return [state.value];
    const intervals = pointsOf(state);
    const edges = dfa.edges(state.q);
    const found = new Set<number>();
    for (let i = 0; i < edges.length; i += 3)
      if (intervals.some(([low, high]) => low <= edges[i + 1] && high >= edges[i])) found.add(edges[i + 2]);
    return [...found];
  }

  return {
    start: dfa.start < 0 ? DEAD : at(dfa.start),
    open: close === undefined,
    writing,
    isAny: (state) => (takesAny[state] ??= states[state].kind === 'char' && isAny(states[state].q)),
    row: (state) => (rows[state] ??= buildRow(state)),
    label: (state) => (states[state].kind === 'char' ? dfa.label(states[state].q) : -1),
    partial: (state) => (states[state].kind === 'char' ? 0 : 1),
    targets,
    need: (state) =>
      (needs[state] ??=
        states[state].kind === 'char'
          ? dfa.distance(states[state].q)
          : 1 + Math.min(...targets(state).map((q) => dfa.distance(q)))),
  };
}

/** The text of a quoted string between its quotes. */
export function readWriting(text: string, writing: Writing): string {
  if (!writing.escapes) return text;
  return text.replace(/\\(?:u([\da-fA-F]{4})|(.))/gs, (_, digits: string | undefined, c: string) =>
    String.fromCharCode(digits ? parseInt(digits, 16) : writing.escapes!.get(code(c))!),
  );
}
