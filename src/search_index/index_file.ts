/**
 * An index as one file: 'RVINDEX1', the bytes of a JSON header as u32, the header, the vectors of all documents one
 * after the other (int8, then scales), and the SHA-256 of all before.
 */
import { fail } from '../errors';
import { checksumOf, VERSION, type IndexHead, type StoredDocument } from './database';
import { readDocuments } from './read_documents';
import type { IndexDocument } from './types';

const MAGIC = 'RVINDEX1';
const HASH_BYTES = 32;

interface Header {
  version: number;
  model: string;
  size: number;
  probe: number[];
  documents: (IndexDocument & { vectors: number })[];
}

const sha256 = async (bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));

/** 4 bytes at a time. */
const padded = (n: number): number => Math.ceil(n / 4) * 4;

export async function writeIndexFile(head: IndexHead, documents: readonly StoredDocument[]): Promise<Blob> {
  const header: Header = {
    version: head.version,
    model: head.model,
    size: head.size,
    probe: Array.from(head.probe),
    documents: documents.map(({ id, text, metadata, scales }) => ({ id, text, metadata, vectors: scales.length })),
  };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const begin = MAGIC.length + 4;
  const vectors = documents.reduce((sum, { bytes, scales }) => sum + bytes.byteLength + scales.byteLength, 0);
  const all = new Uint8Array(padded(begin + json.length) + vectors);
  all.set(new TextEncoder().encode(MAGIC));
  new DataView(all.buffer).setUint32(MAGIC.length, json.length, true);
  all.set(json, begin);
  let at = padded(begin + json.length);
  for (const { bytes, scales } of documents)
    for (const part of [bytes, scales]) {
      all.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
      at += part.byteLength;
    }
  return new Blob([all, new Uint8Array(await sha256(all))], { type: 'application/octet-stream' });
}

const failFile = (got: string): never =>
  fail('SourceError', {
    what: 'The file is no index, or is damaged',
    got,
    cure: 'Export the index again.',
  });

/** @throws SourceError for another or a damaged file; RequestError for documents that are none */
export async function readIndexFile(
  file: Blob,
  width: (size: number) => number,
): Promise<{ head: IndexHead; documents: StoredDocument[] }> {
  const begin = MAGIC.length + 4;
  if (file.size < begin + HASH_BYTES) failFile(`${file.size} bytes`);
  const all = new Uint8Array(await file.arrayBuffer());
  const body = all.slice(0, -HASH_BYTES);
  if (new TextDecoder().decode(body.subarray(0, MAGIC.length)) !== MAGIC) failFile('another beginning');
  const hash = await sha256(body);
  if (!hash.every((byte, i) => byte === all[body.length + i])) failFile('another hash');
  const length = new DataView(body.buffer).getUint32(MAGIC.length, true);
  let header: Header;
  try {
    header = JSON.parse(new TextDecoder().decode(body.subarray(begin, begin + length))) as Header;
  } catch (error) {
    return failFile(String(error));
  }
  const { version, model, size, probe } = header;
  if (version !== VERSION) failFile(`version ${version}, wanted ${VERSION}`);
  // the hash holds, so a wrong header was written by a program
  const known = Number.isInteger(size) && Array.isArray(probe) && Array.isArray(header.documents);
  if (!known || typeof model !== 'string') failFile('a header without its fields');
  readDocuments(header.documents);
  let at = padded(begin + length);
  const documents = header.documents.map(({ id, text, metadata, vectors }): StoredDocument => {
    const bytesLength = vectors * width(size);
    if (!(vectors >= 0) || at + bytesLength + vectors * 4 > body.length) return failFile('too few vectors');
    const bytes = new Int8Array(body.slice(at, at + bytesLength).buffer);
    const scales = new Float32Array(body.slice(at + bytesLength, at + bytesLength + vectors * 4).buffer);
    at += bytesLength + vectors * 4;
    const one = { id, text, ...(metadata && { metadata }), bytes, scales };
    return { ...one, check: checksumOf(one) };
  });
  return { head: { version, model, size, probe: Float32Array.from(probe) }, documents };
}
