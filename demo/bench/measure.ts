/** Measures one model on one backend, through the public API: what a page that uses the library gets. */
import type { GenerateOptions, LoadCallOptions, load as loadModel, Model, ModelSource } from '../../src/index';
import { activeBytes } from '../chat/models/active_bytes';
import { CHECK_BOUND, goldenError, piecesError } from './check';
import type { TabWatch } from './conditions';
import { promptTokens } from './prompt';
import { withoutWrongSpeeds, type KernelTimes, type Measurement, type PartialRun, type Run } from './result';
import { percentiles, rounded, spread, tokenGaps } from './stats';

/** A prompt and an answer to time. */
export interface Case {
  prompt: number;
  generate: number;
  /** the model has read the prompt before, as in a conversation that goes on */
  cached: boolean;
}

export interface RunRequest {
  source: ModelSource;
  name: string;
  madeUp: boolean;
  /** whose check model runs first; known before the load for made-up models only */
  quantization?: string;
  backend: 'wasm' | 'webgpu';
  cases: Case[];
  /** seconds of a run without a pause; 0: none */
  sustainedSeconds: number;
  kernels: boolean;
  repetitions: number;
  load: Pick<LoadCallOptions, 'threads' | 'variant' | 'allowSoftware'>;
}

export interface RunHooks {
  signal: AbortSignal;
  tab: TabWatch;
  /** what is going on: 'decode at 4,096' */
  onStep(step: string): void;
  /** a step is done; `run` is the run so far */
  onDone(step: string, run: Run): Promise<void> | void;
  /** the tab is hidden, or in front again */
  onWait(waiting: boolean): void;
  load: typeof loadModel;
  /** differences of check models that have run already, by quantisation and backend */
  checked: Map<string, number>;
  /** times by kernel, on WebGPU */
  kernelTimes?(source: ModelSource, signal: AbortSignal): Promise<KernelTimes>;
}

/** A case that has taken this long gets no further repetition. */
const CASE_MS = 60_000;
/** Repetitions that were disturbed are made again, this often. */
const MAX_DISTURBED = 5;
/** Longer prompts use no kernels that a prompt of this length does not use, so they need no warm-up of their own. */
const WARM_UP_PROMPT = 512;
/** The tuner begins a second after an answer and takes 1.5 s at most. */
const TUNER_MS = 3000;
const SUSTAINED_PROMPT = 128;
const SUSTAINED_STEP_MS = 1000;
/** The state can go back this far without reading the prompt again (CONV_RING_POSITIONS). */
const SUSTAINED_MOST = 96;
const SPARE_POSITIONS = 8;

export const stepName = ({ prompt, generate, cached }: Case): string => {
  const tokens = prompt.toLocaleString('en');
  if (generate <= 1) return `prefill of ${tokens}`;
  return cached ? `decode at ${tokens}` : `${tokens} in, ${generate} out`;
};

/** @throws AbortError; all other errors become a run that has failed, with the measurements made before */
export async function measureRun(request: RunRequest, already: PartialRun, hooks: RunHooks): Promise<Run> {
  const { name, madeUp, backend } = request;
  const run: Run = {
    model: { name, quantization: request.quantization ?? '', bytes: 0, madeUp },
    backend,
    status: 'done',
    ...already,
    measurements: [...already.measurements],
    notes: [],
  };
  const losses: Losses = { counting: false, count: 0 };
  let model: Model | undefined;
  try {
    const golden = request.quantization ? await checkKernels(request.quantization, request, hooks) : undefined;
    if (golden !== undefined && !(golden <= CHECK_BOUND)) return wrong(run, golden, 0);
    model = await loadForCases(request, run, hooks, losses);
    const { info } = model;
    run.model = {
      name,
      quantization: info.quantization,
      bytes: info.bytes,
      ...(info.config.experts && { activeBytes: Math.round(activeBytes(info)) }),
      madeUp,
    };
    const known = golden ?? (await checkKernels(info.quantization, request, hooks));
    hooks.onStep('comparing a prompt with its pieces');
    const pieces = await piecesError(model);
    run.check = { golden: clamped(known), pieces: clamped(pieces) };
    if (!(known <= CHECK_BOUND && pieces <= CHECK_BOUND)) return wrong(run, known, pieces);
    await measureCases(model, request, run, hooks, losses);
    describe(run, model);
    if (request.sustainedSeconds && !run.sustained) {
      run.sustained = await measureSustained(model, request.sustainedSeconds, run, hooks);
      await hooks.onDone('sustained', run);
    }
    describe(run, model);
    if (request.kernels && backend === 'webgpu' && hooks.kernelTimes) {
      await model.unload(); // two copies of the weights may not fit
      model = undefined;
      hooks.onStep('times by kernel');
      run.kernels = await hooks.kernelTimes(request.source, hooks.signal);
      await hooks.onDone('times by kernel', run);
    }
    return run;
  } catch (error) {
    if (hooks.signal.aborted || (error as Error).name === 'AbortError') throw error;
    return { ...run, status: 'failed', problem: (error as Error).message.slice(0, 1000) };
  } finally {
    await model?.unload();
  }
}

