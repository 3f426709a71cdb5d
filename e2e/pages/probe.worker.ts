/**
 * Runs backends in a worker for the checking tools: conformance cases, logits of prompts, timings. No cache, no chat.
 */
import '../../src/modules/experts';
import { expose } from 'comlink';
import {
  firstState,
  type Backend,
  type KernelTime,
  type State,
  type ShapeTuningResult,
} from '../../src/backend/backend';
import { CONFORMANCE_CASES, runConformanceCase, type CaseRunOutput } from '../../src/backend/conformance';
import { ENCODER_CASES } from '../../src/backend/conformance_encoders';
import { describeProgram } from '../../src/backend/describe_program';
import { recordModel } from '../../src/backend/model_plan';
import { openReferenceBackend } from '../../src/backend/reference/backend';
import { GREEDY_SAMPLING } from '../../src/backend/sampling';
import type { WebGpuOptions } from '../../src/backend/webgpu/backend';
import { profileAt } from '../../src/backend/webgpu/profile';
import { openCheckpoint, type Checkpoint } from '../../src/engine/checkpoint';
import { loadWeights } from '../../src/engine/load_weights';
import { registerArchitecture } from '../../src/model/architecture';
import { LFM2RETRIEVAL } from '../../src/model/lfm2_retrieval';
import { LFM2VL } from '../../src/model/lfm2_vl';
import { freeBufferNow } from '../../src/store/buffer_references';
import { blobSource, type ByteSource } from '../../src/store/byte_source';
import { withExpertChoices, type ExpertChoices } from '../expert_choices';
import { pagingCase } from '../paging_cases';
import { createEncoder, type EncodeTexts } from '../retrieving';
import { createSight, type Sight } from '../seeing';
import { stateCases, stateProgram } from '../state_cases';
import { checkAbove4GiB, openAbove4GiB } from './memory64';
import { compare, macsPerToken, time, weightBytesOf, type Difference } from '../measure';

registerArchitecture(LFM2VL);
registerArchitecture(LFM2RETRIEVAL);

export interface BackendOptions {
  backend: 'wasm' | 'webgpu' | 'reference';
  threads?: number;
  variant?: 'simd' | 'relaxed';
  exact?: boolean;
  /** WASM: 64-bit memory, and addresses above 4 GiB alone */
  memory64?: boolean;
  subgroups?: boolean;
  f16?: boolean;
  tuning?: WebGpuOptions['tuning'];
  /**
   * WebGPU: the device and its pipelines are kept for the next call, because compilation takes seconds on a software
   * adapter
   */
  stays?: boolean;
}

export async function open({ backend, stays, memory64, ...options }: BackendOptions): Promise<Backend> {
  if (backend === 'reference') return openReferenceBackend();
  if (memory64) return openAbove4GiB(options);
  if (backend === 'wasm') return (await import('../../src/backend/wasm/backend')).openWasmBackend(options);
  const adapter = stays ? await (await import('./devices')).keepingAdapter() : undefined;
  return (await import('../../src/backend/webgpu/backend')).openWebGpuBackend({
    ...options,
    adapter,
    allowSoftware: true,
    selfTest: 'never',
  }); // no self test: the tools compare more
}

/** Reads ranges of a served file. */
async function remote(url: string): Promise<ByteSource> {
  const head = await fetch(url, { method: 'HEAD' });
  if (!head.ok) throw new Error(`${url}: ${head.status}`);
  const size = Number(head.headers.get('content-length'));
  return {
    name: decodeURIComponent(url.slice(url.lastIndexOf('/') + 1)),
    size,
    async read(offset, length) {
      if (offset + length > size) throw new RangeError(`read of ${offset} + ${length} in ${size} bytes`);
      if (length === 0) return new Uint8Array(0);
      const response = await fetch(url, { headers: { range: `bytes=${offset}-${offset + length - 1}` } });
      return new Uint8Array(await response.arrayBuffer());
    },
    release: freeBufferNow,
  };
}

/** of cases that have run: every variant is compared with the same */
const references = new Map<string, CaseRunOutput[]>();

let encoder: { encode: EncodeTexts; backend: Backend } | undefined;
let loaded: { checkpoint: Checkpoint; backend: Backend; state: State; sight: Sight } | undefined;

