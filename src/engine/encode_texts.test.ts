/** Models for retrieval against independently computed vectors, and what their files may say. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import '../modules/encoders';
import '../modules/retrieval';
import { createEncoder } from '../../e2e/retrieving';
import { readRetrievalSet, retrievalFiles } from '../../e2e/tools/verify_retrieval';
import { GOLDEN_DIRECTORY } from '../../e2e/tools/golden';
import { verifyTexts } from '../../e2e/tools/verify_texts';
import type { Backend } from '../backend/backend';
import { openReferenceBackend } from '../backend/reference/backend';
import { openWasmBackend } from '../backend/wasm/backend';
import { maxSim } from '../api/max_sim';
import { memorySource, type ByteSource } from '../store/byte_source';
import { openCheckpoint } from './checkpoint';
import { createEngine, type EngineWorkerCalls } from './engine';
import { encodeWithModel } from './encode_texts';
import { refuseGeneration } from './refuse_generation';

const SETS = ['causal', 'centred', 'text'];
const directory = (set: string): string => join(GOLDEN_DIRECTORY, 'retrieval', set);

/** The files of a set's model, some of them changed or left out. */
function filesOf(set: string, changed: Record<string, unknown> = {}): ByteSource[] {
  const root = directory(set);
  const files = retrievalFiles(root, 'model.safetensors', readRetrievalSet(root)!);
  return [...files].flatMap(([name, path]) => {
    if (!(name in changed)) return [memorySource(name, new Uint8Array(readFileSync(join(root, path))))];
    const value = changed[name];
    return value === undefined ? [] : [memorySource(name, new TextEncoder().encode(JSON.stringify(value)))];
  });
}
const jsonOf = (set: string, name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(directory(set), 'model', name), 'utf8')) as Record<string, unknown>;

const wasm = (): Promise<Backend> => openWasmBackend({ threads: 1, variant: 'simd', exact: true });

describe.each(SETS)('%s', (set) => {
  it.each([
    ['reference', openReferenceBackend],
    ['wasm', wasm],
  ] as const)('has the tokens, vectors and scores of the golden set: %s', async (backend, open) => {
    const lines: { maxAbs: number }[] = [];
    const options = { expected: directory(set), backend, exact: true, open: async () => open() };
    expect(await verifyTexts(options, readRetrievalSet(directory(set))!, (line) => void lines.push(line))).toEqual([]);
    expect(lines.length).toBeGreaterThan(3);
  });
});

describe('texts of one call', () => {
  const TEXTS = ['a tide pool', 'The sea fills it twice a day, and the sun dries it.', '', '.', 'x', '!?...'];

  it.each(['causal', 'centred'])('do not see each other: %s', async (set) => {
    const encode = await createEncoder(await openCheckpoint(filesOf(set)), await wasm());
    for (const kind of ['query', 'document'] as const) {
      const together = await encode(TEXTS, { kind });
      for (const [i, text] of TEXTS.entries()) {
        const [alone] = await encode([text], { kind });
        const off = alone.vectors.map((v, j) => Math.abs(v - together[i].vectors[j]));
        expect(off.length).toBeGreaterThan(0);
        expect(Math.max(...off), text).toBeLessThan(2e-6);
      }
    }
  });
});

