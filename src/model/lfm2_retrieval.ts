/**
 * LFM2-ColBERT, LFM2.5-ColBERT and LFM2.5-Embedding: the row of the architecture, what files say of queries and
 * documents, and what comes after the layers. GGUF files say little: the rest is what the three models have in common
 * with pylate's and sentence-transformers' defaults.
 */
import { fail, show } from '../errors';
import { LFM2, type Architecture, type LoadedWeights } from './architecture';
import type { Config, RetrievalConfig } from './config';
import { lfm2Weights, runLayers } from './lfm2';
import type { Act, Ops } from './ops';
import { checkedNumbers, configFromGguf, configFromJson, CURE, isRecord, LIMITS, refuseIf } from './read_config';
import type { ModuleNames, TensorIndex, WeightReader } from './weights';

const DENSE: ModuleNames = ['linear', 'dense_2'];
const PREFIX = 'lfm2.';
/** what a text model refuses in its GGUF file */
const OWN_KEYS = ['attention.causal', 'embedding_length_out', 'pooling_type'].map((key) => PREFIX + key);
const CLS = 2; // LLAMA_POOLING_TYPE_CLS
const BIDIRECTIONAL = 'Lfm2BidirectionalModel';
const MODULES = 'modules.json';
const SETTINGS = 'config_sentence_transformers.json';
const [DENSE_SETTINGS, POOLING] = ['1_Dense/config.json', '1_Pooling/config.json'];

type Json = Readonly<Record<string, unknown>>;

const PUNCTUATION = [...'!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~'];
const LENGTHS = { queryLength: 32, documentLength: 512 };
const TOKEN_VECTORS = {
  ...LENGTHS,
  vectors: 'tokens',
  queryPrefix: '[Q] ',
  documentPrefix: '[D] ',
  expandQueries: true,
  attendExpansion: false,
  skipped: PUNCTUATION,
} as const;
const TEXT_VECTORS = {
  vectors: 'text',
  queryLength: LENGTHS.documentLength,
  documentLength: LENGTHS.documentLength,
  queryPrefix: 'query: ',
  documentPrefix: 'document: ',
  expandQueries: false,
  attendExpansion: false,
  skipped: [],
} as const;

export const LFM2RETRIEVAL: Architecture = {
  ...LFM2,
  name: 'lfm2retrieval',
  classes: ['Lfm2Model', BIDIRECTIONAL],
  settings: [MODULES, SETTINGS, 'sentence_bert_config.json', DENSE_SETTINGS, POOLING, 'tokenizer_config.json'],
  moreWeights: '1_Dense/model.safetensors',
  configFromGguf(metadata, tensors, notes) {
    const plain = new Map([...metadata].filter(([key]) => !OWN_KEYS.includes(key)));
    const config = configFromGguf(PREFIX, plain, tensors, notes);
    const pooling = metadata.get(`${PREFIX}pooling_type`) ?? 0;
    const dense = tensors.has(DENSE);
    refuseIf(dense ? pooling !== 0 : pooling !== CLS, `${PREFIX}pooling_type`, pooling, dense ? 'none' : '2, CLS');
    return complete(config, tensors, {
      ...(dense ? TOKEN_VECTORS : TEXT_VECTORS),
      causal: metadata.get(`${PREFIX}attention.causal`) !== false,
      fillers: ['mask', 'eos', 'padding'].flatMap((name) => {
        const id = metadata.get(`tokenizer.ggml.${name}_token_id`);
        return typeof id === 'number' ? [id] : [];
      }),
    });
  },
  configFromJson(json, tensors, notes) {
    const config = configFromJson(json, tensors, notes);
    const [cls] = Array.isArray(json.architectures) ? (json.architectures as unknown[]) : [];
    return complete(config, tensors, {
      ...settingsOf(json),
      causal: cls !== BIDIRECTIONAL,
      fillers: ['mask_token', 'eos_token', 'pad_token'].flatMap((name) => {
        const token = record(json, 'tokenizer_config.json')[name];
        const text = isRecord(token) ? token.content : token;
        return typeof text === 'string' ? [text] : [];
      }),
    });
  },
  weights: (config, read) => ({ ...lfm2Weights(config, read), dense: denseWeights(config, read) }),
  build: encode,
};

/** A vector for each token, [T, size], whose length is not 1 yet. */
function encode(op: Ops, config: Config, m: LoadedWeights): Act {
  const x = runLayers(op, config, m, config.retrieval); //                  [T, D]
  const norm = { weight: m.embeddingNorm, eps: config.normEps };
  if (!m.dense) return op.norm(x, norm); //                                 [T, D]
  return op.linear(m.dense.w, x, { norm, bias: m.dense.bias }); //          [T, size]
}

