/**
 * Compares a backend with independently computed logits. `npm run verify -- --help` explains the options.
 *
 * DIR holds expected.json, logits/, model/ (a Hugging Face directory) and gguf/; of models with vision images/ and
 * features.safetensors, too (verify_vision.ts), and of models for retrieval vectors.safetensors (verify_retrieval.ts).
 * Prints one JSON line for each file and prompt. The exit code is 1 when a bound is missed. `--chunk N` feeds the
 * prompts N tokens at a time; `--chunk 256,3,1` feeds them in each of these ways.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openReferenceBackend } from '../../src/backend/reference/backend';
import { recordModel } from '../../src/backend/model_plan';
import { GREEDY_SAMPLING } from '../../src/backend/sampling';
import { firstState, type State } from '../../src/backend/backend';
import { openCheckpoint } from '../../src/engine/checkpoint';
import { registerArchitecture } from '../../src/model/architecture';
import { LFM2MOE } from '../../src/model/lfm2_moe';
import { LFM2VL } from '../../src/model/lfm2_vl';
import { loadWeights } from '../../src/engine/load_weights';
import { shareOfOthers, type ExpertChoices } from '../expert_choices';
import { fileSource } from '../file_source';
import type { Probe } from '../probe';
import { createSight } from '../seeing';
import { file, flag, oneOf, startTool, texts, whole, wholes } from './options';
import { difference, floats, hash, type ExpectedFile, type ExpectedSet } from './golden_set';
import { readRetrievalSet, type RetrievalLine } from './verify_retrieval';
import { openPage, type BackendName, type Feed, type VerifyOptions } from './verify_page';
import { verifyTexts } from './verify_texts';
import { plainSet, type SeenCase, type VisionSet } from './verify_vision';

export interface Line {
  file: string;
  prompt: string;
  /** tokens at a time */
  chunk: number;
  backend: BackendName;
  maxAbs: number;
  nmse: number;
  top1Match: boolean;
  /** a hash of the f32 bits of the logits, to compare two versions of the kernels on one machine */
  bits: string;
  /** share of the experts that the exact kernels do not choose; the logits are those of their choices */
  otherExperts?: number;
  /** greedy continuation equal up to the first step with a margin below 0.1; null for prompts without one */
  greedyMatch: boolean | null;
}

/** A loaded model, in the page or here. */
interface Model {
  logits(tokens: number[], piece: number): Promise<ArrayLike<number>>;
  /** WASM: the experts that it chooses, or logits with choices of another run */
  choices?(
    tokens: number[],
    piece: number,
    forced?: ExpertChoices,
  ): Promise<{ logits: number[]; choices: ExpertChoices }>;
  /** of the logits of the same call */
  otherExperts?(tokens: number[], piece: number): number;
  greedy(tokens: number[], steps: number): Promise<number[]>;
  /** shows pictures to the prompts that follow; some rows of their features */
  see(pictures: readonly string[], rows?: number[]): Promise<ArrayLike<number>>;
}

registerArchitecture(LFM2MOE);
registerArchitecture(LFM2VL);

const MARGIN = 0.1;
const OWN_MARGIN = 0.05; // where float32 continuations are given by prompt
/** the most tokens at a time, as the engine has it */
export const WHOLE = 256;

/** What a file may differ by. */
interface Bounds {
  maxAbs?: number;
  /** not with pictures: what a small text model makes of the encoder's rounding varies from prompt to prompt */
  nmseMean?: number;
  nmseMax?: number;
  greedy: boolean;
}

export function boundsOf(
  options: VerifyOptions,
  types: string[],
  f16Storage: boolean,
  { slides = false, sees = false } = {},
): Bounds {
  if (options.backend === 'reference') return { maxAbs: 1e-3, greedy: true };
  if (options.backend === 'webgpu' && !options.int8) return { maxAbs: f16Storage ? 5e-2 : 2e-2, greedy: true };
  const isQuantised = (type: string): boolean => /^(I?Q|MXFP)/.test(type);
  const quantised = types.some(isQuantised);
  if (options.exact) return { maxAbs: 2e-2, greedy: true };
  // on WASM the encoder rounds weights in floats, too
  if (!quantised && sees && options.backend === 'wasm') return { nmseMax: 5e-3, greedy: false };
  if (!quantised) return { maxAbs: 2e-2, greedy: false };
  // int8 activations: no worse than native llama.cpp on these files; LFM3 adds normalised outputs, so that more of the
  // rounding arrives: 4.0e-3 and 6.9e-3 in llama.cpp
  if (slides) return { nmseMean: 8e-3, nmseMax: 1.4e-2, greedy: false };
  return types.some((type) => /_K$/.test(type) && type !== 'Q6_K') ||
    types.every((type) => type === 'Q6_K' || !isQuantised(type))
    ? { nmseMean: 4.5e-3, nmseMax: 8e-3, greedy: false }
    : { nmseMean: 2.5e-3, nmseMax: 5e-3, greedy: false };
}

