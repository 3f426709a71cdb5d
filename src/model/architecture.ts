/**
 * The architectures that run here, a row for each. The parts of the engine ask their row and know no family by name;
 * other_kinds.ts has the relatives that are refused.
 */
import { RivuletError, show } from '../errors';
import { refuseArchitecture } from '../other_kinds';
import type { Config, VisionConfig } from './config';
import { forward, lfm2Weights, ROPE_FACTORS, type Lfm2Sources } from './lfm2';
import type { Act, Ops } from './ops';
import { configFromGguf, configFromJson, isRecord, positive } from './read_config';
import type { VisionSources, VisionWeights } from './siglip2';
import type { Loaded, MatrixSource, ModuleNames, TensorIndex, VectorSource, WeightReader } from './weights';

export type ArchitectureName = 'lfm2' | 'lfm2moe' | 'lfm2vl' | 'lfm2retrieval' | 'lfm3';

/** The tree of a model's weights: where each is stored, and with the handles of a backend. */
export type Weights = Lfm2Sources & {
  vision?: VisionSources;
  /** from the width of the model to that of its vectors */
  dense?: { w: MatrixSource; bias?: VectorSource };
};
export type LoadedWeights = Loaded<Weights>;

export interface Architecture {
  /** in GGUF files, also as the prefix of its keys; config.json has it with a hyphen or underscore */
  name: ArchitectureName;
  /** `architectures` in config.json */
  classes: readonly string[];
  /** files of a Hugging Face directory that `configFromJson` gets under their names in config.json */
  settings?: readonly string[];
  /** a file of such a directory with weights beside those of the model */
  moreWeights?: string;
  /**
   * @param notes gets what was assumed
   * @param encoder the metadata of the file beside the text model, for the row of both
   * @throws CheckpointError
   */
  configFromGguf(
    metadata: ReadonlyMap<string, unknown>,
    tensors: TensorIndex,
    notes: string[],
    encoder?: ReadonlyMap<string, unknown>,
  ): Config;
  configFromJson(json: Readonly<Record<string, unknown>>, tensors: TensorIndex, notes: string[]): Config;
  /** a tensor whose numbers are `ropeFactors` of the configuration */
  ropeFactors?: ModuleNames;
  weights(config: Config, read: WeightReader): Weights;
  /** The forward pass. */
  build(op: Ops, config: Config, weights: LoadedWeights): Act;
  /** The vision encoder, from the patches of tiles to rows in place of tokens, in two plans. */
  vision?: {
    encode(op: Ops, config: VisionConfig, weights: VisionWeights): Act;
    project(op: Ops, config: VisionConfig, weights: VisionWeights): Act;
  };
  text: {
    /** as GGUF files name it; converters write the others for the first */
    preTokenizers: readonly string[];
    /** tokens that end a turn or a text, in vocabularies that have them */
    endTokens: readonly string[];
    /** special tokens that are part of an answer and not of the frame around turns */
    answerMarkers: readonly string[];
    /** for checkpoints without a setting */
    sampling: { temperature: number; topK?: number; minP?: number; repetitionPenalty: number };
    /** for files without a chat template whose vocabulary has the token that begins a turn */
    template: { turnToken: string; source: string };
  };
}

/** An architecture whose row a side file registers: its name, and the side files. */
export interface ArchitectureOfSideFile extends Pick<Architecture, 'name'> {
  modules: ('encoders' | 'experts' | 'vision' | 'retrieval')[];
}

/** What the template of LFM2.5 prints, without its treatment of past thinking. */
const PLAIN_TEMPLATE = `{{ bos_token }}{% set system = messages[0].content if messages[0].role == 'system' %}{% if system or tools %}<|im_start|>system
{{ system + ('\\n' if tools else '') if system }}{% if tools %}List of tools: [{% for tool in tools %}{{ tool if tool is string else tool | tojson }}{{ ', ' if not loop.last }}{% endfor %}]{% endif %}<|im_end|>
{% endif %}{% for message in messages %}{% if not (loop.first and message.role == 'system') %}<|im_start|>{{ message.role }}
{{ message.content if message.content is string else message.content | tojson }}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`;