function denseWeights({ hiddenSize, retrieval }: Config, read: WeightReader) {
  if (retrieval!.vectors === 'text') return undefined;
  const { size } = retrieval!;
  return { w: read.matrix(DENSE, [size, hiddenSize]), bias: read.bias(DENSE, size) };
}

/** Adds the size of vectors; texts are no longer than documents. */
function complete(config: Config, tensors: TensorIndex, stated: Omit<RetrievalConfig, 'size'>): Config {
  const { vectors, queryLength, documentLength } = stated;
  const { shape } = vectors === 'tokens' ? tensors.require(DENSE) : { shape: [config.hiddenSize] };
  const longest = Math.max(queryLength, documentLength);
  const most = Math.min(config.contextLength, MAX_LENGTH);
  refuseIf(longest > most, 'document_length', longest, `at most ${most}`);
  refuseIf(
    Math.min(queryLength, documentLength) < 4,
    'query_length',
    Math.min(queryLength, documentLength),
    '4 or more',
  );
  refuseIf(!(shape[0] <= LIMITS.width), 'size of vectors', shape, `at most ${LIMITS.width}`);
  return { ...config, contextLength: longest, retrieval: { ...stated, size: shape[0] } };
}

/** Far above any model; a call takes a whole text. */
const MAX_LENGTH = 8192;

const record = (json: Json, key: string): Json => (isRecord(json[key]) ? json[key] : {});

/** What the files of sentence-transformers and pylate say. */
function settingsOf(json: Json): Omit<RetrievalConfig, 'size' | 'causal' | 'fillers'> {
  const modules = json[MODULES] as { type?: unknown; path?: unknown }[];
  const kinds = modules.map((one) => String(one?.type).split('.').at(-1));
  const [, second] = modules;
  const own = record(json, SETTINGS);
  const longest = record(json, 'sentence_bert_config.json').max_seq_length;
  if (kinds.join() === 'Transformer,Dense' && second.path === '1_Dense') {
    const { bias, activation_function: act } = record(json, DENSE_SETTINGS);
    refuseIf(act !== undefined && !String(act).endsWith('Identity'), 'activation_function', act, 'Identity');
    refuseIf(bias !== undefined && typeof bias !== 'boolean', 'bias', bias, 'true or false');
    return tokenSettings(own);
  }
  if (/^Transformer,Pooling,Normalize$/.test(kinds.join()) && second.path === '1_Pooling') {
    const chosen = Object.entries(record(json, POOLING))
      .filter(([key, value]) => key.startsWith('pooling_mode') && value !== false)
      .map(([key, value]) => (value === true ? key : `${key} ${show(value)}`));
    refuseIf(chosen.join() !== 'pooling_mode_cls_token', 'pooling', chosen.join(' and '), 'pooling_mode_cls_token');
    const { integer } = checkedNumbers(() => longest, '');
    const length = longest === undefined ? LENGTHS.documentLength : integer('max_seq_length', MAX_LENGTH);
    const prompts = record(own, 'prompts');
    return {
      ...TEXT_VECTORS,
      queryLength: length,
      documentLength: length,
      queryPrefix: textOf(prompts, 'query', ''),
      documentPrefix: textOf(prompts, 'document', ''),
    };
  }
  return fail('CheckpointError', {
    what: 'The modules of the model are not supported',
    got: show(kinds),
    wanted: 'Transformer and 1_Dense, or Transformer, 1_Pooling and Normalize',
    cure: CURE,
  });
}

function tokenSettings(own: Json): Omit<RetrievalConfig, 'size' | 'causal' | 'fillers'> {
  const { integer } = checkedNumbers((key) => own[key], '');
  const whole = (key: string, otherwise: number): number =>
    (own[key] ?? undefined) === undefined ? otherwise : integer(key, MAX_LENGTH);
  const flag = (key: string, otherwise: boolean): boolean => (typeof own[key] === 'boolean' ? own[key] : otherwise);
  const skipped = own.skiplist_words ?? TOKEN_VECTORS.skipped;
  const texts = Array.isArray(skipped) && skipped.every((word) => typeof word === 'string');
  refuseIf(!texts, 'skiplist_words', skipped, 'a list of texts');
  return {
    ...TOKEN_VECTORS,
    queryLength: whole('query_length', LENGTHS.queryLength),
    documentLength: whole('document_length', LENGTHS.documentLength),
    queryPrefix: textOf(own, 'query_prefix', TOKEN_VECTORS.queryPrefix),
    documentPrefix: textOf(own, 'document_prefix', TOKEN_VECTORS.documentPrefix),
    expandQueries: flag('do_query_expansion', true),
    attendExpansion: flag('attend_to_expansion_tokens', false),
    skipped: skipped as string[],
  };
}

function textOf(json: Json, key: string, otherwise: string): string {
  const value = json[key] ?? otherwise;
  refuseIf(typeof value !== 'string', key, value, 'a text');
  return value as string;
}
