/** Where the side file `retrieval` encodes texts. */
import { fail } from '../errors';
import type { LoadedModelParts } from './load_model';

export interface EncodeRequest {
  /** a vector for each token, or one for a text */
  vectors: 'tokens' | 'text';
  kind: 'query' | 'document';
  padding?: 'zeroed' | 'kept';
}

/** For each text its vectors, [n, size]. @throws RequestError, CheckpointError, DeviceError, AbortError */
export let encodeTexts = async (
  _model: LoadedModelParts,
  _texts: readonly string[],
  _request: EncodeRequest,
  _signal?: AbortSignal,
): Promise<Float32Array[]> =>
  fail('RequestError', {
    what: 'The model makes no vectors of texts',
    cure: 'Load a model for retrieval: its hidden states are no embeddings.',
  });
export const registerRetrieval = (encode: typeof encodeTexts): void => void (encodeTexts = encode);
