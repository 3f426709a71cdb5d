/** A strict project that searches its documents. */
import { load } from 'rivulet';
import { createIndex, deleteIndex, importIndex, type SearchIndex, type SearchResult } from 'rivulet/search-index';

export async function find(query: string): Promise<string> {
  const model = await load('./models/colbert/');
  const index: SearchIndex = await createIndex({ model, name: 'notes' });
  await index.add([{ id: 'a', text: 'A tide pool', metadata: { year: 2024 } }]);
  const found: SearchResult[] = await index.search(query, { k: 3, filter: { year: 2024 }, by: 'vectors' });
  const copy = await importIndex(await index.export(), { model, name: 'copy' });
  await Promise.all([index.close(), copy.close()]);
  await deleteIndex('copy');
  const [vectors] = await model.embed(['x'], { kind: 'document' });
  return `${found[0]?.score} ${vectors?.length}`;
}

// @ts-expect-error no model
createIndex({ name: 'notes' });
