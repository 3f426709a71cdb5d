/**
 * Text to token ids and back: byte-level BPE. @huggingface/tokenizers does the merges; special tokens and decoding are
 * done here.
 */
import { fail } from '../errors';
import { createByteLevelBpe, type BpeModel, type ByteLevelBpe } from './byte_level_bpe';

export interface EncodeOptions {
  /**
   * true (default, as in Hugging Face): special strings in the text become special tokens.
   * false: they are encoded as ordinary text, so that untrusted text cannot contain commands.
   */
  special?: boolean;
  /** begin with the BOS token, unless the text does already */
  bos?: boolean;
}

export interface DecodeOptions {
  /** leave special tokens out */
  skipSpecial?: boolean;
  /** special tokens that `skipSpecial` still writes */
  keep?: readonly string[];
}

/** Decodes token by token. The joined pieces equal the result of `decode`. */
export interface Detokenizer {
  /** the text that is certain after this token; bytes of an unfinished character are held back */
  push(id: number): string;
  /** the end: an unfinished character becomes U+FFFD */
  flush(): string;
}

export interface Tokenizer {
  readonly bosId?: number;
  readonly eosId?: number;
  /** prompts of this model begin with BOS */
  readonly addBos: boolean;
  /** @param limit of a text with far more tokens, some more than these are given, of its beginning and not exact */
  encode(text: string, options?: EncodeOptions, limit?: number): number[];
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  stream(options?: DecodeOptions): Detokenizer;
  /** the id of a token by its exact text */
  tokenId(text: string): number | undefined;
  /** the bytes that a token writes; undefined for special and added tokens, and for ids without a token */
  bytes(id: number): Uint8Array | undefined;
  /** the texts of the special tokens */
  readonly specials: readonly string[];
  /** Splits a text at its added tokens, special or not. */
  split(text: string): { text: string; id?: number }[];
}

interface AddedToken {
  id: number;
  content: string;
  special?: boolean;
}

interface TokenizerJson {
  added_tokens?: AddedToken[];
  model: BpeModel;
  normalizer?: object | null;
  pre_tokenizer?: object | null;
  decoder?: { type?: string; decoders?: { type?: string }[] } | null;
}

interface TokenizerConfig {
  bos_token?: string | { content: string } | null;
  eos_token?: string | { content: string } | null;
  add_bos_token?: boolean;
}

/** No merge makes such a token: the pre-tokenizer splits the text before '|' or '>'. */
const MARKER = /^<(\|.*\||\/?\w+)>$/s;

/**
 * @param json a tokenizer.json; its vocabulary and merges are removed from it
 * @param config its tokenizer_config.json
 * @throws CheckpointError if they are not a byte-level BPE tokenizer
 */
