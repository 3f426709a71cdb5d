/** A piece of a text that is being read: a lexer's state, with what an automaton cannot hold in its states. */
import type { WordsDfa } from './dfa';
import { CLOSE, DEAD, type Lexer } from './lexer';

export interface PieceKind {
  lexer: Lexer;
  /** characters; only of flexible automata */
  min: number;
  max: number;
  /** of a list of words, those that are allowed: how many of them stand in front of each word */
  allowed?: { dfa: WordsDfa; before: Int32Array };
  /** words of a flexible automaton that are not allowed */
  minus?: Lexer;
}

export interface Piece {
  kind: PieceKind;
  state: number;
  /** characters so far */
  length: number;
  /** state of the lexer of the words that are not allowed; DEAD: it is none of them */
  minus: number;
}

export const begin = (kind: PieceKind): Piece | null => {
  const piece = { kind, state: kind.lexer.start, length: 0, minus: kind.minus?.start ?? DEAD };
  return piece.state !== DEAD && isAlive(piece) ? piece : null;
};

/** Whether an allowed word can follow. */
export function isAlive({ kind, state, length }: Omit<Piece, 'minus'>): boolean {
  const { lexer, allowed } = kind;
  if (kind.max < Infinity && length + lexer.need(state) > kind.max) return false;
  if (allowed) {
    const { dfa, before } = allowed;
    const some = (q: number): boolean => {
      const [low, high] = dfa.range(q);
      return before[high] > before[low];
    };
    if (!lexer.targets(state).some(some)) return false;
  }
  return true;
}

/** @returns the label if a byte closes the piece as an allowed word; −1 */
export function closes({ kind, state, length, minus }: Piece, byte: number): number {
  if (kind.lexer.row(state)[byte] !== CLOSE) return -1;
  return labelOf(kind, state, length, minus);
}

/** @returns the label if the piece may end here; −1 */
export function labelOf(
  { lexer, min, max, allowed, minus }: PieceKind,
  state: number,
  length: number,
  m: number,
): number {
  const label = lexer.label(state);
  if (label < 0 || length < min || length > max) return -1;
  if (allowed && allowed.before[label + 1] === allowed.before[label]) return -1;
  return m !== DEAD && minus!.label(m) >= 0 ? -1 : label;
}

/** Those of some pieces that begin. */
export const begun = <T extends { kind: PieceKind }>(list: readonly T[]): (Omit<T, 'kind'> & { piece: Piece })[] =>
  list.flatMap(({ kind, ...rest }) => {
    const piece = begin(kind);
    return piece ? [{ ...rest, piece }] : [];
  });

/** Those of some pieces that go on with a byte. */
export const advanced = <T extends { piece: Piece }>(list: readonly T[], byte: number): T[] =>
  list.flatMap((one) => {
    const piece = advance(one.piece, byte);
    return piece ? [{ ...one, piece }] : [];
  });

export function advance(piece: Piece, byte: number): Piece | null {
  const { kind, length, minus } = piece;
  const state = kind.lexer.row(piece.state)[byte];
  if (state < 0) return null;
  const m = minus === DEAD ? DEAD : kind.minus!.row(minus)[byte];
  const count = length + 1 - kind.lexer.partial(state);
  const next = {
    kind,
    state,
    length: kind.max === Infinity ? Math.min(count, kind.min) : count,
    minus: m < 0 ? DEAD : m,
  };
  return isAlive(next) ? next : null;
}
