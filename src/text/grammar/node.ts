/** States of a grammar, and the masks that follow from them. */
import { memo } from './memo';
import { DEAD, type Lexer } from './lexer';
import { labelOf, type Piece, type PieceKind } from './piece';
import { cachedScan, scan, type Exit } from './scan';
import { allow, createTree, orInto, tokensAt, type TokenTrie, type Tree } from './trie';

/** A piece that is being read, and the state behind it. */
export interface Lexeme {
  piece: Piece;
  /** what the state behind the piece depends on, besides its label */
  needs: 'nothing' | 'text where more follows' | 'text';
  /** @param text bytes of the piece that come now; undefined where they do not matter */
  exit(label: number, text: string | undefined): Node | null;
}

/** What a state is made of. */
export interface NodeParts {
  /** the state behind a byte */
  step(byte: number): Node | null;
  /** the pieces that are being read: together they say the same as `step` */
  lexemes?(): readonly Lexeme[];
  /** the text may end here */
  ends?(): boolean;
  /** the special tokens that may come, with the states behind them */
  specials?(): readonly (readonly [id: number, next: Node])[];
  /** any token that is not special may come: the state stays */
  free?: boolean;
}

/** A state. From each one a text can be completed; equal states of a grammar are one object. */
export class Node {
  private known?: Map<number, Node | null>;
  private masked?: { trie: TokenTrie; mask: Uint32Array };

  constructor(private readonly parts: NodeParts) {}

  get canEnd(): boolean {
    return this.parts.ends?.() ?? false;
  }
  specials(): readonly (readonly [id: number, next: Node])[] {
    return this.parts.specials?.() ?? [];
  }
  lexemes(): readonly Lexeme[] | undefined {
    return this.parts.lexemes?.();
  }

  next(byte: number): Node | null {
    let next = this.known?.get(byte);
    if (next === undefined) (this.known ??= new Map()).set(byte, (next = this.parts.step(byte)));
    return next;
  }

  /** bit v & 31 of word v >> 5 is set when token v may come; not to be changed */
  mask(trie: TokenTrie): Uint32Array {
    if (this.masked?.trie === trie) return this.masked.mask;
    const mask = new Uint32Array(trie.words);
    if (this.parts.free) orInto(mask, trie.all);
    else walk(this, trie, 0, mask, trie);
    const set = (id: number): void => void (mask[id >>> 5] |= 1 << (id & 31));
    if (this.canEnd) trie.eosIds.forEach(set);
    for (const [id] of this.specials()) set(id);
    this.masked = { trie, mask };
    return mask;
  }
}

/** Allows the tokens below a node of the tree whose bytes can follow. */
function walk(start: Node, tree: Tree, top: number, mask: Uint32Array, trie: TokenTrie): void {
  const lexemes = start.lexemes();
  if (lexemes) return void lexemes.forEach((lexeme) => walkPiece(lexeme, tree, top, mask, trie));
  const { byte, depth, end } = tree;
  const path: Node[] = [start];
  const base = depth[top];
  for (let i = top + 1; i < end[top];) {
    const next = path[depth[i] - base - 1].next(byte[i]);
    if (!next) {
      i = end[i];
      continue;
    }
    allow(tree, i, mask);
    if (end[i] === i + 1) i++;
    else if (next.lexemes()) {
      walk(next, tree, i, mask, trie);
      i = end[i];
    } else {
      path[depth[i] - base] = next;
      i++;
    }
  }
}

function walkPiece(lexeme: Lexeme, tree: Tree, top: number, mask: Uint32Array, trie: TokenTrie): void {
  const { piece, needs, exit } = lexeme;
  const { kind, state, minus } = piece;
  const { lexer } = kind;
  // an open piece may end before the first byte
  if (lexer.open) {
    const label = labelOf(kind, state, piece.length, minus);
    const behind = label < 0 ? null : exit(label, '');
    if (behind) walk(behind, tree, top, mask, trie);
  }
  const exactly = kind.allowed !== undefined;
  const found = exactly ? scan(tree, top, piece, trie, exactly) : cachedScan(tree, top, piece, trie);
  const banned = minus === DEAD ? [] : bannedExits(kind, tree, top, minus, trie);
  const own = banned.length ? new Uint32Array(mask.length) : mask;

  const inside = found.inside.filter(([need]) => exactly || need <= kind.max - piece.length).pop();
  if (inside) orInto(own, inside[1]);

  const start = exactly ? 0 : piece.length;
  const fits = ({ length }: Exit): boolean => start + length >= kind.min && start + length <= kind.max;
  const walkExit = ({ node, state: last, length, text: read }: Exit): void => {
    const label = labelOf(kind, last, start + length, DEAD);
    const behind = label < 0 ? null : exit(label, read);
    if (!behind) return;
    if (lexer.open) walkFrom(behind, tree, node, own, trie);
    else {
      allow(tree, node, own);
      walk(behind, tree, node, own, trie);
    }
  };
  const merge = !exactly && needs !== 'text' && found.exits.length > 16;
  if (merge) {
    const simple = (one: Exit): boolean => needs === 'nothing' || !one.more;
    const merged = (exits: readonly Exit[]): Map<number, Tree> => mergeExits(tree, exits.filter(simple), lexer, trie);
    const trees = found.exits.every(fits)
      ? (found.trees[needs] ??= merged(found.exits))
      : merged(found.exits.filter(fits));
    for (const [label, behindIt] of trees) {
      const behind = exit(label, undefined);
      if (!behind) continue;
      allow(behindIt, 0, own);
      walk(behind, behindIt, 0, own, trie);
    }
    if (needs !== 'nothing') for (const one of found.exits) if (!simple(one)) walkExit(one);
  } else found.exits.forEach(walkExit);

  if (own === mask) return;
  for (const node of banned)
    for (let i = node; i < tree.end[node]; i++) for (const id of tokensAt(tree, i)) own[id >>> 5] &= ~(1 << (id & 31));
  orInto(mask, own);
}

/** Like `walk` for one child of a node. */
function walkFrom(behind: Node, tree: Tree, node: number, mask: Uint32Array, trie: TokenTrie): void {
  const next = behind.next(tree.byte[node]);
  if (!next) return;
  allow(tree, node, mask);
  walk(next, tree, node, mask, trie);
}

/** The nodes at which exactly an excluded word ends. */
function bannedExits({ minus }: PieceKind, tree: Tree, top: number, state: number, trie: TokenTrie): number[] {
  const kind = { lexer: minus!, min: 0, max: Infinity };
  return scan(tree, top, { kind, state, length: 0, minus: DEAD }, trie, true).exits.map(({ node }) => node);
}

/** One tree for all exits with the same label: of what follows the piece. */
function mergeExits(tree: Tree, exits: readonly Exit[], lexer: Lexer, { bytes }: TokenTrie): Map<number, Tree> {
  const lists = new Map<number, { texts: Uint8Array[]; ids: number[] }>();
  for (const { node, state } of exits) {
    const { texts, ids } = memo(lists, lexer.label(state), () => ({ texts: [], ids: [] }));
    const base = tree.depth[node] - (lexer.open ? 1 : 0);
    for (let i = node; i < tree.end[node]; i++)
      for (const id of tokensAt(tree, i)) {
        const text = bytes[id]!;
        texts.push(text.subarray(text.length - tree.depth[i] + base));
        ids.push(id);
      }
  }
  return new Map([...lists].map(([label, { texts, ids }]) => [label, createTree(texts, ids)]));
}
