/** Whole texts: of a regular language, free, or with a thinking part in front. */
import { memo } from './memo';
import { Node } from './node';
import { advance, begin, labelOf, type Piece, type PieceKind } from './piece';

/** Nothing may follow. */
export const END = new Node({ step: () => null, ends: () => true });

/** A text that is one piece; null if there is none. */
export function pieceText(kind: PieceKind): Node | null {
  const known = new Map<string, Node>();
  const nodeOf = (piece: Piece | null): Node | null => {
    if (!piece) return null;
    const { state, length, minus } = piece;
    const key = `${state}.${length}.${minus}`;
    return memo(
      known,
      key,
      () =>
        new Node({
          step: (byte) => nodeOf(advance(piece, byte)),
          ends: () => labelOf(kind, state, length, minus) >= 0,
          lexemes: () => [{ piece, needs: 'nothing', exit: () => null }],
        }),
    );
  };
  return nodeOf(begin(kind));
}

type Specials = readonly (readonly [id: number, next: Node])[];

/** Any text, and special tokens that lead elsewhere. */
export function freeText(specials: () => Specials, mayEnd: boolean): Node {
  const node: Node = new Node({ step: () => node, free: true, specials, ends: () => mayEnd });
  return node;
}

/** A special token, and nothing else. */
export const specialToken = (id: number, next: Node): Node =>
  new Node({ step: () => null, specials: () => [[id, next]] });

/** The special tokens around thinking. */
export interface ThinkingMarks {
  start?: number;
  end: number;
  /** the prompt has begun the thinking */
  begun: boolean;
}

/** A text behind thinking, which is free, and at most two line breaks. */
export function withThinking(inner: Node, { start, end, begun }: ThinkingMarks): Node {
  const around = (more: Specials, breaks: number): Node =>
    new Node({
      step: (byte) => (byte === 10 && breaks ? around([], breaks - 1) : inner.next(byte)),
      ends: () => inner.canEnd,
      specials: () => [...inner.specials(), ...more],
    });
  const behind = around([], 2);
  const thinking = freeText(() => [[end, behind]], false);
  if (begun) return thinking;
  return start === undefined ? inner : around([[start, thinking]], 0);
}
