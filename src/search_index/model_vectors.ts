/** What an index takes from its model: vectors, and how the model is told from others. */
import { fail } from '../errors';
import { VERSION, type IndexHead } from './database';
import type { IndexModel } from './types';

/** Documents that an embedding model gets at a time. */
const TEXTS = 16;
/** Its vectors tell models apart whose configurations are the same. */
const PROBE = 'The quick brown fox jumps over 13 lazy dogs; then the sea was calm.';
/** Less than what quantisation and backends change. */
const SAME_MODEL = 0.97;

/** @throws RequestError from a model that makes no vectors */
export const retrievalOf = ({ info }: IndexModel) =>
  info?.config?.retrieval ??
  fail('RequestError', { what: 'The model makes no vectors of texts', cure: 'Load a model for retrieval.' });

/** Of each text its vectors, [n, size]. */
export async function* documentVectors(
  model: IndexModel,
  texts: readonly string[],
  signal?: AbortSignal,
): AsyncGenerator<Float32Array, void> {
  const options = signal ? { signal } : {};
  if (retrievalOf(model).vectors === 'tokens') return yield* model.encodeDocuments(texts, options);
  for (let i = 0; i < texts.length; i += TEXTS)
    yield* await model.embed(texts.slice(i, i + TEXTS), { kind: 'document', ...options });
}

export async function queryVectors(model: IndexModel, query: string, signal?: AbortSignal): Promise<Float32Array> {
  const options = signal ? { signal } : {};
  if (retrievalOf(model).vectors === 'tokens') return model.encodeQuery(query, options);
  return (await model.embed([query], { kind: 'query', ...options }))[0];
}

export async function headOf(model: IndexModel): Promise<IndexHead> {
  const { size, ...retrieval } = retrievalOf(model);
  const { hiddenSize, vocabSize, layers, heads, ffnSize } = model.info.config;
  const parts = JSON.stringify([{ size, ...retrieval }, hiddenSize, vocabSize, layers, heads, ffnSize]);
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(parts)));
  const hex = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
  for await (const probe of documentVectors(model, [PROBE]))
    return { version: VERSION, model: hex, size, probe: Float32Array.from(probe) };
  throw new Error('no vectors');
}

/** @throws StorageError if the index was made by another model or another version */
export function requireSameModel(stored: IndexHead, own: IndexHead): void {
  if (stored.version !== own.version)
    fail('StorageError', {
      what: 'The index is of another version',
      got: stored.version,
      wanted: own.version,
      cure: 'Delete the index with deleteIndex, and add its documents again.',
    });
  const [a, b] = [stored.probe, own.probe];
  let dot = 0;
  if (a.length === b.length) a.forEach((value, i) => (dot += value * b[i]));
  // the mean cosine of the vectors
  if (stored.model === own.model && dot / (b.length / own.size) >= SAME_MODEL) return;
  fail('StorageError', {
    what: 'The index was made by another model',
    cure: 'Load that model, or delete the index with deleteIndex and add its documents again.',
  });
}
