/** What an index takes and gives. */
import type { Model } from '../index';

/** What an index needs of a model that `load` gave: one for late interaction, or an embedding model. */
export type IndexModel = Pick<Model, 'info' | 'encodeQuery' | 'encodeDocuments' | 'embed'>;

/** What a document says about itself, for filters. */
export type Metadata = Readonly<Record<string, string | number | boolean | null>>;

export interface IndexDocument {
  /** not empty */
  id: string;
  text: string;
  metadata?: Metadata;
}

export interface AddOptions {
  /** ends the call before the next document; those before it stay */
  signal?: AbortSignal;
  /** documents that are stored */
  onProgress?: (done: number, total: number) => void;
}

export interface SearchOptions {
  /** how many documents, 10 by default */
  k?: number;
  /** documents that may be found: a function of them, or values that their metadata must have */
  filter?: ((document: IndexDocument) => boolean) | Metadata;
  /** `vectors` by meaning, `words` by BM25, `hybrid` by both (the default): reciprocal rank fusion */
  by?: 'hybrid' | 'vectors' | 'words';
  signal?: AbortSignal;
}

export interface SearchResult extends IndexDocument {
  /** by vectors MaxSim or the cosine, by words BM25, else Σ 1 / (60 + rank) */
  score: number;
}

export interface IndexOptions {
  model: IndexModel;
  /** of the index in this site's storage */
  name: string;
}

export interface SearchIndex {
  readonly name: string;
  /** documents */
  readonly size: number;
  /** vectors of all documents, and bytes in memory that they take */
  readonly vectors: number;
  readonly memory: number;
  /**
   * Encodes and stores documents, each whole or not at all.
   * @throws RequestError for an id that is there; StorageError if another tab writes, or storage is full
   */
  add(documents: readonly IndexDocument[], options?: AddOptions): Promise<void>;
  /** The same for documents that are there already. @throws RequestError for an id that is not there */
  update(documents: readonly IndexDocument[], options?: AddOptions): Promise<void>;
  /** Ids that are not there change nothing. @throws StorageError */
  remove(ids: readonly string[]): Promise<void>;
  get(id: string): IndexDocument | undefined;
  /** The best documents first. @throws RequestError, AbortError, what the model throws */
  search(query: string, options?: SearchOptions): Promise<SearchResult[]>;
  /** All documents with their vectors in one file, for `importIndex`. */
  export(): Promise<Blob>;
  /** Lets another tab write. No other call may follow. */
  close(): Promise<void>;
}