/** JSON has no infinity. */
const clamped = (value: number): number => (Number.isFinite(value) ? rounded(value) : 1e300);

function wrong(run: Run, golden: number, pieces: number): Run {
  const share = (value: number): string =>
    Number.isFinite(value) ? `${(100 * value).toPrecision(2)} %` : 'not a number';
  const problem =
    golden <= CHECK_BOUND
      ? `A prompt read whole and the same prompt read token by token give different results: they differ by ${share(pieces)} of the power, and ${share(CHECK_BOUND)} are allowed. Nothing was timed.`
      : `The kernels compute wrong numbers: they differ from the known results by ${share(golden)} of the power, and ${share(CHECK_BOUND)} are allowed. Nothing was timed.`;
  return withoutWrongSpeeds({
    ...run,
    status: 'wrong',
    problem,
    check: { golden: clamped(golden), pieces: clamped(pieces) },
  });
}

async function checkKernels(quantization: string, request: RunRequest, hooks: RunHooks): Promise<number> {
  const step = `check of the ${quantization} kernels`;
  const key = `${quantization} ${request.backend}`;
  const known = hooks.checked.get(key);
  if (known !== undefined) return known;
  hooks.onStep(step);
  const error = await goldenError(hooks.load, quantization, {
    backend: request.backend,
    ...request.load,
    cache: false,
    signal: hooks.signal,
  });
  hooks.checked.set(key, error);
  return error;
}

/** Loads with a context for the longest case. If memory is short, the longest cases are left out. */
async function loadForCases(request: RunRequest, run: Run, hooks: RunHooks, losses: Losses): Promise<Model> {
  const { backend, source, load } = request;
  const sorted = [...request.cases].sort((a, b) => a.prompt + a.generate - b.prompt - b.generate);
  for (;;) {
    const longest = sorted.at(-1);
    const contextLength = Math.max(1024, (longest ? longest.prompt + longest.generate : 0) + SPARE_POSITIONS);
    hooks.onStep('load');
    const start = performance.now();
    try {
      const model = await hooks.load(source, {
        backend,
        ...load,
        contextLength,
        signal: hooks.signal,
        onProgress: ({ phase }) => void (losses.counting && phase === 'load' && losses.count++),
      });
      run.loadMs = rounded(performance.now() - start);
      describe(run, model);
      request.cases = request.cases.filter(
        (one) => sorted.includes(one) && one.prompt + one.generate < model.info.contextLength,
      );
      await hooks.onDone('load', run);
      losses.counting = true;
      return model;
    } catch (error) {
      if ((error as Error).name !== 'MemoryError' || sorted.length <= 1) throw error;
      sorted.pop();
      run.notes.push(
        `${stepName(longest!)} was left out: a context of ${contextLength.toLocaleString('en')} tokens does not fit into memory.`,
      );
    }
  }
}

/** How often the GPU was lost and the model loaded again, after the first load. */
interface Losses {
  counting: boolean;
  count: number;
}

function describe(run: Run, { info }: Model): void {
  run.processor = info.backend.device.slice(0, 200);
  run.variant = info.backend.variant.slice(0, 200);
  if (info.backend.threads) run.threads = info.backend.threads;
  run.memoryBytes = Math.max(run.memoryBytes ?? 0, info.memory);
  for (const note of info.notes) if (!run.notes.includes(note)) run.notes.push(note.slice(0, 1000));
}

/** Greedy, without penalties, and without an end before the last token. */
async function plainOptions(model: Model): Promise<GenerateOptions> {
  const ends = await Promise.all(['<|im_end|>', '<|endoftext|>'].map((text) => model.tokenize(text)));
  const bias = new Map(ends.filter((ids) => ids.length === 1).map(([id]) => [id, -1000]));
  return {
    temperature: 0,
    topK: 0,
    topP: 1,
    minP: 0,
    repetitionPenalty: 1,
    frequencyPenalty: 0,
    presencePenalty: 0,
    seed: 0,
    ...(bias.size && { bias }),
  };
}

interface Sample {
  /** from the call to the first text */
  firstTokenMs: number;
  prefillMs: number;
  decodeMs: number;
  tokens: number;
  gaps: number[];
}

async function sample(
  model: Model,
  tokens: readonly number[],
  options: GenerateOptions,
  signal: AbortSignal,
): Promise<Sample> {
  const arrivals: number[] = [];
  const start = performance.now();
  const stream = model.generate(tokens, { ...options, signal });
  for await (const piece of stream) if (piece) arrivals.push(performance.now());
  const { prefillMs, decodeMs, firstTokenMs, tokens: count } = await stream.result;
  return {
    firstTokenMs: arrivals.length ? arrivals[0] - start : firstTokenMs,
    prefillMs,
    decodeMs,
    tokens: count,
    gaps: tokenGaps(arrivals),
  };
}

