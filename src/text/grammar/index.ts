/** Grammars: what a text may be, as masks over the tokens of a vocabulary. */
import { failRequest } from './request';
import { toolCalls, type ToolCallsSpec } from './calls';
import { ebnfText } from './ebnf';
import { Unsupported } from './formula';
import { JSON_STRING, PYTHON_STRINGS, RAW } from './lexer';
import type { Node } from './node';
import { parseRegex } from './regex';
import { compileSchema, type SchemaOptions } from './schema';
import { createSolver } from './solver';
import { ALL_TEXTS, dfaOf, lexerOf, wordsKind } from './strings';
import { sharedTerms } from './term';
import { END, pieceText, withThinking, type ThinkingMarks } from './texts';
import { createTrie, isAllowed, type TokenTrie } from './trie';
import { createValues, JSON_SYNTAX } from './values';

export { checkText } from './check';
export { isAllowed, type TokenTrie } from './trie';
export type { ToolCallsSpec } from './calls';
export type { ThinkingMarks } from './texts';

export interface JsonSchemaSpec extends SchemaOptions {
  type: 'json_schema';
  schema: unknown;
}

export type GrammarSpec =
  | JsonSchemaSpec
  | { type: 'json_object' }
  /** an ECMA-262 expression that the whole text matches */
  | { type: 'regex'; pattern: string }
  /** one of these texts */
  | { type: 'choices'; choices: readonly string[] }
  /** a notation like GBNF: src/text/grammar/ebnf.ts */
  | { type: 'grammar'; grammar: string }
  | ToolCallsSpec;

export interface Grammar {
  /** JSON pointers of keywords that the grammar does not enforce; only with `strict: false` */
  readonly checked: readonly string[];
  start(trie: TokenTrie): GrammarState;
}

/** A text so far. It is never changed: `accept` returns another state. */
export interface GrammarState {
  /** the text may end here */
  readonly canEnd: boolean;
  /** an end token was accepted */
  readonly ended: boolean;
  /** bit v & 31 of word v >> 5 is set when token v may come; kept by the grammar, not to be changed */
  mask(): Uint32Array;
  /** @throws RequestError for a token that the mask excludes */
  accept(id: number): GrammarState;
  /** The state behind bytes of a text; undefined if no text goes on so. */
  read(bytes: Uint8Array): GrammarState | undefined;
}

/**
 * The tables of a vocabulary, made once for a tokenizer: its tokens as a tree, and masks that most grammars need.
 * @param tokenBytes [V], undefined for special tokens and ids without a token: these are allowed by id only
 * @param eosIds tokens that end a text
 */
export function createTokenTrie(tokenBytes: readonly (Uint8Array | undefined)[], eosIds: readonly number[]): TokenTrie {
  const trie = createTrie(tokenBytes, eosIds);
  for (const writing of [JSON_STRING, ...PYTHON_STRINGS])
    pieceText({ lexer: lexerOf(ALL_TEXTS, writing), min: 0, max: Infinity })!.mask(trie);
  return trie;
}

/** States that a grammar keeps to find them again, at most. */
const MAX_KNOWN = 60_000;

interface Compiled {
  start: Node;
  checked?: string[];
  /** the states that it keeps */
  known?: { readonly size: number; forget(): void };
}

/**
 * @param thinking where a text may begin with thinking, which is free
 * @throws RequestError for a grammar that is not valid, that no text fits, or that cannot be enforced
 */
export function compileGrammar(spec: GrammarSpec, thinking?: ThinkingMarks): Grammar {
  const { start, checked = [], known } = compile(spec);
  const first = thinking ? withThinking(start, thinking) : start;
  return { checked, start: (trie) => stateOf(first, trie, known) };
}

function compile(spec: GrammarSpec): Compiled {
  const terms = sharedTerms();
  const none = (what: string): never => failRequest({ what: `No text fits the ${what}` });
  try {
    switch (spec.type) {
      case 'json_schema':
        return schemaText(spec);
      case 'json_object':
        return schemaText({ type: 'json_schema', schema: { type: 'object' } });
      case 'regex': {
        const dfa = dfaOf(terms, [parseRegex(terms, spec.pattern, 'whole')]);
        return { start: pieceText({ lexer: lexerOf(dfa, RAW), min: 0, max: Infinity }) ?? none('pattern') };
      }
      case 'choices':
        return { start: pieceText(wordsKind(spec.choices, RAW)) ?? none('choices') };
      case 'grammar':
        return { start: ebnfText(spec.grammar, terms) };
      case 'tool_calls': {
        const { start, checked, values } = toolCalls(createSolver(), spec);
        return { start, checked, known: values.store };
      }
    }
  } catch (error) {
    if (error instanceof SyntaxError)
      failRequest({ what: 'The pattern is not valid', got: error.message, wanted: 'a regular expression' });
    if (error instanceof Unsupported) failRequest({ what: 'The grammar cannot be enforced', got: error.message });
    throw error;
  }
}

function schemaText({ schema, ...options }: JsonSchemaSpec): Compiled {
  const solver = createSolver();
  const { formula, checked } = compileSchema(solver, schema, options);
  const values = createValues(solver, JSON_SYNTAX);
  const frame = values.newFrame((groups) => (groups.length ? END : null));
  return { start: values.value(frame, formula)!, checked, known: values.store };
}

function stateOf(node: Node, trie: TokenTrie, known: Compiled['known'], ended = false): GrammarState {
  const refuse = (id: number): never => failRequest({ what: 'The grammar does not allow the token', got: String(id) });
  return {
    canEnd: !ended && node.canEnd,
    ended,
    mask: () => (ended ? new Uint32Array(trie.words) : node.mask(trie)),
    accept(id) {
      if (ended) return refuse(id);
      if (known && known.size > MAX_KNOWN) known.forget();
      if (trie.eosIds.includes(id)) return node.canEnd ? stateOf(node, trie, known, true) : refuse(id);
      const special = node.specials().find(([own]) => own === id);
      if (special) return stateOf(special[1], trie, known);
      const bytes = isAllowed(trie.all, id) ? trie.bytes[id] : undefined;
      return (bytes && this.read(bytes)) ?? refuse(id);
    },
    read(bytes) {
      let at: Node | null = ended ? null : node;
      for (const byte of bytes) at = at?.next(byte) ?? null;
      return at ? stateOf(at, trie, known) : undefined;
    },
  };
}
