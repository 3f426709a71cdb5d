/** Encodes texts with a checkpoint for retrieval, for the checking tools: in a page, or in Node. */
import { firstState, type Backend } from '../src/backend/backend';
import { recordModel } from '../src/backend/model_plan';
import type { Checkpoint } from '../src/engine/checkpoint';
import { callsOf, encodeCall, textReader } from '../src/engine/encode_texts';
import { loadWeights } from '../src/engine/load_weights';
import type { EncodeRequest } from '../src/engine/retrieval_hook';
import { createTokenizer } from '../src/text/tokenizer';

export interface RetrievedText {
  ids: number[];
  attended: number;
  kept: number[];
  /** [kept, size] */
  vectors: number[];
}

export type EncodeTexts = (
  texts: string[],
  request: Pick<EncodeRequest, 'kind' | 'padding'>,
) => Promise<RetrievedText[]>;

/** All texts in as few calls as fit. */
export async function createEncoder(checkpoint: Checkpoint, backend: Backend): Promise<EncodeTexts> {
  const { config, tokenizer: files, memoryBytes } = checkpoint;
  await backend.reserve(memoryBytes);
  const weights = await loadWeights(checkpoint, backend, () => undefined);
  const most = config.contextLength;
  const state = await firstState(backend, recordModel(checkpoint, weights), {
    contextLength: most,
    prefillBatch: most,
  });
  const tokenizer = createTokenizer(files.json, files.config);
  return async (texts, { kind, padding }) => {
    const read = texts.map(textReader(config.retrieval!, tokenizer, kind, most));
    const vectors: Float32Array[] = [];
    for (const call of callsOf(read, most))
      vectors.push(...(await encodeCall(state, call, config.retrieval!, padding)));
    return read.map((text, i) => ({ ...text, vectors: Array.from(vectors[i]) }));
  };
}