export const LFM2: Architecture = {
  name: 'lfm2',
  classes: ['Lfm2ForCausalLM', 'Lfm2Model'],
  configFromGguf: (metadata, tensors, notes) => configFromGguf('lfm2.', metadata, tensors, notes),
  configFromJson: (json, tensors, notes) => configFromJson(json, tensors, notes),
  weights: lfm2Weights,
  build: forward,
  text: {
    // the pre-tokenizer of Llama 3
    preTokenizers: ['lfm2', 'llama3', 'llama-v3', 'llama-bpe'],
    endTokens: ['<|im_end|>', '<|endoftext|>'],
    answerMarkers: ['<|tool_call_start|>', '<|tool_call_end|>', '<think>', '</think>'],
    // recommended by Liquid AI's documentation for its text models
    sampling: { temperature: 0.3, minP: 0.15, repetitionPenalty: 1.05 },
    template: { turnToken: '<|im_start|>', source: PLAIN_TEMPLATE },
  },
};

export const LFM3: Architecture = {
  ...LFM2,
  name: 'lfm3',
  classes: ['Lfm3ForCausalLM'],
  configFromGguf: (metadata, tensors, notes) => configFromGguf('lfm3.', metadata, tensors, notes, { slides: true }),
  configFromJson: ({ model_type }) => refuseArchitecture('lfm3directory', show(model_type)),
  ropeFactors: ROPE_FACTORS,
  // recommended with the model
  text: { ...LFM2.text, sampling: { temperature: 0.1, topK: 50, repetitionPenalty: 1.1 } },
};

const ARCHITECTURES: (Architecture | ArchitectureOfSideFile)[] = [
  LFM2,
  { name: 'lfm2moe', modules: ['experts'] }, // lfm2_moe.ts
  { name: 'lfm2vl', modules: ['encoders', 'vision'] }, // lfm2_vl.ts
  { name: 'lfm2retrieval', modules: ['encoders', 'retrieval'] }, // lfm2_retrieval.ts
  LFM3,
];

/** Adds the row of a side file, before the one that names the side file. */
export const registerArchitecture = (row: Architecture): void => void ARCHITECTURES.unshift(row);

/** @throws SourceError with `sideFiles`, from which the page knows what this worker lacks */
function named(name: unknown): Architecture | undefined {
  const plain = show(name).replace(/[\W_]/g, '');
  const row = ARCHITECTURES.find((one) => one.name === plain);
  if (row && 'modules' in row) {
    const { modules: sideFiles } = row;
    const error = new RivuletError('SourceError', { what: 'The model needs a side file' });
    throw Object.assign(error, { sideFiles });
  }
  return row;
}

/**
 * @param sees there is a vision encoder beside the text model
 * @throws CheckpointError for a model of another architecture; SourceError for one of a side file
 */
export function architectureOfGguf(metadata: ReadonlyMap<string, unknown>, sees = false): Architecture {
  const encodes =
    metadata.get('lfm2.attention.causal') === false || positive(metadata.get('lfm2.embedding_length_out'));
  const name = sees ? 'lfm2vl' : encodes ? 'lfm2retrieval' : metadata.get('general.architecture');
  return named(name) ?? refuseArchitecture(name ?? metadata.get('general.type'));
}

/**
 * @param json config.json
 * @param encodes beside it is modules.json, the parts of a model for retrieval
 * @throws CheckpointError for a model of another architecture; SourceError as above
 */
export function architectureOfJson(json: Readonly<Record<string, unknown>>, encodes = false): Architecture {
  const [cls] = Array.isArray(json.architectures) ? (json.architectures as unknown[]) : [];
  const row =
    named(encodes && json.model_type === 'lfm2' ? 'lfm2retrieval' : json.model_type) ??
    refuseArchitecture(json.model_type ?? cls);
  if (isRecord(json.text_config) && !row.vision) refuseArchitecture('lfm2_vl', 'a text_config');
  if (cls !== undefined && !row.classes.includes(cls as string)) refuseArchitecture(cls);
  return row;
}
