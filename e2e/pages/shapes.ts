/** Runs a model with random weights in the built library, for the tool `shapes`. */
import { promptTokens } from '../../demo/bench/prompt';
import { randomGguf } from '../../demo/bench/random_gguf';
import { largeVocabulary, writtenTokens } from '../grammar_vocabulary';
import type { LoadCallOptions, LoadEstimate } from '../../src/index';

declare const rivulet: typeof import('../../src/index');

export interface ShapeRequest {
  shape: string;
  quantization: string;
  /** the first layers; all if absent */
  layers?: number;
  options: Pick<LoadCallOptions, 'backend' | 'threads'>;
  /** tokens of the answer */
  tokens: number;
}

export interface ShapeReport {
  fileBytes: number;
  estimate?: Pick<LoadEstimate, 'fits' | 'obstacles' | 'memory' | 'tokensPerSecond'>;
  loadSeconds?: number;
  /** bytes that the backend holds */
  memory?: number;
  variant?: string;
  notes?: string[];
  tokensPerSecond?: number;
  finish?: string;
  /** most memory that the browser had for it, over an empty page */
  peakBytes?: number;
  problem?: string;
}

/** Tokens a second of free answers and of answers that are held to a schema, one after the other. */
export interface DecodingReport {
  free: number[];
  held: number[];
  /** the median of the pairs */
  ratio: number;
}

export interface ShapesPage {
  run(request: ShapeRequest): Promise<ShapeReport>;
  compare(request: ShapeRequest): Promise<DecodingReport>;
}

const PROMPT = 16;
const digits = (value: number): number => Number(value.toPrecision(3));

/** A model that does not fit is not loaded. */
async function run({ shape, quantization, layers, options, tokens }: ShapeRequest): Promise<ShapeReport> {
  const file = randomGguf(shape, quantization, layers);
  const report: ShapeReport = { fileBytes: file.size };
  try {
    const { fits, obstacles, memory, tokensPerSecond } = await rivulet.estimate(file, options);
    report.estimate = { fits, obstacles, memory, tokensPerSecond: digits(tokensPerSecond) };
    if (!fits) return report;
    const start = performance.now();
    const model = await rivulet.load(file, options);
    report.loadSeconds = digits((performance.now() - start) / 1000);
    const { info } = model;
    Object.assign(report, { memory: info.memory, variant: info.backend.variant, notes: info.notes });
    const stream = model.generate(promptTokens(PROMPT, info.config.vocabSize), { maxTokens: tokens, temperature: 0 });
    const { tokensPerSecond: speed, finish } = await stream.result;
    Object.assign(report, { tokensPerSecond: digits(speed), finish });
    await model.unload();
  } catch (error) {
    report.problem = String(error);
  }
  return report;
}

/** No answer that fits is short, and its parts are of all kinds. */
const RECORDS = {
  type: 'array',
  minItems: 1000,
  items: {
    type: 'object',
    properties: {
      name: { type: 'string', maxLength: 40 },
      kind: { enum: ['plant', 'animal', 'mineral'] },
      count: { type: 'integer', minimum: 0, maximum: 1000 },
      code: { type: 'string', pattern: '^[a-z]+-[0-9]{2}$' },
    },
    required: ['name', 'kind', 'count', 'code'],
    additionalProperties: false,
  },
};
const PAIRS = 7;

async function compare({ shape, quantization, layers, options, tokens }: ShapeRequest): Promise<DecodingReport> {
  const file = randomGguf(shape, quantization, layers, undefined, writtenTokens(largeVocabulary()));
  const model = await rivulet.load(file, { ...options, constraints: true });
  const prompt = promptTokens(PROMPT, model.info.config.vocabSize);
  const speed = async (seed: number, held: boolean): Promise<number> => {
    const responseFormat = { type: 'json_schema', schema: RECORDS } as const;
    const asked = { maxTokens: tokens, temperature: 0.7, seed, ...(held && { responseFormat }) };
    const { tokensPerSecond, finish } = await model.generate(prompt, asked).result;
    if (held && finish !== 'length') throw new Error(`The answer ended with ${finish}.`);
    return tokensPerSecond;
  };
  const report: DecodingReport = { free: [], held: [], ratio: 0 };
  for (let seed = 0; seed <= PAIRS; seed++) {
    const [free, held] = [await speed(seed, false), await speed(seed, true)];
    if (!seed) continue; // the first pair makes the tables
    report.free.push(digits(free));
    report.held.push(digits(held));
  }
  await model.unload();
  const ratios = report.held.map((held, i) => held / report.free[i]).sort((a, b) => a - b);
  return { ...report, ratio: digits(ratios[ratios.length >> 1]) };
}

Object.assign(window, { shapes: { run, compare } satisfies ShapesPage });
