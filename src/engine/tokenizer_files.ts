/** The tokenizer files of a checkpoint: checked if they exist, else made from the metadata of a GGUF file. */
import { fail, show } from '../errors';
import type { GgufMetadata, GgufValue } from '../format/gguf';
import type { Config } from '../model/config';

/** The contents of tokenizer.json and tokenizer_config.json; the chat template is `config.chat_template`. */
export interface TokenizerFiles {
  json: object;
  config: object;
}

const SPLIT_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const CONTROL = 3;
const USER_DEFINED = 4;
const OTHER_WEIGHTS = 'The tokenizer belongs to other weights.';
const CURE = 'Use another file of the model, or its Hugging Face directory.';

/**
 * @param config its vocabulary size is the rows of the embedding; the vocabulary may have fewer tokens
 * @param preTokenizers the names of the one that is supported
 * @param notes gets what was assumed
 * @throws CheckpointError
 */
export function tokenizerFilesFromGguf(
  metadata: GgufMetadata,
  { vocabSize, contextLength }: Config,
  preTokenizers: readonly string[],
  notes: string[],
): TokenizerFiles {
  const get = (key: string): GgufValue | undefined => metadata.get(`tokenizer.ggml.${key}`);
  const refuse = (what: string, got: unknown, wanted: string): never =>
    fail('CheckpointError', { what, got: show(got), wanted, cure: CURE });

  if (get('model') !== 'gpt2') refuse('The tokenizer is not supported', get('model'), 'gpt2 (byte-level BPE)');
  const pre = get('pre') ?? preTokenizers[0];
  // Ollama's converter writes it for what it does not know
  if (pre === 'default') notes.push('The model states no pre-tokenizer ("default"): the one of LFM2 is used.');
  else if (typeof pre !== 'string' || !preTokenizers.includes(pre))
    refuse('The pre-tokenizer is not supported', pre, preTokenizers.join(', '));
  const tokens = get('tokens');
  // without types the form of a token tells whether it is a marker (tokenizer.ts)
  const types = get('token_type') ?? [];
  const merges = get('merges');
  if (!isStrings(tokens) || tokens.length === 0)
    return refuse('The model has no vocabulary', undefined, 'tokenizer.ggml.tokens, a list of texts');
  if (tokens.length > vocabSize)
    fail('CheckpointError', {
      what: 'The vocabulary is larger than the embedding',
      got: tokens.length,
      wanted: `at most ${vocabSize}`,
      cure: OTHER_WEIGHTS,
    });
  if (!isStrings(merges)) return refuse('The model has no merges', undefined, 'tokenizer.ggml.merges, a list of texts');
  if (
    !Array.isArray(types) ||
    (types.length && types.length !== tokens.length) ||
    !types.every((type) => typeof type === 'number')
  )
    return refuse(
      'The vocabulary has no token types',
      Array.isArray(types) ? types.length : types,
      `tokenizer.ggml.token_type, ${tokens.length} numbers`,
    );

  const vocab = Object.create(null) as Record<string, number>; // a token may be called __proto__
  tokens.forEach((token, id) => {
    if (vocab[token] !== undefined) refuse('Two tokens have the same text', token, 'different texts');
    vocab[token] = id;
  });

  const special = (key: string): { id: number; text: string } | undefined => {
    const id = get(`${key}_token_id`);
    if (id === undefined) return undefined;
    if (typeof id !== 'number' || tokens[id] === undefined)
      return refuse(`tokenizer.ggml.${key}_token_id is not in the vocabulary`, id, `below ${tokens.length}`);
    return { id, text: tokens[id] };
  };
  const bos = special('bos');
  const eos = special('eos');
  const pad = special('padding');
  const addBos = get('add_bos_token') !== false;
  const addEos = get('add_eos_token') === true;

  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: tokens.flatMap((content, id) =>
      types[id] === CONTROL || types[id] === USER_DEFINED
        ? [
            {
              id,
              content,
              single_word: false,
              lstrip: false,
              rstrip: false,
              normalized: false,
              special: types[id] === CONTROL,
            },
          ]
        : [],
    ),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: SPLIT_PATTERN }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: postProcessor(addBos ? bos : undefined, addEos ? eos : undefined),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: true,
      vocab,
      merges: merges.map((merge) => {
        const space = merge.indexOf(' ', 1); // the parts have no spaces: each byte is written as a printable character
        if (space < 0) refuse('A merge of the vocabulary is not valid', merge, 'two texts with a space between');
        return [merge.slice(0, space), merge.slice(space + 1)];
      }),
    },
  };
  const chatTemplate = metadata.get('tokenizer.chat_template');
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...(bos && { bos_token: bos.text }),
    ...(eos && { eos_token: eos.text }),
    ...(pad && { pad_token: pad.text }),
    add_bos_token: addBos,
    add_eos_token: addEos,
    model_max_length: contextLength,
    clean_up_tokenization_spaces: false,
    ...(typeof chatTemplate === 'string' && { chat_template: chatTemplate }),
  };
  return { json, config };
}

