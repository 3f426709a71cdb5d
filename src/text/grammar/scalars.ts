/** Texts, numbers and words of a value, byte by byte. */
import { memo } from './memo';
import { readWriting, type Writing } from './lexer';
import { Node, type Lexeme } from './node';
import { advanced, begun, closes, labelOf, type Piece, type PieceKind } from './piece';

/** What waits for a value. `groups` are the formulas that the value was asked to fulfil and does. */
export interface Frame {
  readonly id: number;
  readonly depth: number;
  /** the value itself is needed, not only which formulas it fulfils */
  readonly wantsValue: boolean;
  close(groups: readonly number[], value: unknown): Node | null;
}

/** Objects that are equal become one, and have a number. */
export interface Store {
  idOf(object: object): number;
  intern<T extends object>(key: string, make: () => T): T;
}

export function createStore() {
  let known = new Map<string, object>();
  const numbers = new WeakMap<object, number>();
  let counter = 0;
  return {
    idOf(object: object): number {
      return memo(numbers, object, () => counter++);
    },
    intern<T extends object>(key: string, make: () => T): T {
      return memo(known, key, make) as T;
    },
    /** Forgets states: those in use stay valid. */
    forget(): void {
      known = new Map();
    },
    get size() {
      return known.size;
    },
  };
}

interface KindOfGroup {
  kind: PieceKind;
  group: number;
}
/** A piece that is being read, and the formulas for which it is. */
export interface Run {
  piece: Piece;
  groups: readonly number[];
}

export const pieceKey = ({ idOf }: Store, { kind, state, length, minus }: Piece): string =>
  `${idOf(kind)}.${state}.${length}.${minus}`;

const UTF8 = new TextDecoder();

/** @param bytes as characters */
export function readPiece(bytes: string, writing: Writing): string {
  const text = /[\x80-\xff]/.test(bytes) ? UTF8.decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0))) : bytes;
  return readWriting(text, writing);
}

export function createScalars(store: Store) {
  const { intern } = store;

  /** Equal pieces become one. */
  function merge(runs: readonly Run[]): readonly Run[] {
    if (runs.length < 2) return runs;
    const merged = new Map<string, Run>();
    for (const run of runs) {
      const key = pieceKey(store, run.piece);
      merged.set(key, { piece: run.piece, groups: groupsOf([merged.get(key) ?? run, run]) });
    }
    return [...merged.values()];
  }
  const groupsOf = (runs: readonly Run[]): number[] => [...new Set(runs.flatMap(({ groups }) => groups))];
  const step = (runs: readonly Run[], byte: number): readonly Run[] => merge(advanced(runs, byte));
  const runsKey = (runs: readonly Run[]): string =>
    runs.map(({ piece, groups }) => `${pieceKey(store, piece)}>${groups.join()}`).join(';');

  /** Pieces that end in `close`, which gets the bytes that come now. */
  const lexemesOf = (
    frame: Frame,
    runs: readonly Run[],
    close: (runs: readonly Run[], more: string) => Node | null,
  ): Lexeme[] =>
    runs.map((run) => ({
      piece: run.piece,
      needs: frame.wantsValue ? 'text' : 'nothing',
      exit: (_, text) => close([run], text ?? ''),
    }));

  /** @param read the bytes of the text so far, where the value is needed */
  function stringNode(frame: Frame, runs: readonly Run[], writing: Writing, read: string): Node | null {
    if (!runs.length) return null;
    const text = frame.wantsValue ? read : '';
    const close = (ended: readonly Run[], more: string): Node | null =>
      frame.close(groupsOf(ended), frame.wantsValue ? readPiece(text + more, writing) : undefined);
    return intern(
      `S${frame.id}/${writing.close}/${runsKey(runs)}/${text}`,
      () =>
        new Node({
          step(byte) {
            const closed = runs.filter(({ piece }) => closes(piece, byte) >= 0);
            if (closed.length) return close(closed, '');
            return stringNode(frame, step(runs, byte), writing, text + String.fromCharCode(byte));
          },
          lexemes: () => lexemesOf(frame, runs, close),
        }),
    );
  }

  function numberNode(frame: Frame, runs: readonly Run[], read: string): Node | null {
    if (!runs.length) return null;
    const text = frame.wantsValue ? read : '';
    const close = (ended: readonly Run[], more: string): Node | null =>
      frame.close(groupsOf(ended), frame.wantsValue ? Number(text + more) : undefined);
    const behind = (): Node | null => {
      const ended = runs.filter(({ piece: { kind, state, length } }) => labelOf(kind, state, length, -1) >= 0);
      return ended.length ? close(ended, '') : null;
    };
    return intern(
      `N${frame.id}/${runsKey(runs)}/${text}`,
      () =>
        new Node({
          step(byte) {
            const next = step(runs, byte);
            if (next.length) return numberNode(frame, next, text + String.fromCharCode(byte));
            return behind()?.next(byte) ?? null;
          },
          ends: () => behind()?.canEnd ?? false,
          specials: () => behind()?.specials() ?? [],
          lexemes: () => lexemesOf(frame, runs, close),
        }),
    );
  }

  const wordNode = (frame: Frame, groups: readonly number[], word: string, at: number, value: unknown): Node =>
    intern(
      `W${frame.id}/${groups.join()}/${word}/${at}`,
      () =>
        new Node({
          step(byte) {
            if (byte !== word.charCodeAt(at)) return null;
            return at + 1 < word.length ? wordNode(frame, groups, word, at + 1, value) : frame.close(groups, value);
          },
        }),
    );

  const runsOf = (list: readonly KindOfGroup[]): readonly Run[] =>
    merge(begun(list).map(({ piece, group }) => ({ piece, groups: [group] })));

  return {
    string: (frame: Frame, kinds: readonly KindOfGroup[], writing: Writing) =>
      stringNode(frame, runsOf(kinds), writing, ''),
    number: (frame: Frame, kinds: readonly KindOfGroup[], first: number) =>
      numberNode(frame, step(runsOf(kinds), first), String.fromCharCode(first)),
    word: (frame: Frame, groups: readonly number[], word: string, value: unknown) =>
      wordNode(frame, groups, word, 1, value),
  };
}
