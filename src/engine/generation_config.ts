/** What a checkpoint says of generation: the tokens that end an answer, and settings of sampling. */
import type { GgufMetadata } from '../format/gguf';
import type { Architecture } from '../model/architecture';
import type { Config } from '../model/config';
import { findTokenId, type TokenizerFiles } from './tokenizer_files';

/** The settings of generation_config.json, or of the same metadata of a GGUF file. */
export interface GenerationConfig {
  /** tokens that end an answer */
  eosIds: number[];
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
}

/** The end tokens that a checkpoint states, and those that its vocabulary has by name. */
export function endTokens(
  tokenizer: TokenizerFiles,
  { architecture, config }: { architecture: Architecture; config: Config },
): (stated: unknown) => number[] {
  const isToken = (id: unknown): id is number =>
    Number.isInteger(id) && Number(id) >= 0 && Number(id) < config.vocabSize;
  const known = architecture.text.endTokens.flatMap((text) => findTokenId(tokenizer, text) ?? []);
  return (stated) => [...new Set([...(Array.isArray(stated) ? stated : [stated]).filter(isToken), ...known])];
}

type SamplingSettings = Omit<GenerationConfig, 'eosIds'>;

const RANGES: Record<keyof SamplingSettings, [number, number]> = {
  temperature: [0, 100],
  topK: [0, 2 ** 22],
  topP: [0, 1],
  minP: [0, 1],
  repetitionPenalty: [0.01, 100],
};

/** Keeps the numbers that are within their range. */
function validSampling(stated: Record<keyof SamplingSettings, unknown>): SamplingSettings {
  const good = Object.entries(RANGES).filter(([key, [low, high]]) => {
    const value = stated[key as keyof SamplingSettings];
    return typeof value === 'number' && value >= low && value <= high && (key !== 'topK' || Number.isInteger(value));
  });
  return Object.fromEntries(good.map(([key]) => [key, stated[key as keyof SamplingSettings]]));
}

export function generationFromJson(
  json: Record<string, unknown>,
  eosIds: (stated: unknown) => number[],
): GenerationConfig {
  const { top_k: topK, top_p: topP, min_p: minP, repetition_penalty: repetitionPenalty } = json;
  const temperature = json.do_sample === false ? 0 : json.temperature;
  return { eosIds: eosIds(json.eos_token_id), ...validSampling({ temperature, topK, topP, minP, repetitionPenalty }) };
}

/** Converters write generation_config.json as general.sampling.* (gguf-py). */
export function generationFromGguf(metadata: GgufMetadata, eosIds: (stated: unknown) => number[]): GenerationConfig {
  const get = (key: string): unknown => metadata.get(`general.sampling.${key}`);
  return {
    eosIds: eosIds(metadata.get('tokenizer.ggml.eos_token_id')),
    ...validSampling({
      temperature: get('temp'),
      topK: get('top_k'),
      topP: get('top_p'),
      minP: get('min_p'),
      repetitionPenalty: get('penalty_repeat'),
    }),
  };
}