async function measureCases(
  model: Model,
  request: RunRequest,
  run: Run,
  hooks: RunHooks,
  losses: Losses,
): Promise<void> {
  const options = await plainOptions(model);
  const settings: CaseSettings = { model, options, repetitions: request.repetitions, run, hooks, losses };
  hooks.onStep('warm-up');
  await sample(
    model,
    promptTokens(64, model.info.config.vocabSize),
    { ...options, reuse: false, maxTokens: 16 },
    hooks.signal,
  );
  if (request.backend === 'webgpu' && !request.load.allowSoftware)
    await new Promise((resolve) => setTimeout(resolve, TUNER_MS));
  await hooks.onDone('warm-up', run);
  for (const one of request.cases) {
    const is = (m: Measurement): boolean =>
      m.prompt === one.prompt && m.generate === one.generate && m.cached === one.cached;
    if (run.measurements.some(is)) continue; // of before a reload
    hooks.onStep(stepName(one));
    run.measurements.push(await measureCase(one, settings));
    await hooks.onDone(stepName(one), run);
  }
}

/** What all cases of a run share. */
interface CaseSettings {
  model: Model;
  options: GenerateOptions;
  repetitions: number;
  run: Run;
  hooks: RunHooks;
  losses: Losses;
}

async function measureCase(
  one: Case,
  { model, options, repetitions, run, hooks: { signal, tab, onWait }, losses }: CaseSettings,
): Promise<Measurement> {
  const tokens = promptTokens(one.prompt, model.info.config.vocabSize);
  // the first token belongs to the prompt
  const settings = { ...options, reuse: one.cached, maxTokens: one.generate > 1 ? one.generate + 1 : 1 };
  if (one.cached || one.prompt <= WARM_UP_PROMPT) await sample(model, tokens, settings, signal);
  const began = performance.now();
  const samples: Sample[] = [];
  for (let disturbed = 0; samples.length < repetitions;) {
    await tab.visible(signal, onWait);
    const [hidden, lost] = [tab.count, losses.count];
    const taken = await sample(model, tokens, settings, signal);
    const why =
      tab.count !== hidden
        ? 'the tab was hidden'
        : losses.count !== lost
          ? 'the GPU was lost and the model was loaded again'
          : undefined;
    if (!why) samples.push(taken);
    else if (++disturbed > MAX_DISTURBED)
      throw new Error(
        `${stepName(one)} was disturbed ${disturbed} times: ${why}. Keep the tab in front and run it again.`,
      );
    else addNote(run, `A repetition of ${stepName(one)} was made again, because ${why}.`);
    if (samples.length && performance.now() - began > CASE_MS) break;
  }
  const gaps = samples.flatMap((s) => s.gaps);
  return {
    prompt: one.prompt,
    generate: one.generate,
    cached: one.cached,
    ...(!one.cached && { prefill: spread(samples.map(({ prefillMs }) => (1000 * one.prompt) / prefillMs)) }),
    firstTokenMs: spread(samples.map(({ firstTokenMs }) => firstTokenMs)),
    ...(one.generate > 1 && {
      decode: spread(samples.map(({ tokens: n, decodeMs }) => (1000 * (n - 1)) / decodeMs)),
      ...(gaps.length && { gapMs: percentiles(gaps) }),
    }),
    repetitions: samples.length,
  };
}

function addNote(run: Run, note: string): void {
  if (!run.notes.includes(note) && run.notes.length < 60) run.notes.push(note);
}

/** Generates without a pause, always over the same positions, so that a slower end is the device's. */
async function measureSustained(
  model: Model,
  seconds: number,
  run: Run,
  { signal, tab, onStep, onWait }: RunHooks,
): Promise<Run['sustained']> {
  const tokens = promptTokens(SUSTAINED_PROMPT, model.info.config.vocabSize);
  const options = { ...(await plainOptions(model)), reuse: true };
  await tab.visible(signal, onWait);
  const first = await sample(model, tokens, { ...options, maxTokens: 9 }, signal);
  const each = first.decodeMs / Math.max(1, first.tokens - 1);
  const maxTokens = Math.max(4, Math.min(SUSTAINED_MOST, Math.round(SUSTAINED_STEP_MS / each))) + 1;
  const points: [number, number][] = [];
  const hidden = tab.count;
  const start = performance.now();
  for (let elapsed = 0; elapsed < 1000 * seconds;) {
    onStep(`${Math.floor(elapsed / 1000)} of ${seconds} s without a pause`);
    const { tokens: n, decodeMs } = await sample(model, tokens, { ...options, maxTokens }, signal);
    elapsed = performance.now() - start;
    points.push([rounded(elapsed / 1000), rounded((1000 * (n - 1)) / decodeMs)]);
  }
  if (tab.count !== hidden)
    addNote(run, 'The tab was hidden during the run without a pause: its curve shows that, too.');
  return { seconds, points: thinned(points) };
}

/** At most 300 points: the medians of neighbours. */
function thinned(points: [number, number][]): [number, number][] {
  const size = Math.ceil(points.length / 300);
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const part = points.slice(i * size, (i + 1) * size);
    return [part.at(-1)![0], spread(part.map(([, rate]) => rate)).median];
  });
}