describe('what the files say', () => {
  const check = (set: string, changed: Record<string, unknown>) => openCheckpoint(filesOf(set, changed));
  const modules = (...types: string[]) =>
    types.map((type, idx) => ({ idx, type: `x.${type}`, path: idx ? `${idx}_${type}` : '' }));

  it('decides on causality, vectors and prefixes', async () => {
    const { config } = await check('causal', {});
    expect(config.retrieval).toMatchObject({ vectors: 'tokens', causal: true, size: 32, queryPrefix: '<|fim_pre|>' });
    expect(config.contextLength).toBe(64);
    const { config: text } = await check('text', {});
    expect(text.retrieval).toMatchObject({ vectors: 'text', causal: false, size: 64, documentPrefix: 'document: ' });
  });

  it('is refused if it is something else', async () => {
    const wrong = expect.objectContaining({ name: 'CheckpointError' }) as Error;
    const settings = jsonOf('causal', 'config_sentence_transformers.json');
    for (const changed of [
      { 'modules.json': modules('Transformer') },
      { 'modules.json': modules('Transformer', 'Dense', 'Dense') },
      { 'modules.json': {} },
      { 'modules.json': [null, 7] },
      { '1_Dense/config.json': { activation_function: 'torch.nn.modules.activation.Tanh' } },
      { '1_Dense/model.safetensors': undefined },
      { 'config_sentence_transformers.json': { ...settings, query_length: 2 } },
      { 'config_sentence_transformers.json': { ...settings, document_length: 1e9 } },
      { 'config_sentence_transformers.json': { ...settings, skiplist_words: [1] } },
      { 'config_sentence_transformers.json': { ...settings, query_prefix: 3 } },
    ])
      await expect(check('causal', changed), JSON.stringify(changed)).rejects.toEqual(wrong);
    const pooling = jsonOf('text', '1_Pooling/config.json');
    for (const changed of [
      { 'modules.json': modules('Transformer', 'Pooling') },
      { '1_Pooling/config.json': { ...pooling, pooling_mode_mean_tokens: true } },
      { '1_Pooling/config.json': { pooling_mode: 'mean' } },
      { 'modules.json': undefined },
    ])
      await expect(check('text', changed), JSON.stringify(changed)).rejects.toEqual(wrong);
  });

  it('must have its prefix in the vocabulary', async () => {
    const settings = { ...jsonOf('causal', 'config_sentence_transformers.json'), query_prefix: '[nowhere] ' };
    const encode = await createEncoder(
      await check('causal', { 'config_sentence_transformers.json': settings }),
      openReferenceBackend(),
    );
    await expect(encode(['x'], { kind: 'query' })).rejects.toMatchObject({ name: 'CheckpointError' });
  });
});

describe('calls', () => {
  async function engineOf(files: ByteSource[]): Promise<EngineWorkerCalls> {
    const engine = createEngine({
      open: async () => ({
        ...{ id: 'test/retrieval', files, cached: false, notes: [] },
        ...{ finish: async () => undefined, close: async () => undefined, discard: async () => undefined },
      }),
      candidates: () => [{ name: 'reference', label: 'Reference', open: openReferenceBackend }],
    });
    await engine.load('test/retrieval');
    return engine;
  }

  it('give the vectors of texts in their order, more than one call takes', async () => {
    const engine = await engineOf(filesOf('centred'));
    const texts = ['A tide pool', 'holds crabs', 'and snails'].map((text) => `${text} ${'again and '.repeat(20)}`);
    const documents = await engine.encode([...texts, ''], { vectors: 'tokens', kind: 'document' });
    const [query] = await engine.encode([texts[1]], { vectors: 'tokens', kind: 'query' });
    expect(query).toHaveLength(24 * 32);
    const scores = documents.map((one) => maxSim(query, one, 32));
    expect(scores.indexOf(Math.max(...scores))).toBe(1);
    expect(maxSim(documents[0], documents[0], 32)).toBeCloseTo(documents[0].length / 32, 4);
    await expect(engine.encode(['x'], { vectors: 'text', kind: 'query' })).rejects.toMatchObject({
      name: 'RequestError',
      message: expect.stringMatching(/encodeQuery/) as string,
    });
  });

  it('end at once when they are aborted', async () => {
    const engine = await engineOf(filesOf('text'));
    const controller = new AbortController();
    const many = Array.from({ length: 400 }, () => 'again and again, the sea comes and goes');
    const running = engine.encode(many, { vectors: 'text', kind: 'document' }, controller.signal);
    controller.abort();
    await expect(running).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('that generate are refused', async () => {
    const calls = refuseGeneration(await engineOf(filesOf('text')));
    for (const call of [calls.chat, calls.generate, calls.score, calls.logits] as (() => Promise<unknown>)[])
      await expect(call()).rejects.toMatchObject({ name: 'RequestError' });
  });

  it('of a text model are refused without the side file', async () => {
    vi.resetModules();
    const hook = await import('./retrieval_hook');
    expect(hook.encodeTexts).not.toBe(encodeWithModel);
    const encode = hook.encodeTexts({} as never, ['x'], { vectors: 'text', kind: 'query' });
    await expect(encode).rejects.toMatchObject({ name: 'RequestError' });
  });
});
