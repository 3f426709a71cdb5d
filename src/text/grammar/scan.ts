/** Reads the tokens of a tree with a lexer: which stay within a piece, and where the others leave it. */
import { memo } from './memo';
import { CLOSE } from './lexer';
import { isAlive, type Piece } from './piece';
import { orInto, tokensAt, type TokenTrie, type Tree } from './trie';

/** Where a piece can end inside a token. */
export interface Exit {
  /** the closing byte's node; of an open piece, the node of the first byte behind it */
  node: number;
  /** characters of the piece that come before */
  length: number;
  state: number;
  /** bytes of the piece, and whether a value or an object may end behind it */
  text: string;
  more: boolean;
}

export interface Scan {
  /** tokens that stay within the piece, by the characters that it then needs at most, ascending */
  inside: (readonly [need: number, mask: Uint32Array])[];
  exits: Exit[];
  /** what follows, of the exits with a label that are not told apart by their text: by `Lexeme.needs` */
  trees: Partial<Record<string, Map<number, Tree>>>;
}

/** What is inside of a text that may be anything. */
interface AnyText {
  /** 1 + `need` of the tokens that end at a node, or 0 */
  needs: Uint16Array;
  /** by `need` */
  masks: Uint32Array[];
  exits: Exit[];
}
/** All below a node, where anything may come. */
interface AnyRun {
  from: number;
  to: number;
  state: number;
}

const flags = (bytes: string): Uint8Array =>
  Uint8Array.from({ length: 256 }, (_, i) => Number(bytes.includes(String.fromCharCode(i))));
const FOLLOW = flags(',]}) \n\r\t');
const MORE = flags(',]})');

// by depth
const rows: Int32Array[] = [];
const states = new Int32Array(1026);
const lengths = new Int32Array(1026);
const partials = new Uint8Array(1026);
const path = new Uint8Array(1026);

/**
 * @param exactly with counters and lists of words
 * @param top of the vocabulary's own tree the root, if what any text may be is to be looked up
 */
export function scan(tree: Tree, top: number, piece: Piece, trie: TokenTrie, exactly: boolean): Scan {
  const { byte, depth, end, token } = tree;
  const { kind } = piece;
  const { lexer } = kind;
  const masks: Uint32Array[] = [];
  const exits: Exit[] = [];
  const base = depth[top];
  const last = end[top];
  const start = lexer.partial(piece.state);
  const whole = tree === trie && top === 0 && !exactly && !start && lexer.writing;
  const any = whole ? (trie.anyText.get(whole) as AnyText | undefined) : undefined;
  const runs: AnyRun[] = [];
  const isAny = whole && lexer.isAny(piece.state);
  const made = isAny && !any ? new Uint16Array(trie.size) : undefined;
  function add(id: number, need: number, node: number): void {
    const mask = (masks[need] ??= new Uint32Array(trie.words));
    mask[id >>> 5] |= 1 << (id & 31);
    if (made) made[node] = need + 1;
  }

  states[0] = piece.state;
  rows[0] = lexer.row(piece.state);
  lengths[0] = exactly ? piece.length : 0;
  partials[0] = start;
  let i = top + 1;
  if (any && isAny) {
    runs.push({ from: i, to: last, state: piece.state });
    i = last;
  }
  while (i < last) {
    const at = depth[i] - base;
    const before = states[at - 1];
    const state = rows[at - 1][byte[i]];
    if (state < 0) {
      if (state === CLOSE || (lexer.open && at > 1 && FOLLOW[byte[i]] && lexer.label(before) >= 0)) {
        const text = String.fromCharCode(...path.subarray(0, at - 1));
        exits.push({ node: i, length: lengths[at - 1], state: before, text, more: hasMore(tree, i) });
      }
      i = end[i];
      continue;
    }
    const same = state === before;
    const partial = same ? partials[at - 1] : lexer.partial(state);
    const length = lengths[at - 1] + 1 - partial;
    if (exactly && !isAlive({ kind, state, length })) {
      i = end[i];
      continue;
    }
    if (any && !partial && end[i] > i + 1 && lexer.isAny(state)) {
      runs.push({ from: i, to: end[i], state });
      i = end[i];
      continue;
    }
    if (token[i] !== -1) {
      const need = exactly ? 0 : length + lexer.need(state);
      if (token[i] >= 0) add(token[i], need, i);
      else for (const id of tokensAt(tree, i)) add(id, need, i);
    }
    if (end[i] > i + 1) {
      states[at] = state;
      lengths[at] = length;
      partials[at] = partial;
      path[at - 1] = byte[i];
      rows[at] = same ? rows[at - 1] : lexer.row(state);
    }
    i++;
  }
  if (runs.length) lookUp(any!, runs, masks, exits, trie);
  if (made)
    trie.anyText.set(lexer.writing!, {
      needs: made,
      masks: masks.map((mask) => mask.slice()),
      exits,
    });
  const inside = Object.entries(masks).map(([need, mask]): [number, Uint32Array] => [Number(need), mask]);
  for (let j = 1; j < inside.length; j++) orInto(inside[j][1], inside[j - 1][1]);
  return { inside, exits, trees: {} };
}

/** Adds what is below some nodes, from what any text may be. */
function lookUp(any: AnyText, runs: readonly AnyRun[], masks: Uint32Array[], exits: Exit[], trie: TokenTrie): void {
  const { needs } = any;
  let r = 0;
  for (const exit of any.exits) {
    while (runs[r]?.to <= exit.node) r++;
    if (runs[r]?.from <= exit.node) exits.push({ ...exit, state: runs[r].state });
  }
  const size = runs.reduce((sum, { from, to }) => sum + to - from, 0);
  // the fewer nodes are looked at: those of the runs, or all others
  const others = 2 * size > trie.size;
  const own = any.masks.map((mask) => (others ? mask.slice() : new Uint32Array(trie.words)));
  const cuts = runs.flatMap(({ from, to }) => [from, to]);
  const bounds = others ? [0, ...cuts, trie.size] : cuts;
  for (let b = 0; b < bounds.length; b += 2)
    for (let i = bounds[b]; i < bounds[b + 1]; i++)
      if (needs[i]) for (const id of tokensAt(trie, i)) own[needs[i] - 1][id >>> 5] ^= 1 << (id & 31);
  own.forEach((mask, need) => (masks[need] ? orInto(masks[need], mask) : (masks[need] = mask)));
}

/** Scans of large subtrees are kept: they depend on the lexer and its state only. */
export function cachedScan(tree: Tree, top: number, piece: Piece, trie: TokenTrie): Scan {
  const make = (): Scan => scan(tree, top, piece, trie, false);
  if (tree !== trie || tree.end[top] - top < 64) return make();
  const scans = memo(trie.cache, piece.kind.lexer, () => new Map<string, unknown>());
  return memo(scans, `${piece.state} ${top}`, make) as Scan;
}

function hasMore(tree: Tree, node: number): boolean {
  for (let i = node; i < tree.end[node]; i++) if (MORE[tree.byte[i]]) return true;
  return false;
}
