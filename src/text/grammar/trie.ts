/** The tokens of a vocabulary as a prefix tree of their bytes. */
import { memo } from './memo';

/** Nodes stand in the order of a walk; 0 is the root. A node's children follow it directly. */
export interface Tree {
  readonly size: number;
  readonly byte: Uint8Array;
  readonly depth: Uint16Array;
  /** the first node behind a node and all below it */
  readonly end: Int32Array;
  /** the token that ends at a node; −1: none; −2: several, which `several` has */
  readonly token: Int32Array;
  readonly several: ReadonlyMap<number, readonly number[]>;
}

/** Longer tokens than this are never allowed: no vocabulary of the family has one. */
const MAX_TOKEN_BYTES = 1024;

export interface TokenTrie extends Tree {
  /** words of a mask: ⌈V / 32⌉ */
  readonly words: number;
  readonly eosIds: readonly number[];
  readonly bytes: readonly (Uint8Array | undefined)[];
  /** masks of pieces of text, by lexer; @internal */
  readonly cache: WeakMap<object, Map<string, unknown>>;
  /** what any text may be, by the way in which it is written; @internal */
  readonly anyText: Map<object, unknown>;
  /** the tokens of the tree */
  readonly all: Uint32Array;
}

/**
 * @param tokenBytes [V], undefined for special tokens and ids without a token: these are allowed by id only
 * @param eosIds tokens that end a text
 */
export function createTrie(tokenBytes: readonly (Uint8Array | undefined)[], eosIds: readonly number[]): TokenTrie {
  const all = new Uint32Array(Math.ceil(tokenBytes.length / 32));
  const texts: Uint8Array[] = [];
  const ids: number[] = [];
  for (const [id, bytes] of tokenBytes.entries()) {
    if (!bytes?.length || bytes.length > MAX_TOKEN_BYTES || eosIds.includes(id)) continue;
    all[id >>> 5] |= 1 << (id & 31);
    texts.push(bytes);
    ids.push(id);
  }
  return {
    ...createTree(texts, ids),
    words: all.length,
    eosIds,
    bytes: tokenBytes,
    cache: new WeakMap(),
    anyText: new Map(),
    all,
  };
}

/** The tree of some texts. @param ids the token of each text */
export function createTree(texts: readonly Uint8Array[], ids: readonly number[]): Tree {
  const most = texts.reduce((sum, { length }) => sum + length, 1);
  const byte = new Uint8Array(most);
  const depth = new Uint16Array(most);
  const end = new Int32Array(most);
  const token = new Int32Array(most).fill(-1);
  const several = new Map<number, number[]>();
  /** the texts below a node as a linked list; by depth and byte, where the list of each child begins */
  const next = Int32Array.from(texts, (_, i) => i - 1);
  const heads: Int32Array[] = [];
  let size = 0;

  function visit(first: number, at: number, value: number): void {
    const node = size++;
    byte[node] = value;
    depth[node] = at;
    const children = (heads[at] ??= new Int32Array(256).fill(-1));
    let low = 256;
    let high = -1;
    for (let i = first; i >= 0;) {
      const following = next[i];
      const text = texts[i];
      if (text.length > at) {
        const child = text[at];
        next[i] = children[child];
        children[child] = i;
        if (child < low) low = child;
        if (child > high) high = child;
      } else if (token[node] === -1) token[node] = ids[i];
      else {
        memo(several, node, () => [token[node]]).push(ids[i]);
        token[node] = -2;
      }
      i = following;
    }
    for (let child = low; child <= high; child++) {
      const list = children[child];
      children[child] = -1;
      if (list >= 0) visit(list, at + 1, child);
    }
    end[node] = size;
  }
  visit(texts.length - 1, 0, 0);
  return {
    size,
    byte: byte.slice(0, size),
    depth: depth.slice(0, size),
    end: end.slice(0, size),
    token: token.slice(0, size),
    several,
  };
}

/** The tokens that end at a node. */
export function tokensAt({ token, several }: Tree, node: number): readonly number[] {
  const id = token[node];
  return id >= 0 ? [id] : (several.get(node) ?? []);
}

/** Allows the tokens that end at a node. */
export function allow(tree: Tree, node: number, mask: Uint32Array): void {
  const id = tree.token[node];
  if (id >= 0) mask[id >>> 5] |= 1 << (id & 31);
  else if (id === -2) for (const one of tree.several.get(node)!) mask[one >>> 5] |= 1 << (one & 31);
}

export const isAllowed = (mask: Uint32Array, id: number): boolean => ((mask[id >>> 5] >>> (id & 31)) & 1) === 1;

export function orInto(mask: Uint32Array, other: Uint32Array): void {
  for (let i = 0; i < mask.length; i++) mask[i] |= other[i];
}
