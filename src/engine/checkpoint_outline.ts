/** Opens a checkpoint that is not downloaded, as far as its headers describe it. */
import type { ByteSource } from '../store/byte_source';
import { findModel, outlineOfDirectory, outlineOfGguf, readHeaders, type CheckpointOutline } from './checkpoint';
import { readHeaderWithoutVocabulary } from './partial_header';

/** Enough for the header of a .safetensors file of a small model. */
const FIRST_OUTLINE_READ = 32 << 10;

/**
 * Like openCheckpoint, without the vocabulary: for a file that is not downloaded.
 * @param skim true: reads a few hundred KB of a GGUF file and returns undefined if they are not enough; false: reads
 * the whole header
 * @throws like openCheckpoint, except for errors in the vocabulary
 */
export async function openCheckpointOutline(
  files: ByteSource[],
  skim: boolean,
  signal?: AbortSignal,
): Promise<CheckpointOutline | undefined> {
  const found = await findModel(files, signal);
  if (!Array.isArray(found)) return (await outlineOfDirectory(found, FIRST_OUTLINE_READ, signal)).outline;
  if (!skim) return outlineOfGguf(found, await readHeaders(found, signal)).outline;
  const header = found.length === 1 ? await readHeaderWithoutVocabulary(found[0], signal) : undefined;
  return header && outlineOfGguf(found, [header]).outline;
}
