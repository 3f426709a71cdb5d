/** A page that searches documents. */
import { load, type Model } from '../../src/index';
import { createIndex, type IndexDocument, type SearchIndex, type SearchOptions } from '../../src/search_index/index';

let model: Model;
let index: SearchIndex;

const outcome = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    ({ name, message }: Error) => `${name}: ${message}`,
  );

export interface RetrievalPage {
  load(url: string): Promise<{ vectors?: string; backend: string }>;
  query(text: string): Promise<number[]>;
  documents(texts: string[]): Promise<{ vectors: number[][]; reports: number[][] }>;
  similarity(a: number[], b: number[]): number;
  /** what calls say that the model refuses, or that are aborted */
  refuse(call: 'generate' | 'chat' | 'embed' | 'encodeQuery' | 'abort'): Promise<string>;
  open(name: string): Promise<number>;
  add(documents: IndexDocument[]): Promise<string>;
  size(): number;
  search(query: string, options?: SearchOptions): Promise<string[]>;
  close(): Promise<void>;
}

(window as Window & { retrieval?: RetrievalPage }).retrieval = {
  async load(url) {
    await model?.unload();
    model = await load(new URL(url, location.href).href, { cache: false, backend: 'wasm', exact: true });
    return { vectors: model.info.config.retrieval?.vectors, backend: model.info.backend.name };
  },
  query: async (text) => Array.from(await model.encodeQuery(text)),
  async documents(texts) {
    const reports: number[][] = [];
    const vectors: number[][] = [];
    const onProgress = (...report: number[]): unknown => reports.push(report);
    for await (const one of model.encodeDocuments(texts, { onProgress })) vectors.push(Array.from(one));
    return { vectors, reports };
  },
  similarity: (a, b) => model.similarity(Float32Array.from(a), Float32Array.from(b)),
  refuse(call) {
    if (call === 'generate') return outcome(model.generate('x').result);
    if (call === 'chat') return outcome(model.chat([{ role: 'user', content: 'x' }]).result);
    if (call === 'embed') return outcome(model.embed(['x']));
    if (call === 'encodeQuery') return outcome(model.encodeQuery('x'));
    const controller = new AbortController();
    const { signal } = controller;
    const reading = (async () => {
      const vectors = model.encodeDocuments(Array<string>(400).fill('again and again'), { signal });
      const iterator = vectors[Symbol.asyncIterator]();
      await iterator.next();
      controller.abort();
      while (!(await iterator.next()).done);
    })();
    return outcome(reading);
  },
  async open(name) {
    index = await createIndex({ model, name });
    return index.size;
  },
  add: (documents) => outcome(index.add(documents)),
  size: () => index.size,
  search: async (query, options) => (await index.search(query, options)).map(({ id }) => id),
  close: () => index.close(),
};