function missFeatures(
  { backend, exact }: VerifyOptions,
  found: { maxAbs: number; nmse: number },
  miss: (what: string) => void,
): void {
  const rounds = backend === 'wasm' && !exact;
  const bound = rounds ? 5e-3 : backend === 'reference' ? 1e-3 : 2e-2;
  const off = rounds ? found.nmse : found.maxAbs;
  if (!(off <= bound)) miss(`${rounds ? 'nmse' : 'max |Δ|'} ${off} > ${bound}`);
}

/** Runs every file and prompt; `emit` gets a line each, the result is the list of missed bounds. */
export async function verify(options: VerifyOptions, emit: (line: Line) => void): Promise<string[]> {
  const text = readFileSync(join(options.expected, 'expected.json'), 'utf8');
  const { pictures, ...expected } = plainSet(JSON.parse(text) as ExpectedSet | VisionSet, options.expected);
  const names = options.files ?? Object.keys(expected.files);
  const prompts = Object.entries(expected.prompts)
    .map((entry, row) => [...entry, row] as const)
    .filter(([name]) => options.prompts?.includes(name) ?? true);
  for (const name of names)
    if (!expected.files[name])
      throw new Error(`${name} is not in expected.json. Its files are ${Object.keys(expected.files).join(', ')}.`);
  const feeds = options.feeds ?? [{ chunk: WHOLE }];
  const fits = (tokens: number[], { longest = Infinity }: Feed): boolean => tokens.length <= longest;
  const lengths = prompts.flatMap(([, tokens]) => (feeds.some((feed) => fits(tokens, feed)) ? tokens.length : []));
  const contextLength = Math.max(...lengths) + 64;
  const probe = options.backend === 'reference' || options.open ? undefined : await openPage(options);
  const missed: string[] = [];

  try {
    for (const name of names) {
      const entry = expected.files[name];
      const directory = name.replace('.safetensors', ''); // 'model', or another
      const files = /\.gguf$|\+/.test(name)
        ? name.split('+').map((file) => join('gguf', file.replace(/(\.gguf)?$/, '.gguf')))
        : readdirSync(join(options.expected, directory)).map((file) => join(directory, file));
      const load = (more: Partial<VerifyOptions> = {}): Promise<Loaded> =>
        probe
          ? loadInPage(probe, files, { ...options, ...more }, contextLength)
          : loadHere(options, files, contextLength);
      const used = (feed: Feed) =>
        prompts
          .map(([prompt, tokens, row]) => ({ prompt, tokens, row, piece: feed.chunk }))
          .filter(({ tokens }) => fits(tokens, feed) && (feed === feeds[0] || tokens.length > feed.chunk));
      const loaded = await load();
      // rounded activations choose other experts where margins are small, and then everything after differs
      const forces = loaded.top !== undefined && probe && options.backend === 'wasm' && !options.exact;
      const { model, f16Storage } = forces ? await withExactChoices(load, feeds.flatMap(used), loaded.top!) : loaded;
      const rows = floats(join(options.expected, entry.logits_file));
      const V = entry.logits_shape[1];
      const kind = { slides: expected.sliding_window !== undefined, sees: !!pictures };
      const bounds = boundsOf(options, Object.values(entry.tensor_types ?? {}), f16Storage, kind);
      const miss = (what: string): void => void missed.push(`${name}, ${what}`);
      const look = async (seen: SeenCase | undefined, prompt: string): Promise<void> => {
        if (!seen) return;
        const { rows: at, values } = seen.features[name] ?? {};
        const got = await model.see(seen.pictures, values ? at : []);
        if (!values) return;
        const line = { file: name, prompt: `${prompt}, features`, chunk: 0, backend: options.backend };
        const found = difference(got, values);
        emit({ ...line, ...found, bits: hash(Float32Array.from(got)), greedyMatch: null });
        missFeatures(options, found, (what) => miss(`${prompt}, features: ${what}`));
      };

      for (const feed of feeds) {
        const nmses: number[] = [];
        for (const { prompt, tokens, row, piece } of used(feed)) {
          await look(pictures?.[prompt], prompt);
          const got = await model.logits(tokens, piece);
          const line: Line = {
            file: name,
            prompt,
            chunk: feed.chunk,
            backend: options.backend,
            ...difference(got, rows.subarray(row * V, (row + 1) * V)),
            bits: hash(Float32Array.from(got)),
            otherExperts: model.otherExperts?.(tokens, piece),
            greedyMatch: null,
          };
          const wanted = feed === feeds[0] ? continuation(entry, prompt) : undefined;
          if (wanted) {
            const tokensGot = await model.greedy(tokens, wanted.tokens.length);
            const end = wanted.margins.findIndex((margin) => margin < wanted.margin);
            line.greedyMatch = wanted.tokens
              .slice(0, end < 0 ? undefined : end)
              .every((token, k) => token === tokensGot[k]);
          }
          emit(line);
          nmses.push(line.nmse);
          const what = `${prompt}, ${feed.chunk} at a time:`;
          if (bounds.maxAbs !== undefined && !(line.maxAbs <= bounds.maxAbs))
            miss(`${what} max |Δ| ${line.maxAbs} > ${bounds.maxAbs}`);
          if (bounds.nmseMax !== undefined && !(line.nmse <= bounds.nmseMax))
            miss(`${what} nmse ${line.nmse} > ${bounds.nmseMax}`);
          if ((bounds.greedy || entry.greedy) && line.greedyMatch === false)
            miss(`${what} the greedy continuation differs before the first small margin`);
        }
        const mean = nmses.reduce((a, b) => a + b, 0) / nmses.length;
        if (nmses.length && bounds.nmseMean !== undefined && !pictures && !(mean <= bounds.nmseMean))
          miss(`${feed.chunk} at a time: mean nmse ${mean} > ${bounds.nmseMean}`);
      }
    }
  } finally {
    await probe?.close();
  }
  return missed;
}

