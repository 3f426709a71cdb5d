/** Reads the configuration of a model. */
import { fail, show } from '../errors';
import type { Config } from './config';
import { CONV, CONV_IN, CONV_OUT, EMBEDDING, FFN_GATE, HEAD, inLayer } from './lfm2';
import type { ModuleNames, TensorIndex } from './weights';

/**
 * From the metadata of a GGUF file.
 * @param prefix of its keys: 'lfm2.'
 * @param tensors widths come from their shapes
 * @param notes gets what was assumed
 * @param more what its layers have beside those of dense LFM2: some a sliding window, or experts that it reads
 * @throws CheckpointError
 */
export function configFromGguf(
  prefix: string,
  metadata: ReadonlyMap<string, unknown>,
  tensors: TensorIndex,
  notes: string[],
  { slides, experts }: { slides?: true; experts?: ReadExperts } = {},
): Config {
  const get = (key: string): unknown =>
    metadata.get(prefix + key) ?? (key === 'rope.freq_base' && !slides ? familyRopeTheta(notes) : undefined);
  const { number, integer } = checkedNumbers(get, prefix);

  const refuseKey = (when: boolean, key: string, wanted: string): void =>
    refuseIf(when, prefix + key, get(key), wanted);
  refuseKey(get('attention.causal') === false, 'attention.causal', 'causal attention');
  refuseKey(!slides && positive(get('attention.sliding_window')), 'attention.sliding_window', 'full attention');
  refuseKey(!experts && positive(get('expert_count')), 'expert_count', 'a dense model');
  refuseKey(positive(get('embedding_length_out')), 'embedding_length_out', 'a text generation model');
  const scaling = get('rope.scaling.type');
  refuseKey(scaling !== undefined && scaling !== 'none', 'rope.scaling.type', 'none');

  const layerCount = integer('block_count', LIMITS.layers);
  const kvCounts = get('attention.head_count_kv');
  const perLayer = Array.isArray(kvCounts)
    ? integers(kvCounts, `${prefix}attention.head_count_kv`, layerCount, LIMITS.heads)
    : // one number for all layers: the weights tell which are convolutions
      Array.from({ length: layerCount }, (_, i) =>
        tensors.has(inLayer(i)(...CONV_IN)) ? 0 : integer('attention.head_count_kv', LIMITS.heads),
      );
  const headCounts = get('attention.head_count');
  const heads = Array.isArray(headCounts)
    ? singleValue(
        integers(headCounts, `${prefix}attention.head_count`, layerCount, LIMITS.heads),
        `${prefix}attention.head_count`,
      )
    : integer('attention.head_count', LIMITS.heads);
  const hiddenSize = integer('embedding_length', LIMITS.width);
  const headDim =
    get('attention.key_length') === undefined ? hiddenSize / heads : integer('attention.key_length', LIMITS.headDim);
  for (const key of ['attention.value_length', 'rope.dimension_count'])
    refuseKey(get(key) !== undefined && get(key) !== headDim, key, `the head width, ${headDim}`);

  const layers = perLayer.map((n): Config['layers'][number] => (n ? 'attention' : 'conv'));
  if (slides) slidingLayers(get(PATTERN), layers, prefix + PATTERN).forEach((i) => (layers[i] = 'sliding'));

  return checked(
    {
      hiddenSize,
      layers,
      heads,
      kvHeads: singleValue(perLayer, `${prefix}attention.head_count_kv`) || heads,
      headDim,
      convLength: integer('shortconv.l_cache', LIMITS.convLength),
      normEps: number('attention.layer_norm_rms_epsilon'),
      ropeTheta: number('rope.freq_base'),
      ...(slides && {
        sliding: {
          window: integer('attention.sliding_window', LIMITS.context),
          ropeTheta: number('rope.freq_base_swa'),
        },
      }),
      ...(experts && { experts: experts(get, layerCount) }),
      contextLength: integer('context_length', LIMITS.context),
    },
    get('vocab_size'),
    tensors,
  );
}

/** Reads what a file says of its experts, by key. */
export type ReadExperts = (get: (key: string) => unknown, layerCount: number) => Config['experts'];

/**
 * Refuses the config.json of quantised weights. The weights need not be known yet, whose types may not be readable.
 * @throws CheckpointError
 */
export function refuseQuantized(json: Readonly<Record<string, unknown>>): void {
  // the key of transformers, and the one of MLX, which names no method
  const quantization = [json.quantization_config, json.quantization].find(isRecord);
  if (quantization)
    fail('CheckpointError', {
      what: 'The quantisation of the weights is not supported',
      got: show(quantization.quant_method ?? ('load_in_4bit' in quantization ? 'bitsandbytes' : 'MLX')),
      wanted: 'F32, F16 or BF16, or a GGUF file',
      cure: 'Take the model as GGUF or .safetensors.',
    });
}