const probe = {
  caseNames: (): string[] => CONFORMANCE_CASES.map(({ name }) => name),

  /** The differences of one case from the reference, or the error of the run. */
  async conformance(name: string, options: BackendOptions): Promise<Difference[]> {
    const ofEncoders = ENCODER_CASES.find((c) => c.name === name);
    if (ofEncoders) await import('../../src/modules/encoders');
    const one = ofEncoders ?? CONFORMANCE_CASES.find((c) => c.name === name)!;
    const wanted = references.get(name) ?? (await runConformanceCase(one, openReferenceBackend()));
    references.set(name, wanted);
    const backend = await open(options);
    await backend.reserve(64 << 20);
    try {
      const got = await runConformanceCase(one, backend);
      checkAbove4GiB(backend);
      return wanted.map((w, i) => compare(name, w, got[i]));
    } finally {
      await backend.dispose();
    }
  },

  /** What is wrong in a case of e2e/state_cases.ts. */
  async states(name: string, seeds: number, options: BackendOptions): Promise<string | undefined> {
    const backend = await open(options);
    await backend.reserve(64 << 20);
    try {
      const wrong = await stateCases(seeds)[name](await stateProgram(backend), backend);
      checkAbove4GiB(backend);
      return wrong;
    } finally {
      await backend.dispose();
    }
  },

  /** What is wrong with experts that are read when a token needs them. */
  paging: (options: BackendOptions): Promise<string | undefined> => pagingCase(() => open(options)),

  /** A model for retrieval, from served files by their names in its directory. */
  async loadEncoder(sources: { name: string; url: string }[], options: BackendOptions): Promise<void> {
    await encoder?.backend.dispose();
    await import('../../src/modules/encoders');
    const files = await Promise.all(sources.map(async ({ name, url }) => ({ ...(await remote(url)), name })));
    const backend = await open(options);
    encoder = { backend, encode: await createEncoder(await openCheckpoint(files), backend) };
  },
  encodeTexts: (...args: Parameters<EncodeTexts>) => encoder!.encode(...args),

  /**
   * From served files, or from files chosen in the page: under automation a browser keeps what it fetches, so memory is
   * measured with these.
   */
  async load(
    sources: (string | File)[],
    options: BackendOptions,
    compile: { contextLength: number; prefillBatch: number },
  ) {
    await probe.unload();
    const start = performance.now();
    const checkpoint = await openCheckpoint(
      await Promise.all(sources.map((source) => (typeof source === 'string' ? remote(source) : blobSource(source)))),
    );
    if (checkpoint.config.vision) await import('../../src/modules/encoders');
    const backend = await open(options);
    await import('../../src/modules/memory64'); // what the page gets for a model that needs it
    await backend.reserve(checkpoint.memoryBytes);
    const weights = await loadWeights(checkpoint, backend, () => undefined);
    const plan = recordModel(checkpoint, weights);
    const state = await firstState(backend, plan, compile);
    loaded = { checkpoint, backend, state, sight: await createSight(checkpoint, weights, backend) };
    return {
      seconds: (performance.now() - start) / 1000,
      info: backend.info,
      bytes: checkpoint.bytes,
      memory: backend.memory(),
      macs: macsPerToken(plan),
      readPerToken: weightBytesOf(plan),
      config: checkpoint.config,
      quantization: checkpoint.quantization,
      plan: describeProgram(state.program),
    };
  },

  /** Logits of the last token of a prompt, fed in pieces of at most `piece` tokens. */
  async logits(tokens: number[], piece: number): Promise<Float32Array> {
    const { state, sight } = loaded!;
    if (!state.rewind(0)) throw new Error('rewind(0) was refused');
    await sight.feed(state, tokens, piece);
    return state.logits();
  },

  /** The same, and the experts that it chose. @param forced by another run of the same pieces */
  async expertChoices(tokens: number[], piece: number, forced?: ExpertChoices) {
    const { result, choices } = await withExpertChoices(loaded!.state, () => probe.logits(tokens, piece), forced);
    return { logits: Array.from(result), choices };
  },

  /** Features of served pictures, which the image tokens of the prompts that follow have. */
  async see(urls: string[], rows?: number[]): Promise<Float32Array> {
    const pictures = urls.map(async (url) => new Uint8Array(await (await fetch(url)).arrayBuffer()));
    return loaded!.sight.see(await Promise.all(pictures), rows);
  },

  async greedy(tokens: number[], steps: number, piece = tokens.length): Promise<number[]> {
    const { state, sight } = loaded!;
    state.rewind(0);
    await sight.feed(state, tokens, piece);
    return [...(await state.decode(steps, GREEDY_SAMPLING))];
  },

  time(
    prompt: number,
    steps: number,
    prefillBatch: number,
    window: number,
  ): Promise<{ prefillMs: number; decodeMs: number }> {
    return time(loaded!.state, loaded!.checkpoint.config.vocabSize, prompt, steps, prefillBatch, window);
  },

  profile: (position: number, prefillBatch: number): Promise<KernelTime[]> =>
    profileAt(loaded!.state, position, prefillBatch),

  /** Tunes kernels; saved results stay in use. */
  async tune(budgetMs: number): Promise<ShapeTuningResult[]> {
    const { state } = loaded!;
    if (state.position === 0) await state.prefill(Uint32Array.of(0)); // tune needs one token
    return (await state.program.tune?.({ budgetMs, allowSoftware: true })) ?? [];
  },

  describe: (): string => describeProgram(loaded!.state.program),
  memory: (): number => loaded!.backend.memory(),

  async unload(): Promise<void> {
    loaded?.state.program.dispose();
    await loaded?.backend.dispose();
    loaded = undefined;
  },
};

export type Probe = typeof probe;
expose(probe);
