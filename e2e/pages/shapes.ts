/** Runs a model with random weights in the built library, for the tool `shapes`. */
import { promptTokens } from '../../demo/bench/prompt';
import { randomGguf } from '../../demo/bench/random_gguf';
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

export interface ShapesPage {
  run(request: ShapeRequest): Promise<ShapeReport>;
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

Object.assign(window, { shapes: { run } satisfies ShapesPage });
