/**
 * A search index in the page, over a model for retrieval. A file of its own beside the library: it needs a loaded
 * model, not the library's file, and is fetched by pages that search.
 */
export { createIndex, importIndex } from './create_index';
export { deleteIndex } from './database';
export type {
  AddOptions,
  IndexDocument,
  IndexModel,
  IndexOptions,
  Metadata,
  SearchIndex,
  SearchOptions,
  SearchResult,
} from './types';
