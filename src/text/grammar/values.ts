/** A value as text, byte by byte: every alternative that still fits is followed at once. */
import type { ArrayState } from './arrays';
import { ARRAY, FALSE, NULL, NUMBER, OBJECT, STRING, TRUE, type Formula } from './formula';
import { code, JSON_STRING, PYTHON_STRINGS, type Writing } from './lexer';
import { memo } from './memo';
import { Node } from './node';
import type { Name, ObjectState } from './objects';
import { advanced, begun, closes, type Piece } from './piece';
import { createScalars, createStore, pieceKey, readPiece, type Frame } from './scalars';
import type { Shape, Solver } from './solver';

/** How values are written. */
export interface Syntax {
  /** of texts and keys, by their opening byte */
  strings: ReadonlyMap<number, Writing>;
  words: readonly (readonly [word: string, bit: number])[];
}

const [QUOTE, COMMA, COLON] = [code('"'), code(','), code(':')];

export const JSON_SYNTAX: Syntax = {
  strings: new Map([[QUOTE, JSON_STRING]]),
  words: [
    ['null', NULL],
    ['true', TRUE],
    ['false', FALSE],
  ],
};
/** Literals of Python, and those of JSON, which models write as well. */
export const PYTHON_SYNTAX: Syntax = {
  strings: new Map(PYTHON_STRINGS.map((writing) => [writing.close!, writing])),
  words: [...JSON_SYNTAX.words, ['None', NULL], ['True', TRUE], ['False', FALSE]],
};

/** Values that may be anything are not nested deeper than this: no reader of calls reads more. */
const MAX_FREE_DEPTH = 24;
const DEEP = OBJECT | ARRAY;
const LINE = 10;
const MAX_INDENTATION = 40;

/** Space between tokens: at most two blanks, or a line break with indentation. */
function nextSpace(space: number, byte: number): number {
  if (byte === 32 || byte === 9) return space < 2 || (space >= LINE && space < LINE + MAX_INDENTATION) ? space + 1 : -1;
  if (byte === 10 && space < LINE) return LINE;
  return byte === 13 && space < 3 ? 3 : -1;
}

interface Alternative<S> {
  state: S;
  group: number;
}
interface Waiting<S> extends Alternative<S> {
  before: S;
  child: number;
}
type Phase = 'first' | 'next' | 'after';
interface KeyRun {
  piece: Piece;
  alternative: Alternative<ObjectState>;
  nameOf: (label: number, text: string) => Name;
}
/** Braces with quoted names, or the parentheses of a call with bare ones. */
interface ObjectStyle {
  close: number;
  bare?: Writing;
}
/** An object that is being read. */
interface OpenObject {
  frame: Frame;
  list: readonly Alternative<ObjectState>[];
  style: ObjectStyle;
  /** its properties, where the value is needed */
  entries: readonly (readonly [string, unknown])[];
}

const BRACES: ObjectStyle = { close: 0x7d };

export type Values = ReturnType<typeof createValues>;