export function createTokenizer(json: object, config: object): Tokenizer {
  const { added_tokens: listed = [], model, decoder } = json as TokenizerJson;
  const { bos_token, eos_token, add_bos_token } = config as TokenizerConfig;
  if (model?.type !== 'BPE' || typeof model.vocab !== 'object')
    fail('CheckpointError', {
      what: 'The tokenizer is not supported',
      got: `model type ${model?.type}`,
      wanted: 'BPE',
    });
  if (![decoder, ...(decoder?.decoders ?? [])].some((d) => d?.type === 'ByteLevel'))
    fail('CheckpointError', {
      what: 'The tokenizer is not supported',
      got: `decoder ${decoder?.type}`,
      wanted: 'ByteLevel',
    });

  // converters flag markers differently, or as ordinary tokens, so the form of the text counts too
  const isSpecial = ({ special, content }: AddedToken): boolean => special === true || /^<\|.*\|>$/s.test(content);
  const known = new Set(listed.map(({ content }) => content));
  const added = [...listed];
  const texts: string[] = [];
  for (const [text, id] of Object.entries(model.vocab)) {
    texts[id] = text;
    if (MARKER.test(text) && !known.has(text)) added.push({ id, content: text });
  }
  for (const { content, id } of listed) texts[id] = content;
  const specials = new Map(added.filter(isSpecial).map(({ content, id }) => [content, id]));
  const plain = new Map(added.filter((t) => !isSpecial(t)).map(({ content, id }) => [content, id]));

  const bpe = readBpe(json as TokenizerJson, specials);
  const splitAll = splitter(new Map([...plain, ...specials]));
  const splitPlain = splitter(plain);
  const addedIds = new Set(added.map(({ id }) => id));
  const specialIds = new Set(specials.values());

  const tokenId = (text: string): number | undefined => specials.get(text) ?? plain.get(text) ?? bpe.tokenId(text);
  const named = (token: string | { content: string } | null | undefined): number | undefined =>
    token ? tokenId(typeof token === 'string' ? token : token.content) : undefined;
  const bosId = named(bos_token);

  function encode(text: string, { special = true, bos = false }: EncodeOptions = {}, limit = Infinity): number[] {
    const ids: number[] = [];
    for (const part of (special ? splitAll : splitPlain)(text)) {
      if (ids.length >= limit) break;
      if (part.id !== undefined) ids.push(part.id);
      else for (const id of bpe.encode(part.text, limit - ids.length)) ids.push(id);
    }
    if (bos && bosId !== undefined && ids[0] !== bosId) ids.unshift(bosId);
    return ids;
  }

  function stream({ skipSpecial = false, keep = [] }: DecodeOptions = {}): Detokenizer {
    const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
    const kept = new Set(keep.map(tokenId));
    return {
      push(id) {
        const text = texts[id];
        if (text === undefined || (skipSpecial && specialIds.has(id) && !kept.has(id))) return '';
        return addedIds.has(id) ? utf8.decode() + text : utf8.decode(bytesOf(text), { stream: true });
      },
      flush: () => utf8.decode(),
    };
  }

  return {
    bosId,
    eosId: named(eos_token),
    addBos: bosId !== undefined && add_bos_token !== false,
    encode,
    decode(ids, options) {
      const detokenizer = stream(options);
      return Array.from(ids, (id) => detokenizer.push(id)).join('') + detokenizer.flush();
    },
    stream,
    tokenId,
    bytes: (id) => (addedIds.has(id) || texts[id] === undefined ? undefined : bytesOf(texts[id])),
    specials: [...specials.keys()],
    split: splitAll,
  };
}

function readBpe({ model, normalizer, pre_tokenizer }: TokenizerJson, specials: Map<string, number>): ByteLevelBpe {
  // without these entries ordinary text cannot be merged into a special token
  for (const text of specials.keys()) delete model.vocab[text];
  try {
    return createByteLevelBpe(model, normalizer, pre_tokenizer);
  } catch (error) {
    return fail(
      'CheckpointError',
      { what: 'The tokenizer cannot be read', got: String(error), cure: 'Use a complete copy of the model.' },
      error,
    );
  } finally {
    // the library keeps its input (10 MB for 65,536 tokens) besides its own tables
    model.vocab = {};
    if (Array.isArray(model.merges)) model.merges.length = 0;
  }
}

/** Splits at the given strings: at the leftmost, and of several there at the longest. */
function splitter(tokens: Map<string, number>): (text: string) => { text: string; id?: number }[] {
  const alternatives = [...tokens.keys()].filter(Boolean).sort((a, b) => b.length - a.length);
  if (alternatives.length === 0) return (text) => (text ? [{ text }] : []);
  const pattern = new RegExp(`(${alternatives.map((s) => s.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')).join('|')})`);
  return (text) =>
    text
      .split(pattern)
      .map((part, i) => (i % 2 ? { text: part, id: tokens.get(part) } : { text: part }))
      .filter((part) => part.text);
}

/** GPT-2's table: a printable byte is written as itself, the others as characters from U+0100 on. */
const BYTE_OF = ((): Map<string, number> => {
  const printable = (b: number): boolean => (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
  let next = 0x100;
  return new Map(Array.from({ length: 256 }, (_, b) => [String.fromCharCode(printable(b) ? b : next++), b]));
})();

/** The bytes of a vocabulary entry; an entry outside of GPT-2's table is ordinary text. */
function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = BYTE_OF.get(text[i]);
    if (byte === undefined) return new TextEncoder().encode(text);
    bytes[i] = byte;
  }
  return bytes;
}
