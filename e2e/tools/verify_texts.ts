/** Runs the golden sets of models for retrieval on a backend (verify_retrieval.ts compares). */
import { join } from 'node:path';
import { openReferenceBackend } from '../../src/backend/reference/backend';
import { openCheckpoint } from '../../src/engine/checkpoint';
import { registerArchitecture } from '../../src/model/architecture';
import { LFM2RETRIEVAL } from '../../src/model/lfm2_retrieval';
import { fileSource } from '../file_source';
import type { Probe } from '../probe';
import { createEncoder, type EncodeTexts } from '../retrieving';
import { openPage, type VerifyOptions } from './verify_page';
import {
  retrievalFiles,
  verifyRetrieval,
  type RetrievalBounds,
  type RetrievalLine,
  type RetrievalSet,
} from './verify_retrieval';

registerArchitecture(LFM2RETRIEVAL);

/** Vectors of length 1 may differ by as much; without `exact`, WASM rounds activations to int8. */
export const retrievalBounds = ({ backend, exact, int8 }: VerifyOptions): RetrievalBounds =>
  backend === 'reference'
    ? { maxAbs: 1e-3 }
    : exact || (backend === 'webgpu' && !int8)
      ? { maxAbs: 5e-3 }
      : { cosine: 0.998 };

/** The same of a set of a model for retrieval. */
export async function verifyTexts(
  options: VerifyOptions,
  set: RetrievalSet,
  emit: (line: RetrievalLine) => void,
): Promise<string[]> {
  const { expected: directory, backend, open } = options;
  const probe = backend === 'reference' || open ? undefined : await openPage(options);
  const missed: string[] = [];
  try {
    for (const file of options.files ?? Object.keys(set.files)) {
      const files = retrievalFiles(directory, file, set);
      if (file === 'model.safetensors' && !files.has(file)) continue; // a set may come without its weights
      const encode = probe ? await encodeInPage(probe, files, options) : await encodeHere(options, files);
      missed.push(...(await verifyRetrieval({ directory, set, file, encode, bounds: retrievalBounds(options), emit })));
    }
  } finally {
    await probe?.close();
  }
  return missed;
}

async function encodeHere({ expected, open }: VerifyOptions, files: Map<string, string>): Promise<EncodeTexts> {
  const sources = [...files].map(([name, path]) => ({ ...fileSource(join(expected, path)), name }));
  return createEncoder(await openCheckpoint(sources), open ? await open() : openReferenceBackend());
}

async function encodeInPage(
  probe: Probe,
  files: Map<string, string>,
  { backend, threads, exact, memory64, variant, subgroups, int8 }: VerifyOptions,
): Promise<EncodeTexts> {
  const tuning = int8 ? { int8Activations: true } : undefined;
  const options = { backend, threads, exact, memory64, variant, subgroups, tuning, stays: backend === 'webgpu' };
  const urls = [...files].map(([name, path]) => ({ name, url: `${probe.origin}/expected/${path}` }));
  await probe.run((p, a) => p.loadEncoder(a.urls, a.options), { urls, options });
  return (texts, request) => probe.run((p, a) => p.encodeTexts(a.texts, a.request), { texts, request });
}
