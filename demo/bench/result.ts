/**
 * The result of the benchmark: its form (docs/benchmark.schema.json), how it is read from a file or a link, and how it
 * is written.
 */
import schema from '../../docs/benchmark.schema.json';
import { schemaError, type Schema } from './check_schema';
import type { Percentiles, Spread } from './stats';

export interface Measurement {
  /** tokens of the prompt, and tokens that are generated after it */
  prompt: number;
  generate: number;
  /** the model has read the prompt before: only its last token is read */
  cached: boolean;
  /** tokens a second of the prompt; absent when it is cached */
  prefill?: Spread;
  /** from the call in the page to the first text */
  firstTokenMs: Spread;
  /** tokens a second after the first token */
  decode?: Spread;
  /** time between tokens as they arrive in the page */
  gapMs?: Percentiles;
  repetitions: number;
}

export interface Kernel {
  kernel: string;
  dispatches: number;
  /** of all its dispatches for one token */
  micros: number;
  gigabytesPerSecond: number;
  /** share of the bandwidth of a copy on the same GPU; absent for kernels that read no weights */
  shareOfCopy?: number;
}

export interface TunedShape {
  shape: string;
  defaultMicros: number;
  micros: number;
  tuning: string;
}

export interface KernelTimes {
  clock: 'timestamp' | 'submit';
  copyGigabytesPerSecond: number;
  emptyDispatchMicros: number;
  kernels: Kernel[];
  tuned: TunedShape[];
}

export interface Run {
  model: {
    name: string;
    quantization: string;
    bytes: number;
    /** of the weights that a token reads, about; only of a mixture of experts */
    activeBytes?: number;
    madeUp: boolean;
  };
  backend: 'wasm' | 'webgpu';
  /** `wrong`: the kernels compute wrong numbers, so nothing was timed */
  status: 'done' | 'wrong' | 'failed';
  /** why it failed, or what is wrong */
  problem?: string;
  /** 'relaxed SIMD × 4', or the GPU */
  processor?: string;
  variant?: string;
  threads?: number;
  /** differences from known results, as shares of their power */
  check?: { golden: number; pieces: number };
  loadMs?: number;
  memoryBytes?: number;
  measurements: Measurement[];
  /** tokens a second over the seconds of a run without a pause */
  sustained?: { seconds: number; points: [second: number, tokensPerSecond: number][] };
  kernels?: KernelTimes;
  notes: string[];
}

/** A wrong result has no speed, whatever a file says. */
export function withoutWrongSpeeds(run: Run): Run {
  if (run.status !== 'wrong') return run;
  const { sustained: _, kernels: __, ...rest } = run;
  return { ...rest, measurements: [] };
}

/** What is measured of a run before it has ended. */
export type PartialRun = Pick<Run, 'measurements' | 'sustained'>;

export interface Device {
  browser: string;
  platform: string;
  mobile: boolean;
  cores: number;
  memoryGB?: number;
  isolated: boolean;
  /** the smallest step of the page's clock */
  clockMs: number;
  simd: 'relaxed' | 'simd' | 'none';
  gpu?: { name: string; software: boolean; features: string[]; maxBufferBytes: number };
  battery?: { percent: number; charging: boolean };
  /**
   * measured, in GB/s: reading by all threads that the CPU backend may use; copying on the GPU, read and written bytes
   * together
   */
  bandwidth?: { cpuRead?: number; cpuThreads?: number; gpuCopy?: number };
}

export interface BenchmarkResult {
  format: 'rivulet-benchmark';
  version: 1;
  created: string;
  build: { version: string; site?: string };
  method: { repetitions: number };
  device: Device;
  runs: Run[];
}

/** A file or a link that holds no result of ours. Its message is for the reader. */
export class NotAResult extends Error {}

/** Largest text of a result: more than every shape in every weight format takes, with all measurements. */
export const MAX_RESULT_BYTES = 4 << 20;
const MAX_LINK_LETTERS = 64 << 10;
const FRAGMENT = '#result=';

/** @throws NotAResult that says what is wrong */
export function parseResult(text: string): BenchmarkResult {
  if (text.length > MAX_RESULT_BYTES)
    throw new NotAResult(`It is too large: got ${text.length} characters, wanted at most ${MAX_RESULT_BYTES}.`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new NotAResult('It is not JSON. Choose a file that this page has saved.');
  }
  const format = (value as { format?: unknown } | null)?.format;
  if (format !== 'rivulet-benchmark')
    throw new NotAResult('It is JSON, but not a result of this benchmark. Choose a file that this page has saved.');
  const version = (value as { version?: unknown }).version;
  if (version !== 1)
    throw new NotAResult(
      `Its version is ${typeof version === 'number' ? version : 'missing'}, and this page reads version 1. Open it in the page that made it.`,
    );
  const error = schemaError(schema as Schema, value);
  if (error !== undefined) throw new NotAResult(error);
  const result = value as BenchmarkResult;
  return { ...result, runs: result.runs.map(withoutWrongSpeeds) };
}

/** The fragment of a link that holds the whole result. @throws NotAResult if it is too long for a link */
export async function toFragment(result: BenchmarkResult): Promise<string> {
  const packed = new Blob([JSON.stringify(result)]).stream().pipeThrough(new CompressionStream('deflate-raw'));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  const packedLetters = btoa(letters).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
  if (packedLetters.length > MAX_LINK_LETTERS)
    throw new NotAResult(
      `The result is too long for a link: got ${packedLetters.length} letters, wanted at most ${MAX_LINK_LETTERS}. Save it as JSON.`,
    );
  return FRAGMENT + packedLetters;
}

export const holdsResult = (fragment: string): boolean => fragment.startsWith(FRAGMENT);

/** @throws NotAResult */
export async function fromFragment(fragment: string): Promise<BenchmarkResult> {
  const letters = fragment.slice(FRAGMENT.length);
  if (letters.length > MAX_LINK_LETTERS)
    throw new NotAResult(`It is too long: got ${letters.length} letters, wanted at most ${MAX_LINK_LETTERS}.`);
  if (!/^[\w-]+$/.test(letters))
    throw new NotAResult('It was cut off or changed on its way. Ask for the result as a file.');
  let text: string;
  try {
    const bytes = Uint8Array.from(atob(letters.replaceAll('-', '+').replaceAll('_', '/')), (letter) =>
      letter.charCodeAt(0),
    );
    text = await inflate(bytes);
  } catch (error) {
    if (error instanceof NotAResult) throw error;
    throw new NotAResult('It was cut off or changed on its way. Ask for the result as a file.');
  }
  return parseResult(text);
}

/** Stops as soon as there are too many bytes: a short link can hold gigabytes of zeros. */
async function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw')).getReader();
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let text = '';
  for (let got = 0; ;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    got += value.byteLength;
    if (got > MAX_RESULT_BYTES) {
      await reader.cancel();
      throw new NotAResult(`It is too large: it unpacks to more than ${MAX_RESULT_BYTES} bytes.`);
    }
    text += decoder.decode(value, { stream: true });
  }
}