const isStrings = (value: GgufValue | undefined): value is string[] =>
  Array.isArray(value) && value.every((text) => typeof text === 'string');

type SpecialToken = { id: number; text: string };

function postProcessor(bos: SpecialToken | undefined, eos: SpecialToken | undefined): object {
  const one = ({ text }: SpecialToken) => ({ SpecialToken: { id: text, type_id: 0 } });
  const around = (sequence: string) => [
    ...(bos ? [one(bos)] : []),
    { Sequence: { id: sequence, type_id: 0 } },
    ...(eos ? [one(eos)] : []),
  ];
  const specials = [bos, eos].filter((token) => token !== undefined);
  return {
    type: 'TemplateProcessing',
    single: around('A'),
    pair: [...around('A'), ...around('B')],
    special_tokens: Object.fromEntries(specials.map(({ id, text }) => [text, { id: text, ids: [id], tokens: [text] }])),
  };
}

/** The parts of a tokenizer.json that are read here. `checkTokenizerJson` has checked their form. */
interface Vocabulary {
  model: { vocab: Record<string, number> };
  added_tokens?: { id: number; content: string }[];
}

/** The id of a token by its text. */
export function findTokenId({ json }: TokenizerFiles, text: string): number | undefined {
  const { model, added_tokens: added } = json as Vocabulary;
  return (
    added?.find(({ content }) => content === text)?.id ??
    (Object.hasOwn(model.vocab, text) ? model.vocab[text] : undefined)
  );
}

/**
 * Checks the tokens of a tokenizer.json.
 * @throws CheckpointError if it is not a BPE tokenizer, or if an id is not a row of the embedding
 */
export function checkTokenizerJson(json: Readonly<Record<string, unknown>>, vocabSize: number): void {
  const { model, added_tokens: added = [] } = json as { model?: { vocab?: unknown }; added_tokens?: unknown };
  const vocab = model?.vocab;
  if (typeof vocab !== 'object' || vocab === null || Array.isArray(vocab) || !Array.isArray(added))
    return fail('CheckpointError', {
      what: 'tokenizer.json is not a byte-level BPE tokenizer',
      wanted: 'model.vocab, an object, and added_tokens, a list',
      cure: CURE,
    });
  function check(text: unknown, id: unknown): void {
    if (typeof text === 'string' && typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize) return;
    fail('CheckpointError', {
      what: `The token ${show(text)} has no row in the embedding`,
      got: show(id),
      wanted: `a text with an id below ${vocabSize}`,
      cure: OTHER_WEIGHTS,
    });
  }
  for (const [text, id] of Object.entries(vocab)) check(text, id);
  for (const token of added as ({ id?: unknown; content?: unknown } | null)[]) check(token?.content, token?.id);
}