export function createValues(solver: Solver, syntax: Syntax) {
  const store = createStore();
  const { idOf, intern } = store;
  const scalars = createScalars(store);
  let frames = 0;

  const stateKey = ({ part, key }: { part: object; key: string }): string => `${idOf(part)}:${key}`;
  const alternativeKey = ({ state, group }: Alternative<ArrayState | ObjectState>): string =>
    `${stateKey(state)}>${group}`;
  /** Equal alternatives become one. */
  const distinct = <S extends ArrayState | ObjectState>(
    list: readonly Alternative<S>[],
  ): [string, Alternative<S>[]] => {
    const byKey = new Map(list.map((one) => [alternativeKey(one), one]));
    return [[...byKey.keys()].join(';'), [...byKey.values()]];
  };
  /** The state behind a list or an object, if it may end. */
  function closed(frame: Frame, list: readonly Alternative<ArrayState | ObjectState>[], value: unknown): Node | null {
    const ending = list.filter(({ state }) => state.part.canClose(state as never));
    const groups = [...new Set(ending.map(({ group }) => group))];
    return groups.length ? frame.close(groups, frame.wantsValue ? value : undefined) : null;
  }
  const started = <S>(
    shapes: readonly { shape: Shape; group: number }[],
    begun: (shape: Shape) => S | null,
  ): Alternative<S>[] =>
    shapes.flatMap(({ shape, group }) => {
      const state = begun(shape);
      return state ? [{ state, group }] : [];
    });
  const shapesOf = (formula: Formula, depth: number, bit: number): readonly Shape[] =>
    solver
      .alternatives(formula)
      .filter(
        (shape) =>
          solver.kindsOf(shape) & bit &&
          !(bit & DEEP && depth >= MAX_FREE_DEPTH && !shape.literals.length && shape.mask & ~DEEP),
      );
  const beginObject = (shape: Shape): ObjectState | null => solver.objectPart(shape).begin();

  /** A state in which space may come. @param step for other bytes */
  const spaced = (key: string, step: (byte: number) => Node | null, space = 0): Node =>
    intern(
      `${key}/${space}`,
      () =>
        new Node({
          step(byte) {
            const more = nextSpace(space, byte);
            return more < 0 ? step(byte) : spaced(key, step, more);
          },
        }),
    );

  /** Before a value, which fulfils some of the formulas. */
  const valueNode = (frame: Frame, formulas: readonly Formula[]): Node =>
    spaced(`V${frame.id}/${formulas.map(({ id }) => id).join()}`, (byte) => firstByte(frame, formulas, byte));

  function firstByte(frame: Frame, formulas: readonly Formula[], byte: number): Node | null {
    const shapes = (bit: number): { shape: Shape; group: number }[] =>
      formulas.flatMap((formula, group) => shapesOf(formula, frame.depth, bit).map((shape) => ({ shape, group })));
    const writing = syntax.strings.get(byte);
    if (writing) {
      const kinds = shapes(STRING).map(({ shape, group }) => ({ kind: solver.stringPart(shape).kind(writing), group }));
      return scalars.string(frame, kinds, writing);
    }
    if (byte === 0x7b)
      return objectNode({ frame, list: started(shapes(OBJECT), beginObject), style: BRACES, entries: [] }, 'first');
    if (byte === 0x5b)
      return listNode(
        frame,
        started(shapes(ARRAY), (shape) => solver.arrayPart(shape).begin()),
        'first',
        [],
      );
    if (byte === 45 || (byte >= 48 && byte <= 57)) {
      const kinds = shapes(NUMBER).map(({ shape, group }) => ({ kind: solver.numberPart(shape).kind, group }));
      return scalars.number(frame, kinds, byte);
    }
    for (const [word, bit] of syntax.words)
      if (code(word) === byte) {
        const groups = [...new Set(shapes(bit).map(({ group }) => group))];
        return groups.length ? scalars.word(frame, groups, word, bit === NULL ? null : bit === TRUE) : null;
      }
    return null;
  }

  /** The state that reads a value, for several alternatives of what holds it. */
  function waitFor<S extends { part: { needsValues(state: S): boolean }; key: string }>(
    parent: Frame,
    given: readonly (Omit<Waiting<S>, 'child'> & { value: Formula })[],
    name: string,
    next: (waiting: readonly Waiting<S>[], value: unknown) => Node | null,
  ): Node | null {
    if (!given.length) return null;
    const formulas: Formula[] = [];
    const waiting = given.map(({ value, ...one }): Waiting<S> => {
      let child = formulas.indexOf(value);
      if (child < 0) child = formulas.push(value) - 1;
      return { ...one, child };
    });
    const keys = waiting.map(
      ({ state, before, group, child }) => `${stateKey(before)}>${stateKey(state)}>${group}>${child}`,
    );
    const frame = intern(`F${parent.id}/${name}/${keys.join(';')}`, (): Frame => ({
      id: frames++,
      depth: parent.depth + 1,
      wantsValue: parent.wantsValue || waiting.some(({ before }) => before.part.needsValues(before)),
      close: (groups, value) =>
        next(
          waiting.filter(({ child }) => groups.includes(child)),
          value,
        ),
    }));
    return valueNode(frame, formulas);
  }

  /** @param items the items so far, where the value is needed */
  function listNode(
    frame: Frame,
    given: readonly Alternative<ArrayState>[],
    phase: Phase,
    items: readonly unknown[],
  ): Node | null {
    if (!given.length) return null;
    const [key, list] = distinct(given);
    let item: Node | null | undefined;
    return spaced(`L${frame.id}/${phase}/${key}/${JSON.stringify(items)}`, (byte) => {
      if (byte <= 32) return null; // a value begins with space of its own
      if (byte === 0x5d && phase !== 'next') {
        return closed(frame, list, items);
      }
      if (phase !== 'after') {
        if (item === undefined) item = nextItem(frame, list, items);
        return item?.next(byte) ?? null;
      }
      if (byte !== COMMA) return null;
      const going = list.filter(({ state }) => state.part.options(state).length);
      return listNode(frame, going, 'next', items);
    });
  }
  const nextItem = (frame: Frame, list: readonly Alternative<ArrayState>[], items: readonly unknown[]): Node | null =>
    waitFor(
      frame,
      list.flatMap(({ state: before, group }) =>
        before.part.options(before).map((option) => ({ ...option, before, group })),
      ),
      `L${JSON.stringify(items)}`,
      (waiting, value) =>
        listNode(
          frame,
          waiting.map(({ before, state, group }) => ({ state: before.part.after(before, state, value), group })),
          'after',
          frame.wantsValue ? [...items, value] : [],
        ),
    );

  function objectNode(given: OpenObject, phase: Phase): Node | null {
    const { frame, style, entries } = given;
    if (!given.list.length) return null;
    const [key, list] = distinct(given.list);
    const object = { ...given, list };
    return spaced(`O${frame.id}/${phase}${style.close}/${key}/${JSON.stringify(entries)}`, (byte) => {
      if (byte === style.close && phase !== 'next') {
        return closed(frame, list, Object.fromEntries(entries));
      }
      if (phase === 'after') {
        if (byte !== COMMA) return null;
        const writing = style.bare ?? [...syntax.strings.values()][0];
        const going = list.filter((one) => runsOfKeys(one, writing).length);
        return objectNode({ ...object, list: going }, 'next');
      }
      const writing = style.bare ?? syntax.strings.get(byte);
      if (!writing) return null;
      const runs = list.flatMap((one) => runsOfKeys(one, writing));
      const node = keyNode(object, runs, writing, '');
      return style.bare ? (node?.next(byte) ?? null) : node;
    });
  }

  const keyRuns = new WeakMap<ObjectState, Map<Writing, Omit<KeyRun, 'alternative'>[]>>();
  function runsOfKeys(alternative: Alternative<ObjectState>, writing: Writing): KeyRun[] {
    const { state } = alternative;
    const byWriting = memo(keyRuns, state, () => new Map<Writing, Omit<KeyRun, 'alternative'>[]>());
    const runs = memo(byWriting, writing, () => begun(state.part.keys(state, writing)));
    return runs.map((run) => ({ ...run, alternative }));
  }

  /** In a name, behind the bytes `read`. */
  function keyNode(object: OpenObject, runs: readonly KeyRun[], writing: Writing, read: string): Node | null {
    if (!runs.length) return null;
    const { frame, list, style, entries } = object;
    const key = runs.map(({ piece, alternative }) => `${pieceKey(store, piece)}>${alternativeKey(alternative)}`);
    const close = (ended: readonly KeyRun[], more: string): Node | null =>
      behindName(object, ended, readPiece(read + more, writing));
    return intern(
      `K${frame.id}/${style.close}/${list.map(alternativeKey).join(';')}/${JSON.stringify(entries)}/` +
        `${writing.close}/${key.join(';')}/${read}`,
      () =>
        new Node({
          step(byte) {
            const closed = runs.filter(({ piece }) => closes(piece, byte) >= 0);
            if (closed.length) return close(closed, '');
            return keyNode(object, advanced(runs, byte), writing, read + String.fromCharCode(byte));
          },
          lexemes: () =>
            runs.map((run) => ({
              piece: run.piece,
              needs: run.piece.kind.allowed
                ? 'nothing'
                : frame.wantsValue || run.alternative.state.others.length
                  ? 'text'
                  : 'text where more follows',
              exit: (label, text) => close([{ ...run, nameOf: (_, name) => run.nameOf(label, name) }], text ?? ''),
            })),
        }),
    );
  }

  /** The state behind a name. */
  function behindName(object: OpenObject, runs: readonly KeyRun[], text: string): Node | null {
    const { frame, style, entries } = object;
    let key = text;
    const options = runs.flatMap(({ piece, alternative: { state: before, group }, nameOf }) => {
      const name = nameOf(piece.kind.lexer.label(piece.state), text);
      if ('known' in name) key = before.part.names[name.known];
      return before.part.options(before, name).map((option) => ({ ...option, before, group }));
    });
    const node = waitFor(frame, options, `O${style.close}${JSON.stringify([key, entries])}`, (waiting, value) => {
      const list = waiting.map(({ before, state, group }) => ({
        state: before.part.after(before, state, key, value),
        group,
      }));
      return objectNode({ ...object, list, entries: frame.wantsValue ? [...entries, [key, value]] : [] }, 'after');
    });
    return node && (style.bare ? node : colonNode(node));
  }
  const colonNode = (value: Node): Node => spaced(`:${idOf(value)}`, (byte) => (byte === COLON ? value : null));

  return {
    store,
    intern,
    spaced,
    /** A value that fulfils a formula; null if there is none. */
    value: (frame: Frame, formula: Formula): Node | null => (solver.has(formula) ? valueNode(frame, [formula]) : null),
    /** Arguments in parentheses, as properties of an object that fulfils a formula. */
    call(frame: Frame, formula: Formula, bare: Writing): Node | null {
      const shapes = shapesOf(formula, 0, OBJECT).map((shape) => ({ shape, group: 0 }));
      return objectNode(
        { frame, list: started(shapes, beginObject), style: { close: 0x29, bare }, entries: [] },
        'first',
      );
    },
    newFrame: (close: Frame['close']): Frame => ({ id: frames++, depth: 0, wantsValue: false, close }),
  };
}