function continuation(
  entry: ExpectedFile,
  prompt: string,
): { tokens: number[]; margins: number[]; margin: number } | undefined {
  const own = entry.greedy?.[prompt];
  if (own) return { margin: OWN_MARGIN, ...own };
  if (prompt !== 'T7' || !entry.greedy_from_T7 || !entry.greedy_margins) return undefined;
  return { tokens: entry.greedy_from_T7, margins: entry.greedy_margins, margin: MARGIN };
}

/** @property top experts of a token, in models that have some */
type Loaded = { model: Model; f16Storage: boolean; top?: number };

/** A model whose logits are those of the experts that the exact kernels choose. */
async function withExactChoices(
  load: (more?: Partial<VerifyOptions>) => Promise<Loaded>,
  runs: { tokens: number[]; piece: number }[],
  top: number,
): Promise<Loaded> {
  const key = (tokens: number[], piece: number): string => `${piece} ${tokens.join()}`;
  const recorded = new Map<string, ExpertChoices>();
  const exact = await load({ exact: true });
  for (const { tokens, piece } of runs)
    recorded.set(key(tokens, piece), (await exact.model.choices!(tokens, piece)).choices);
  const loaded = await load();
  const { model } = loaded;
  const others = new Map<string, number>();
  return {
    ...loaded,
    model: {
      ...model,
      async logits(tokens, piece) {
        const wanted = recorded.get(key(tokens, piece))!;
        const own = await model.choices!(tokens, piece);
        others.set(key(tokens, piece), shareOfOthers(own.choices, wanted, top));
        return (await model.choices!(tokens, piece, wanted)).logits;
      },
      otherExperts: (tokens, piece) => others.get(key(tokens, piece))!,
    },
  };
}

