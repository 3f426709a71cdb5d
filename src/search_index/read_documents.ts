/** Checks documents that a page or a file gives. */
import { refuseOption } from './rank';
import type { IndexDocument, Metadata } from './types';

/** Far above a document whose words are read: 512 tokens. */
const MAX_TEXT = 2 ** 26;

const isMetadata = (value: unknown): value is Metadata =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  Object.values(value).every((one) => one === null || ['string', 'number', 'boolean'].includes(typeof one));

/** Documents as plain data. @throws RequestError that names the document and what it should have */
export function readDocuments(documents: readonly IndexDocument[]): IndexDocument[] {
  if (!Array.isArray(documents)) refuseOption('documents', documents, 'a list');
  const known = new Set<string>();
  return documents.map((given: Partial<IndexDocument> | null, i) => {
    const { id, text, metadata } = given ?? {};
    const wrong = (what: string, got: unknown, wanted: string): never =>
      refuseOption(`documents[${i}].${what}`, got, wanted);
    if (typeof id !== 'string' || !id) return wrong('id', id, 'a text that is not empty');
    if (known.has(id)) return wrong('id', id, 'another one than those before');
    if (typeof text !== 'string') return wrong('text', text, 'a text');
    if (text.length > MAX_TEXT) return wrong('text.length', text.length, `at most ${MAX_TEXT} characters`);
    if (metadata !== undefined && metadata !== null && !isMetadata(metadata))
      return wrong('metadata', metadata, 'texts, numbers, true, false or null by name');
    known.add(id);
    return { id, text, ...(metadata && { metadata: { ...metadata } }) };
  });
}
