/**
 * Small models that say given tokens: what a real model may write becomes a test of the whole way from the file to the
 * answer.
 */
import { ARRAY, I32, STRING } from '../../src/format/gguf_writer';
import { BYTE_TOKENS, ggufBytes, tinyModel } from './tiny';

/** A token's text or bytes; `special` is flagged as a control token, `added` as one of the user's. */
export type Piece = string | Uint8Array | { special: string } | { added: string };

const CONTROL = 3;
const USER_DEFINED = 4;
/** tokens that tinyModel always has, and the one that ends a turn */
const TOKENS = 272;
const END = 7;
const WIDTH = 256;

/**
 * A GGUF file of an LFM2 model whose layers add nothing. The embedding of each piece is an axis of its own, and the
 * head leads from one piece to the next, and from the last to the end of the turn. After any other token it says the
 * first piece.
 * @param pieces at most 254, each once
 * @param opening what the chat template writes behind `<|im_start|>assistant\n`
 */
export function scriptedGguf(pieces: readonly Piece[], { opening = '' } = {}): Uint8Array {
  if (pieces.length > WIDTH - 2) throw new RangeError(`got ${pieces.length} pieces, wanted at most ${WIDTH - 2}`);
  const model = tinyModel({ layers: ['conv', 'attention'], hidden: WIDTH, vocab: TOKENS + pieces.length, tied: false });
  const { metadata, tensors } = model;
  const tokens = metadata['tokenizer.ggml.tokens'][2] as string[];
  const types = metadata['tokenizer.ggml.token_type'][2] as number[];
  const ids = pieces.map((piece, i) => {
    const text =
      typeof piece === 'string' || piece instanceof Uint8Array
        ? spelled(piece)
        : 'special' in piece
          ? piece.special
          : piece.added;
    const known = tokens.indexOf(text);
    if (known >= 0) return known;
    tokens[TOKENS + i] = text;
    types[TOKENS + i] =
      typeof piece === 'string' || piece instanceof Uint8Array ? 1 : 'special' in piece ? CONTROL : USER_DEFINED;
    return TOKENS + i;
  });
  if (new Set(ids).size < ids.length) throw new RangeError('a piece stands twice');

  const [embedding, head] = ['token_embd.weight', 'output.weight'].map(() => new Float32Array(tokens.length * WIDTH));
  const next = [...ids, END];
  for (let id = 0; id < tokens.length; id++) embedding[id * WIDTH + ids.indexOf(id) + 1] = 1;
  next.forEach((id, i) => (head[id * WIDTH + i] = 4));
  for (const tensor of tensors) {
    const values =
      tensor.name === 'token_embd.weight'
        ? embedding
        : tensor.name === 'output.weight'
          ? head
          : new Float32Array(tensor.bytes.length / 4).fill(tensor.name.includes('norm') ? 1 : 0);
    tensor.bytes = new Uint8Array(values.buffer);
  }
  const template = metadata['tokenizer.chat_template'][1] as string;
  metadata['tokenizer.chat_template'] = [STRING, template.replace("assistant\\n'", `assistant\\n${opening}'`)];
  metadata['tokenizer.ggml.tokens'] = [ARRAY, STRING, tokens];
  metadata['tokenizer.ggml.token_type'] = [ARRAY, I32, types];
  return ggufBytes(model);
}

const spelled = (piece: string | Uint8Array): string =>
  Array.from(typeof piece === 'string' ? new TextEncoder().encode(piece) : piece, (byte) => BYTE_TOKENS[byte]).join('');
