/**
 * The parts of @huggingface/tokenizers that a byte-level BPE tokenizer of this family has: without the others, which
 * its class `Tokenizer` holds all, the script is smaller (PERF.md).
 */
import {
  BPE,
  ByteLevelPreTokenizer,
  DigitsPreTokenizer,
  SplitPreTokenizer,
  WhitespacePreTokenizer,
} from '@huggingface/tokenizers';

/** `model` of a tokenizer.json */
export interface BpeModel {
  type?: string;
  vocab: Record<string, number>;
  merges?: unknown;
}

/** `normalizer` or `pre_tokenizer` of a tokenizer.json */
interface Part {
  type?: string;
  normalizers?: Part[];
  pretokenizers?: Part[];
}

type Normalize = (text: string) => string;
type PreTokenize = (texts: string[]) => string[];

const PRE_TOKENIZERS = {
  ByteLevel: ByteLevelPreTokenizer,
  Digits: DigitsPreTokenizer,
  Split: SplitPreTokenizer,
  Whitespace: WhitespacePreTokenizer,
};

const UNICODE_FORMS = ['NFC', 'NFD', 'NFKC', 'NFKD'];

/** @throws Error if a part has another type */
function readNormalizers(part: Part | null | undefined): Normalize[] {
  if (!part) return [];
  if (part.type === 'Sequence') return (part.normalizers ?? []).flatMap(readNormalizers);
  if (!UNICODE_FORMS.includes(part.type!)) throw new Error(`normalizer ${part.type}`);
  return [(text) => text.normalize(part.type)];
}

/** @throws Error if a part has another type */
function readPreTokenizers(part: Part | null | undefined): PreTokenize[] {
  if (!part) return [];
  if (part.type === 'Sequence') return (part.pretokenizers ?? []).flatMap(readPreTokenizers);
  if (!Object.hasOwn(PRE_TOKENIZERS, part.type!)) throw new Error(`pre-tokenizer ${part.type}`);
  const made = new PRE_TOKENIZERS[part.type as keyof typeof PRE_TOKENIZERS](part as never);
  return [(texts) => made.pre_tokenize(texts)];
}

/** Characters read between two looks at a limit. */
const PIECE = 1 << 14;

export interface ByteLevelBpe {
  /** @param limit of a text with far more tokens, some more than these are given, of its beginning and not exact */
  encode(text: string, limit?: number): number[];
  tokenId(text: string): number | undefined;
}

/**
 * @param model may be emptied after the call: vocabulary and merges are in other tables then
 * @throws Error if a part is of another kind, or wrong
 */
export function createByteLevelBpe(
  model: BpeModel,
  normalizer: Part | null | undefined,
  preTokenizer: Part | null | undefined,
): ByteLevelBpe {
  const normalizers = readNormalizers(normalizer);
  const preTokenizers = readPreTokenizers(preTokenizer);
  const bpe = new BPE(model as never);
  const tokenId = (token: string): number | undefined => bpe.tokens_to_ids.get(token);
  function encode(text: string): number[] {
    const normalized = normalizers.reduce((before, normalize) => normalize(before), text);
    if (!normalized) return [];
    const words = preTokenizers.reduce((before, split) => split(before), [normalized]);
    return bpe._call(words).map((token) => tokenId(token) ?? bpe.unk_token_id!);
  }
  return {
    tokenId,
    encode(text, limit = Infinity) {
      // a megabyte takes a second: what is far too long is only counted, and up to the limit
      const ids: number[] = [];
      for (let at = 0; text.length > 4 * limit && at < text.length; at += PIECE) {
        for (const id of encode(text.slice(at, at + PIECE))) ids.push(id);
        if (ids.length >= limit) return ids;
      }
      return encode(text);
    },
  };
}
