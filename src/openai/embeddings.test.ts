import { expect, it } from 'vitest';
import { createScriptedModel } from '../../e2e/scripted_model';
import { maxSim } from '../api/max_sim';
import { createFetch } from './create_fetch';
import { createOpenAI } from './create_openai';
import type { OpenAIModel } from './types';

/** Vectors of [a's, b's], of length 1; of tokens: one for each letter. */
function model(vectors: 'text' | 'tokens'): OpenAIModel & { kinds: (string | undefined)[] } {
  const count = (text: string, letter: string): number => text.split(letter).length - 1;
  const unit = (a: number, b: number): Float32Array => {
    const length = Math.hypot(a, b) || 1;
    return Float32Array.of(a / length, b / length);
  };
  const letters = (text: string): Float32Array =>
    Float32Array.from([...text].flatMap((c) => (c === 'a' ? [1, 0] : [0, 1])));
  const kinds: (string | undefined)[] = [];
  return {
    ...createScriptedModel(''),
    kinds,
    info: { id: 'm', config: { retrieval: { vectors, size: 2 } } } as OpenAIModel['info'],
    tokenize: async (text) => [...text].map(() => 1),
    embed: async (texts, { kind } = {}) => (kinds.push(kind), texts.map((t) => unit(count(t, 'a'), count(t, 'b')))),
    encodeQuery: async (text) => letters(text),
    async *encodeDocuments(texts) {
      for (const text of texts) yield letters(text);
    },
    similarity: (query, document) => maxSim(query, document, 2),
  };
}

const refused = (param: string, code = 'invalid_value') => ({ name: 'OpenAIError', status: 400, param, code });

it('embeds texts, as floats and in base64', async () => {
  const one = model('text');
  const { embeddings } = createOpenAI({ m: one });
  const { data, usage, object } = await embeddings.create({ model: 'm', input: ['aaa', 'b'] });
  expect([object, usage.prompt_tokens]).toEqual(['list', 4]);
  expect(data).toEqual([
    { object: 'embedding', index: 0, embedding: [1, 0] },
    { object: 'embedding', index: 1, embedding: [0, 1] },
  ]);
  const packed = await embeddings.create({ model: 'm', input: 'ab', encoding_format: 'base64', input_type: 'query' });
  const bytes = Uint8Array.from(atob(packed.data[0].embedding as string), (c) => c.charCodeAt(0));
  expect([...new Float32Array(bytes.buffer)]).toEqual([Math.fround(Math.SQRT1_2), Math.fround(Math.SQRT1_2)]);
  expect(one.kinds).toEqual(['document', 'query']);
});

it.each(['text', 'tokens'] as const)('reranks documents with vectors of %s', async (vectors) => {
  const fetch = createFetch({ m: model(vectors) });
  const body = { model: 'm', query: 'a', documents: ['bb', { text: 'aab' }, 'aa'], top_n: 2, return_documents: true };
  const response = await fetch('http://in-page/v1/rerank', { method: 'POST', body: JSON.stringify(body) });
  const { results } = (await response.json()) as { results: { index: number; document: { text: string } }[] };
  expect(results.map(({ index }) => index)).toEqual(vectors === 'text' ? [2, 1] : [1, 2]);
  expect(results[0].document.text).toBe(vectors === 'text' ? 'aa' : 'aab');
});

it('refuses what is wrong, with its path', async () => {
  const { embeddings, rerank } = createOpenAI({
    text: model('text'),
    tokens: model('tokens'),
    chat: createScriptedModel('Hi'),
  });
  const embed = (request: object) => embeddings.create({ model: 'text', input: 'a', ...request });
  const rank = (request: object) => rerank.create({ model: 'tokens', query: 'a', documents: ['a'], ...request });
  await expect(embed({ input: [] })).rejects.toMatchObject(refused('input'));
  await expect(embed({ input: [1, 2] })).rejects.toMatchObject(refused('input'));
  await expect(embed({ dimensions: 3 })).rejects.toMatchObject(refused('dimensions'));
  await expect(embed({ model: 'tokens' })).rejects.toMatchObject(refused('model', 'unsupported_model'));
  await expect(embed({ model: 'chat' })).rejects.toMatchObject(refused('model', 'unsupported_model'));
  await expect(rank({ model: 'chat' })).rejects.toMatchObject(refused('model', 'unsupported_model'));
  await expect(rank({ documents: ['a', 7] })).rejects.toMatchObject(refused('documents[1]'));
  await expect(rank({ documents: [] })).rejects.toMatchObject(refused('documents'));
  await expect(rank({ query: '' })).rejects.toMatchObject(refused('query'));
  await expect(rank({ n: 3 })).rejects.toMatchObject(refused('n', 'unknown_parameter'));
});