async function loadInPage(
  probe: Probe,
  files: string[],
  options: VerifyOptions,
  contextLength: number,
): Promise<Loaded> {
  const { backend, threads, exact, memory64, variant, subgroups, int8 } = options;
  const urls = files.map((file) => `${probe.origin}/expected/${file.replaceAll('\\', '/')}`);
  const { info, config } = await probe.run((p, a) => p.load(a.urls, a.options, a.compile), {
    urls,
    options: {
      backend,
      threads,
      exact,
      memory64,
      variant,
      subgroups,
      tuning: int8 ? { int8Activations: true } : undefined,
      stays: backend === 'webgpu',
    },
    compile: { contextLength, prefillBatch: WHOLE },
  });
  return {
    f16Storage: /\bf16\b/.test(info.variant),
    top: config.experts?.top,
    model: {
      choices: (tokens, piece, forced) =>
        probe.run((p, a) => p.expertChoices(a.tokens, a.piece, a.forced), { tokens, piece, forced }),
      logits: (tokens, piece) =>
        probe.run(async (p, a) => Array.from(await p.logits(a.tokens, a.piece)), { tokens, piece }),
      greedy: (tokens, steps) =>
        probe.run((p, a) => p.greedy(a.tokens, a.steps, a.piece), { tokens, steps, piece: WHOLE }),
      see: (pictures, rows) =>
        probe.run(async (p, a) => Array.from(await p.see(a.urls, a.rows)), {
          urls: pictures.map((path) => `${probe.origin}/expected/${path}`),
          rows,
        }),
    },
  };
}

async function loadHere({ expected, open }: VerifyOptions, files: string[], contextLength: number): Promise<Loaded> {
  const checkpoint = await openCheckpoint(files.map((file) => fileSource(join(expected, file))));
  const backend = open ? await open() : openReferenceBackend();
  const weights = await loadWeights(checkpoint, backend, () => undefined);
  const state: State = await firstState(backend, recordModel(checkpoint, weights), {
    contextLength,
    prefillBatch: WHOLE,
  });
  const sight = await createSight(checkpoint, weights, backend);
  const feed = async (tokens: number[], piece: number): Promise<void> => {
    state.rewind(0);
    await sight.feed(state, tokens, piece);
  };
  return {
    f16Storage: false,
    model: {
      logits: async (tokens, piece) => (await feed(tokens, piece), state.logits()),
      greedy: async (tokens, steps) => (await feed(tokens, WHOLE), [...(await state.decode(steps, GREEDY_SAMPLING))]),
      see: (pictures, rows) =>
        sight.see(
          pictures.map((path) => readFileSync(join(expected, path))),
          rows,
        ),
    },
  };
}

async function main(): Promise<void> {
  const values = startTool('npm run verify --', 'Compares a backend with independently computed logits.', {
    expected: file('a folder with expected.json, logits/, model/ and gguf/'),
    backend: oneOf(['wasm', 'webgpu', 'reference'], 'the backend to check', null),
    threads: whole('threads of the WASM backend', undefined, 1),
    exact: flag('WASM kernels that do not round activations to int8'),
    file: texts('NAME', 'a file of expected.json; without this option, all'),
    chunk: wholes('tokens to read at a time; several numbers check each', String(WHOLE)),
    longest: whole('leaves out prompts of more tokens', undefined, 1),
    variant: oneOf(['simd', 'relaxed'], 'kernels of the WASM backend'),
    'no-subgroups': flag('WebGPU without subgroup operations'),
    int8: flag('WebGPU with the kernels that round activations to int8'),
    browser: oneOf(['chromium', 'firefox'], 'the browser', 'chromium'),
    json: flag('no effect: the output is always JSON'),
  });
  const options: VerifyOptions = {
    ...values,
    files: values.file,
    feeds: values.chunk.map((chunk) => ({ chunk, longest: values.longest })),
    subgroups: values['no-subgroups'] ? false : undefined,
  };
  const print = (line: Line | RetrievalLine): void => console.log(JSON.stringify(line));
  const set = readRetrievalSet(values.expected);
  const missed = await (set ? verifyTexts(options, set, print) : verify(options, print));
  for (const line of missed) console.error(`missed: ${line}`);
  console.error(missed.length ? `${missed.length} bounds missed` : 'all bounds hold');
  process.exit(missed.length ? 1 : 0);
}

if (process.argv[1]?.endsWith('verify.ts')) await main();
