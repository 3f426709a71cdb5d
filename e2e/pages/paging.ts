/** A mixture of experts that is read from the browser's storage, in the built library, for the tool `paging`. */
import { promptTokens } from '../../demo/bench/prompt';
import { randomGguf, type GivenValues } from '../../demo/bench/random_gguf';
import { seededRandom } from '../../src/backend/random_weights';
import type { LoadCallOptions, Model } from '../../src/index';

declare const rivulet: typeof import('../../src/index');

export interface PagingRequest {
  options: Pick<LoadCallOptions, 'threads' | 'memoryBudget'>;
  /** tokens of the prompt, and of the answer */
  prompt: number;
  gen: number;
  runs: number;
  /** the text has topics: `length` tokens in turn are of `words` words */
  topics?: { words: number; length: number };
}

/** What a phase took, in all its runs. */
export interface Phase {
  tokensPerSecond: number[];
  hitRate: number;
  /** of the experts that had to be read, how many came from the swap file */
  swapped?: number;
  megabytesPerToken: number;
}

export interface PagingReport {
  loadSeconds: number;
  /** bytes that the backend holds */
  memory: number;
  experts?: number;
  inMemory?: number;
  /** since the load: experts that had to be read, and those of them that came from the swap file */
  misses?: number;
  swapped?: number;
  notes: string[];
  prefill: Phase;
  decode: Phase;
}

export interface PagingPage {
  /** Stores a random model whose experts are chosen evenly, or the more evenly the smaller `skew` is; its id. */
  store(shape: string, quantization: string, skew: number, layers?: number): Promise<string>;
  /** Loads it and answers once: then what `measure` measures is warm. */
  open(id: string, request: PagingRequest): Promise<void>;
  measure(): Promise<PagingReport>;
}

/** Router rows have the norm 1; the bias of a layer's experts falls by `skew` in a random order. */
const routersOf =
  (skew: number): GivenValues =>
  (name, shape) => {
    const next = seededRandom(name);
    if (name.includes('ffn_gate_inp'))
      return Float32Array.from(
        { length: shape[0] * shape[1] },
        () => (next() / 2 ** 32 - 0.5) * Math.sqrt(12 / shape[1]),
      );
    if (!name.endsWith('exp_probs_b.bias')) return undefined;
    const order = Array.from({ length: shape[0] }, (_, expert) => ({ expert, at: next() }));
    const bias = new Float32Array(shape[0]);
    order.sort((a, b) => a.at - b.at).forEach(({ expert }, rank) => (bias[expert] = (-skew * rank) / shape[0]));
    return bias;
  };

let model: Model;
let asked: PagingRequest;
let loadSeconds = 0;
/** prompts differ, so that none is reused */
let prompts = 0;

const promptOf = (length: number): number[] => {
  const { vocabSize } = model.info.config;
  return promptTokens(length, vocabSize).map((id) => (id + 31 * prompts) % vocabSize);
};

/** Drawn from all words alike, or from those of a topic. */
const sampling = (seed: number, words?: number[]) =>
  ({
    temperature: 100,
    topK: 0,
    topP: 1,
    minP: 0,
    repetitionPenalty: 1,
    seed,
    ...(words && { bias: Object.fromEntries(words.map((word) => [word, 1e5])) }),
  }) as const;

/** Words of an answer: each token is one, its number to the base 36. */
const idsOf = (text: string): number[] => text.trim().split(/\s+/).map((word) => parseInt(word, 36)); // prettier-ignore

async function answer(gen: number): Promise<{ prefill: number; decode: number; ids: number[] }> {
  const history = promptOf(asked.prompt);
  prompts++;
  const { words, length } = asked.topics ?? { words: 0, length: gen };
  let [read, decodeMs, decoded] = [0, 0, 0];
  for (let done = 0; done < gen; done += length) {
    const topic = words
      ? Array.from({ length: words }, (_, i) => (7919 * (prompts * 64 + done + i)) % 65000)
      : undefined;
    const maxTokens = Math.min(length, gen - done);
    const result = await model.generate(history, { ...sampling(prompts + done, topic), maxTokens, reuse: done > 0 })
      .result;
    if (done === 0) read = (1000 * asked.prompt) / result.prefillMs;
    else [decodeMs, decoded] = [decodeMs + result.prefillMs, decoded + 1];
    decodeMs += result.decodeMs;
    decoded += result.tokens - 1;
    history.push(...idsOf(result.text));
  }
  return { prefill: read, decode: (1000 * decoded) / decodeMs, ids: history };
}

async function phase(runs: number, run: () => Promise<number>): Promise<Phase> {
  const before = (await model.status()).paging;
  const tokensPerSecond: number[] = [];
  for (let i = 0; i < runs; i++) tokensPerSecond.push(Number((await run()).toPrecision(4)));
  const after = (await model.status()).paging;
  if (!before || !after) return { tokensPerSecond, hitRate: 1, megabytesPerToken: 0 };
  const misses = after.misses - before.misses;
  return {
    tokensPerSecond,
    hitRate: Number((1 - misses / (after.uses - before.uses)).toFixed(4)),
    swapped: Number(((after.swapped - before.swapped) / Math.max(misses, 1)).toFixed(3)),
    megabytesPerToken: Number(((after.bytesRead - before.bytesRead) / (after.tokens - before.tokens) / 1e6).toFixed(2)),
  };
}

const page: PagingPage = {
  async store(shape, quantization, skew, layers) {
    const file = randomGguf(shape, quantization, layers, routersOf(skew));
    // a model that is stored under this id is taken
    return rivulet.importModel(new File([file], `skew-${skew}-layers-${layers ?? 'all'}-${file.name}`));
  },
  async open(id, request) {
    asked = request;
    const start = performance.now();
    const contextLength = request.prompt + request.gen + 64;
    model = await rivulet.load(id, { backend: 'wasm', contextLength, ...request.options });
    loadSeconds = Number(((performance.now() - start) / 1000).toFixed(1));
    await answer(request.gen);
  },
  async measure() {
    const { runs, prompt, gen } = asked;
    const prefill = await phase(runs, async () => {
      const { prefillMs } = await model.generate(promptOf(prompt), {
        ...sampling(++prompts),
        maxTokens: 1,
        reuse: false,
      }).result;
      return (1000 * prompt) / prefillMs;
    });
    // the short prompt counts as decoded: hits are those of an answer
    asked = { ...asked, prompt: 1 };
    const decode = await phase(runs, async () => (await answer(gen)).decode);
    const { memory, paging } = await model.status();
    const report = { loadSeconds, memory, notes: model.info.notes, prefill, decode };
    await model.unload();
    if (!paging) return report;
    const { experts, inMemory, misses, swapped } = paging;
    return { ...report, experts, inMemory, misses, swapped };
  },
};

Object.assign(window, { paging: page });
