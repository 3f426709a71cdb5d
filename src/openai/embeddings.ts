/** Embeddings in OpenAI's form, and reranking in the form of Jina's and Cohere's servers, over models for retrieval. */
import { show } from '../errors';
import { createFieldReader, isObject, type FieldReader } from './fields';
import type { ModelTable } from './models';
import { isAbort, refuse, toOpenAIError } from './openai_error';
import type {
  CreateEmbeddingResponse,
  EmbeddingRequest,
  OpenAIModel,
  RequestOptions,
  RerankRequest,
  RerankResponse,
} from './types';

export interface Embeddings {
  /** @throws OpenAIError with the path of a field that is wrong or cannot be honoured; AbortError */
  create(request: EmbeddingRequest, options?: RequestOptions): Promise<CreateEmbeddingResponse>;
}

export interface Rerank {
  /**
   * Documents by how well they answer a query, with a model for late interaction or an embedding model.
   * @throws OpenAIError, AbortError
   */
  create(request: RerankRequest, options?: RequestOptions): Promise<RerankResponse>;
}

/** What a model for retrieval has, and others refuse. */
type Retriever = Required<OpenAIModel>;

const MOST_TEXTS = 2048;

function retrieverOf(model: OpenAIModel): Retriever {
  if (model.info.config?.retrieval && model.embed) return model as Retriever;
  return refuse(
    'model',
    { what: 'The model makes no vectors of texts', cure: 'Choose a model for retrieval.' },
    'unsupported_model',
  );
}

async function usageOf(
  model: Retriever,
  texts: readonly string[],
): Promise<{ prompt_tokens: number; total_tokens: number }> {
  let tokens = 0;
  for (const text of texts) tokens += (await model.tokenize(text)).length;
  return { prompt_tokens: tokens, total_tokens: tokens };
}

function readTextsOf(request: FieldReader, name: string): string[] {
  const given = request.value(name);
  const texts = typeof given === 'string' ? [given] : given;
  const valid = Array.isArray(texts) && texts.length > 0 && texts.length <= MOST_TEXTS;
  if (valid && texts.every((one) => typeof one === 'string')) return texts;
  return request.refuse(name, `a text, or a list of 1 to ${MOST_TEXTS} texts`);
}

/** Little-endian floats, as OpenAI's client reads them. */
function base64Of(vector: Float32Array): string {
  const bytes = new DataView(new ArrayBuffer(4 * vector.length));
  vector.forEach((value, i) => bytes.setFloat32(4 * i, value, true));
  let text = '';
  for (const byte of new Uint8Array(bytes.buffer)) text += String.fromCharCode(byte);
  return btoa(text);
}

async function embed(models: ModelTable, body: unknown, signal?: AbortSignal | null): Promise<CreateEmbeddingResponse> {
  const request = createFieldReader(body);
  const name = request.requiredText('model');
  request.only(['model', 'input', 'encoding_format', 'dimensions', 'user', 'input_type']);
  const texts = readTextsOf(request, 'input');
  const form = request.oneOf('encoding_format', 'float', 'base64') ?? 'float';
  const kind = request.oneOf('input_type', 'query', 'document') ?? 'document';
  const model = retrieverOf(await models.get(name, signal));
  const { vectors, size } = model.info.config.retrieval!;
  if (vectors !== 'text')
    refuse('model', { what: 'The model has a vector for each token', cure: 'Use /rerank.' }, 'unsupported_model');
  if ((request.whole('dimensions', 1) ?? size) !== size) request.refuse('dimensions', `${size}, or none`);
  const embedded = await model.embed(texts, { kind, ...(signal && { signal }) });
  return {
    object: 'list',
    data: embedded.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: form === 'base64' ? base64Of(vector) : Array.from(vector),
    })),
    model: name,
    usage: await usageOf(model, texts),
  };
}

/** Texts, or objects with one. */
function readDocuments(request: FieldReader): string[] {
  const given = request.list('documents') ?? request.refuse('documents', 'a list');
  if (!given.length || given.length > MOST_TEXTS) request.refuse('documents', `1 to ${MOST_TEXTS} documents`);
  return given.map((one, i) => {
    const text = isObject(one) ? one.text : one;
    if (typeof text === 'string') return text;
    const path = `documents[${i}]`;
    return refuse(path, { what: `${path} is not valid`, got: show(one), wanted: 'a text, or an object with one' });
  });
}

async function scoresOf(
  model: Retriever,
  query: string,
  documents: string[],
  options: { signal?: AbortSignal },
): Promise<number[]> {
  const scores: number[] = [];
  if (model.info.config.retrieval!.vectors === 'text') {
    const [of] = await model.embed([query], { kind: 'query', ...options });
    for (const one of await model.embed(documents, { kind: 'document', ...options }))
      scores.push(model.similarity(of, one));
    return scores;
  }
  const of = await model.encodeQuery(query, options);
  for await (const one of model.encodeDocuments(documents, options)) scores.push(model.similarity(of, one));
  return scores;
}

async function rerank(models: ModelTable, body: unknown, signal?: AbortSignal | null): Promise<RerankResponse> {
  const request = createFieldReader(body);
  const name = request.requiredText('model');
  request.only(['model', 'query', 'documents', 'top_n', 'return_documents', 'user']);
  const query = request.requiredText('query');
  const documents = readDocuments(request);
  const top = request.whole('top_n', 1) ?? documents.length;
  const given = request.flag('return_documents') ?? false;
  const model = retrieverOf(await models.get(name, signal));
  const scores = await scoresOf(model, query, documents, signal ? { signal } : {});
  const results = scores
    .map((relevance_score, index) => ({
      index,
      relevance_score,
      ...(given && { document: { text: documents[index] } }),
    }))
    .sort((a, b) => b.relevance_score - a.relevance_score || a.index - b.index)
    .slice(0, top);
  return { object: 'list', model: name, results, usage: await usageOf(model, [query, ...documents]) };
}

const inOpenAIForm = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (error) {
    throw isAbort(error) ? error : toOpenAIError(error);
  }
};

export const createEmbeddings = (models: ModelTable): Embeddings => ({
  create: (request, { signal } = {}) => inOpenAIForm(embed(models, request, signal)),
});
export const createRerank = (models: ModelTable): Rerank => ({
  create: (request, { signal } = {}) => inOpenAIForm(rerank(models, request, signal)),
});