/**
 * From config.json of a Hugging Face directory (transformers, Lfm2Config), after `refuseQuantized`.
 * `intermediate_size` and `block_ff_dim` are not read: some files state them before the auto-adjustment, some after.
 * The weights are certain.
 * @param tensors widths come from their shapes; loses a tied head
 * @param notes gets what was assumed
 * @param experts reads those of a mixture
 * @throws CheckpointError
 */
export function configFromJson(
  json: Readonly<Record<string, unknown>>,
  tensors: TensorIndex,
  notes: string[],
  experts?: ReadExperts,
): Config {
  refuseIf(positive(json.sliding_window), 'sliding_window', json.sliding_window, 'full attention');
  const parameters = isRecord(json.rope_parameters) ? json.rope_parameters : {};
  // some versions write them for each kind of layer
  const rope = isRecord(parameters.full_attention) ? parameters.full_attention : parameters;
  for (const scaling of [rope, json.rope_scaling].filter(isRecord)) {
    const type = scaling.rope_type ?? scaling.type ?? 'default';
    refuseIf(type !== 'default', 'rope_type', type, 'default');
  }
  const { number, integer } = checkedNumbers(
    (key) => json[key] ?? (key === 'rope_theta' ? (rope[key] ?? json.theta ?? familyRopeTheta(notes)) : undefined),
    '',
  );

  const layerCount = integer('num_hidden_layers', LIMITS.layers);
  const layers = layerKinds(json, layerCount);
  const hiddenSize = integer('hidden_size', LIMITS.width);
  const heads = integer('num_attention_heads', LIMITS.heads);
  if (json.conv_bias === true)
    for (const names of [CONV_IN, CONV, CONV_OUT])
      layers.forEach((kind, i) => kind === 'conv' && tensors.require(inLayer(i)(...names), 'bias'));
  // a file may store a tied head too; it must store an untied one
  if ((json.tie_embedding ?? json.tie_word_embeddings) === false) tensors.require(HEAD);
  else tensors.remove(HEAD);

  return checked(
    {
      hiddenSize,
      layers,
      heads,
      kvHeads: integer('num_key_value_heads', LIMITS.heads),
      headDim: (json.head_dim ?? null) === null ? hiddenSize / heads : integer('head_dim', LIMITS.headDim),
      convLength: integer('conv_L_cache', LIMITS.convLength),
      normEps: number('norm_eps'),
      ropeTheta: number('rope_theta'),
      ...(experts && { experts: experts((key) => json[key], layerCount) }),
      contextLength: integer('max_position_embeddings', LIMITS.context),
    },
    json.vocab_size,
    tensors,
  );
}

/** Far above any LFM2 model; a larger number means that the file is damaged. */
export const LIMITS = {
  layers: 1024,
  width: 65536,
  heads: 1024,
  headDim: 1024,
  convLength: 64,
  context: 2 ** 24,
  vocab: 2 ** 22,
};

export const CURE = 'The file is damaged, or the model is not supported.';

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const positive = (value: unknown): boolean => typeof value === 'number' && value > 0;

/**
 * Ollama's converter leaves the base out where config.json has it in rope_parameters only. It is one number in all
 * dense models.
 */
function familyRopeTheta(notes: string[]): number {
  notes.push('The model states no rope_theta: 1000000 is used, as in all of LFM2.');
  return 1e6;
}

export function refuseIf(when: boolean, key: string, got: unknown, wanted: string): void {
  if (when)
    fail('CheckpointError', {
      what: `The model's ${key} is not supported`,
      got: show(got),
      wanted,
      cure: 'Choose a text model of LFM2, LFM2.5 or LFM3.',
    });
}

/** Checked numbers by key. */
export function checkedNumbers(get: (key: string) => unknown, prefix: string) {
  function number(key: string): number {
    const value = get(key);
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
    return fail('CheckpointError', {
      what: `The model's ${prefix}${key} is not valid`,
      got: show(value),
      wanted: 'a positive number',
      cure: CURE,
    });
  }
  function integer(key: string, limit: number): number {
    const value = get(key);
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= limit) return value;
    return fail('CheckpointError', {
      what: `The model's ${prefix}${key} is not valid`,
      got: show(value),
      wanted: `a whole number from 1 to ${limit}`,
      cure: CURE,
    });
  }
  return { number, integer };
}

