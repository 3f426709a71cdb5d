/** Encodes texts with a model for retrieval: tokens as pylate and sentence-transformers write them, then vectors. */
import type { State } from '../backend/backend';
import { visibleRows, type PaddedSequence } from '../backend/visible_rows';
import { abortError, fail } from '../errors';
import type { RetrievalConfig } from '../model/config';
import type { Tokenizer } from '../text/tokenizer';
import type { LoadedModelParts } from './load_model';
import type { EncodeRequest } from './retrieval_hook';

/** A text as the model reads it. */
export interface EncodedText {
  ids: number[];
  /** tokens that are no padding */
  attended: number;
  /** positions whose vectors count */
  kept: number[];
}

type Kind = EncodeRequest['kind'];

/** More than are read, so that what is cut off changes no token that is. */
const LOOK_AHEAD = 32;

/**
 * Turns texts into tokens.
 * @param longest most tokens of one call
 * @throws CheckpointError if the vocabulary lacks a token that the model needs
 */
export function textReader(
  config: RetrievalConfig,
  tokenizer: Tokenizer,
  kind: Kind,
  longest: number,
): (text: string) => EncodedText {
  const { queryLength, documentLength, queryPrefix, documentPrefix } = config;
  const [stated, prefix] = kind === 'query' ? [queryLength, queryPrefix] : [documentLength, documentPrefix];
  const length = Math.min(stated, longest);
  const read = (text: string, n: number): number[] =>
    tokenizer.encode(text, { bos: tokenizer.addBos }, n + LOOK_AHEAD).slice(0, n);

  if (config.vectors === 'text')
    return (text) => {
      const ids = read(prefix + text, length);
      return { ids, attended: ids.length, kept: [0] };
    };

  const cure = 'The tokenizer belongs to another model.';
  const marker =
    tokenizer.tokenId(prefix) ??
    fail('CheckpointError', { what: 'The vocabulary lacks a token for retrieval', wanted: prefix, cure });
  const skipped = new Set(config.skipped.map((word) => tokenizer.tokenId(word)));
  const expands = kind === 'query' && config.expandQueries;
  const [filler] = config.fillers.flatMap((one) => (typeof one === 'number' ? one : (tokenizer.tokenId(one) ?? [])));
  if (expands && filler === undefined)
    fail('CheckpointError', { what: 'No token fills queries', wanted: 'a mask, end or padding token', cure });
  return (text) => {
    // one is the marker
    const [first, ...rest] = read(text, length - 1);
    const ids = [first ?? marker, ...(first === undefined ? [] : [marker]), ...rest];
    const attended = ids.length;
    while (expands && ids.length < length) ids.push(filler);
    const kept = [...ids.keys()].filter((t) => kind === 'query' || !skipped.has(ids[t]));
    return { ids, attended: config.attendExpansion ? ids.length : attended, kept };
  };
}

/** As many texts at a time as have at most so many tokens together. */
export function callsOf(texts: readonly EncodedText[], most: number): EncodedText[][] {
  const calls: EncodedText[][] = [];
  let room = 0;
  for (const text of texts) {
    if (text.ids.length > room) room = calls.push([]) && most;
    calls.at(-1)!.push(text);
    room -= text.ids.length;
  }
  return calls;
}

/** The vectors of the texts of one call, each of length 1. */
export async function encodeCall(
  state: State,
  texts: readonly EncodedText[],
  { size, causal }: RetrievalConfig,
  padding: EncodeRequest['padding'] = causal ? 'zeroed' : 'kept',
): Promise<Float32Array[]> {
  const sequences = texts.map(({ ids, attended }): PaddedSequence => ({ length: ids.length, attended }));
  const bounds = visibleRows(sequences, { causal, zeroed: padding === 'zeroed' });
  await state.prefill(Uint32Array.from(texts.flatMap(({ ids }) => ids)), { bounds });
  const rows = await state.logits();
  let begin = 0;
  return texts.map(({ ids, kept }) => {
    const vectors = new Float32Array(kept.length * size);
    kept.forEach((t, i) => vectors.set(rows.subarray((begin + t) * size, (begin + t + 1) * size), i * size));
    begin += ids.length;
    return unitVectors(vectors, size);
  });
}

/** In place. */
function unitVectors(vectors: Float32Array, size: number): Float32Array {
  for (let at = 0; at < vectors.length; at += size) {
    let squares = 0;
    for (let i = at; i < at + size; i++) squares += vectors[i] * vectors[i];
    const scale = 1 / Math.max(Math.sqrt(squares), 1e-12);
    for (let i = at; i < at + size; i++) vectors[i] *= scale;
  }
  return vectors;
}

export async function encodeWithModel(
  { session, info }: LoadedModelParts,
  texts: readonly string[],
  { vectors, kind, padding }: EncodeRequest,
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  const config = info().config.retrieval!;
  if (config.vectors !== vectors)
    fail('RequestError', {
      what: `The model has no vectors of ${vectors === 'text' ? 'whole texts' : 'single tokens'}`,
      cure: vectors === 'text' ? 'Use encodeQuery and encodeDocuments.' : 'Use embed.',
    });
  return session.recoverable.run(async (model, turn) => {
    const state = (model.unusedState ??= await model.program.newState());
    const most = Math.min(model.contextLength, model.batchSizes.prefillBatch);
    const encoded = texts.map(textReader(config, session.tokenizer, kind, most));
    const all: Float32Array[] = [];
    for (const call of callsOf(encoded, most)) {
      await turn.pass(); // an abort may arrive
      if (signal?.aborted) throw abortError();
      all.push(...(await encodeCall(state, call, config, padding)));
    }
    return all;
  }, signal);
}