/** A list with one whole number ≥ 0 for each layer. */
function integers(list: unknown[], key: string, length: number, limit: number): number[] {
  const good =
    list.length === length && list.every((n) => typeof n === 'number' && Number.isInteger(n) && n >= 0 && n <= limit);
  if (good) return list as number[];
  return fail('CheckpointError', {
    what: `The model's ${key} is not valid`,
    got: show(list),
    wanted: `${length} whole numbers from 0 to ${limit}`,
    cure: CURE,
  });
}

const PATTERN = 'attention.sliding_window_pattern';

/** The layers that attend to a window. */
function slidingLayers(pattern: unknown, layers: Config['layers'], key: string): number[] {
  const found = Array.isArray(pattern) ? pattern.flatMap((slides, i) => (slides === true ? i : [])) : [];
  const good = Array.isArray(pattern) && pattern.length === layers.length && found.length > 0;
  if (good && found.every((i) => layers[i] === 'attention')) return found;
  return fail('CheckpointError', {
    what: `The model's ${key} is not valid`,
    got: show(pattern),
    wanted: `a list of ${layers.length} with true for some of the layers that have key/value heads`,
    cure: CURE,
  });
}

/** The number that all entries except zeros have; 0 if all are zero. */
function singleValue(list: number[], key: string): number {
  const [first = 0, ...others] = new Set(list.filter((n) => n > 0));
  if (others.length)
    fail('CheckpointError', {
      what: `The model's ${key} differs between layers`,
      got: show(list),
      wanted: 'one number',
      cure: CURE,
    });
  return first;
}

function layerKinds(json: Readonly<Record<string, unknown>>, length: number): Config['layers'] {
  const { layer_types: types, full_attn_idxs: attention } = json;
  if (Array.isArray(types)) {
    if (types.length === length && types.every((type) => type === 'conv' || type === 'full_attention'))
      return types.map((type) => (type === 'conv' ? 'conv' : 'attention'));
    return fail('CheckpointError', {
      what: "The model's layer_types are not supported",
      got: show(types),
      wanted: `${length} of conv or full_attention`,
      cure: CURE,
    });
  }
  if (Array.isArray(attention) && attention.every((i) => Number.isInteger(i) && i >= 0 && i < length)) {
    const indices = new Set(attention);
    return Array.from({ length }, (_, i) => (indices.has(i) ? 'attention' : 'conv'));
  }
  return fail('CheckpointError', {
    what: 'The configuration does not list the kinds of layers',
    got: `layer_types ${show(types)}, full_attn_idxs ${show(attention)}`,
    wanted: `layer_types, or full_attn_idxs from 0 to ${length - 1}`,
    cure: CURE,
  });
}

/** Adds the widths from the weights, and checks that the numbers fit together. */
function checked(config: Omit<Config, 'vocabSize' | 'ffnSize'>, vocabSize: unknown, tensors: TensorIndex): Config {
  const { heads, kvHeads, headDim, convLength, normEps } = config;
  const rows = (names: ModuleNames, limit: number): number => {
    const { name, shape } = tensors.require(names);
    if (shape.length === 2 && shape[0] <= limit) return shape[0];
    return fail('CheckpointError', {
      what: `Tensor ${name} has a wrong shape`,
      got: `[${shape.join(', ')}]`,
      wanted: `two lengths, at most ${limit} rows`,
      cure: CURE,
    });
  };
  const V = rows(EMBEDDING, LIMITS.vocab);
  const demand = (good: boolean, what: string, got: unknown, wanted: string): void => {
    if (!good) fail('CheckpointError', { what, got: show(got), wanted, cure: CURE });
  };
  demand(heads % kvHeads === 0, 'The number of heads is not valid', heads, `a multiple of ${kvHeads}`);
  demand(
    headDim % 2 === 0 && headDim <= LIMITS.headDim,
    'The head width is not valid',
    headDim,
    `an even number up to ${LIMITS.headDim}`,
  );
  demand(convLength >= 2, 'The length of the short convolution is not valid', convLength, `2 to ${LIMITS.convLength}`);
  demand(normEps < 1, "The norms' epsilon is not valid", normEps, 'below 1');
  demand(
    vocabSize === undefined || vocabSize === V,
    'The size of the vocabulary is not valid',
    vocabSize,
    `${V}, the rows of the embedding`,
  );
  const ffnSize = config.experts?.denseLayers === 0 ? 0 : rows(inLayer(0)(...FFN_GATE), LIMITS.width);
  return { ...config, vocabSize: V, ffnSize };
}
