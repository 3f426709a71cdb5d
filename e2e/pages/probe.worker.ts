/**
 * Runs backends in a worker for the checking tools: conformance cases, logits of prompts, timings. No cache, no chat.
 */
import { expose } from 'comlink';
import type { Backend, KernelTime, Runner, ShapeTuningResult } from '../../src/backend/backend';
import { CONFORMANCE_CASES, runConformanceCase, type CaseRunOutput } from '../../src/backend/conformance';
import { describeRunner } from '../../src/backend/describe_runner';
import { recordModel } from '../../src/backend/model_plan';
import { openReferenceBackend } from '../../src/backend/reference/backend';
import { GREEDY_SAMPLING } from '../../src/backend/sampling';
import type { WebGpuOptions } from '../../src/backend/webgpu/backend';
import { profileAt } from '../../src/backend/webgpu/profile';
import { openCheckpoint, type Checkpoint } from '../../src/engine/checkpoint';
import { loadWeights } from '../../src/engine/load_weights';
import { freeBufferNow } from '../../src/store/buffer_references';
import { blobSource, type ByteSource } from '../../src/store/byte_source';
import { compare, macsPerToken, time, type Difference } from '../measure';

export interface BackendOptions {
  backend: 'wasm' | 'webgpu' | 'reference';
  threads?: number;
  variant?: 'simd' | 'relaxed';
  exact?: boolean;
  subgroups?: boolean;
  f16?: boolean;
  tuning?: WebGpuOptions['tuning'];
  /**
   * WebGPU: the device and its pipelines are kept for the next call, because compilation takes seconds on a software
   * adapter
   */
  stays?: boolean;
}

export async function open({ backend, stays, ...options }: BackendOptions): Promise<Backend> {
  if (backend === 'reference') return openReferenceBackend();
  if (backend === 'wasm') {
    await import('../../src/backend/wasm/encoders');
    return (await import('../../src/backend/wasm/backend')).openWasmBackend(options);
  }
  await import('../../src/backend/webgpu/encoders');
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

let loaded: { checkpoint: Checkpoint; backend: Backend; runner: Runner } | undefined;

const probe = {
  caseNames: (): string[] => CONFORMANCE_CASES.map(({ name }) => name),

  /** The differences of one case from the reference, or the error of the run. */
  async conformance(name: string, options: BackendOptions): Promise<Difference[]> {
    const one = CONFORMANCE_CASES.find((c) => c.name === name)!;
    const wanted = references.get(name) ?? (await runConformanceCase(one, openReferenceBackend()));
    references.set(name, wanted);
    const backend = await open(options);
    await backend.reserve(64 << 20);
    try {
      const got = await runConformanceCase(one, backend);
      return wanted.map((w, i) => compare(name, w, got[i]));
    } finally {
      await backend.dispose();
    }
  },

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
    const backend = await open(options);
    await backend.reserve(checkpoint.bytes);
    const weights = await loadWeights(checkpoint, backend, () => undefined);
    const plan = recordModel(checkpoint, weights);
    const runner = await backend.compile(plan, compile);
    loaded = { checkpoint, backend, runner };
    return {
      seconds: (performance.now() - start) / 1000,
      info: backend.info,
      bytes: checkpoint.bytes,
      memory: backend.memory(),
      macs: macsPerToken(plan),
      config: checkpoint.config,
      quantization: checkpoint.quantization,
      plan: describeRunner(runner),
    };
  },

  /** Logits of the last token of a prompt, fed in pieces of at most `piece` tokens. */
  async logits(tokens: number[], piece: number): Promise<Float32Array> {
    const { runner } = loaded!;
    if (!runner.rewind(0)) throw new Error('rewind(0) was refused');
    for (let at = 0; at < tokens.length; at += piece)
      await runner.prefill(Uint32Array.from(tokens.slice(at, at + piece)));
    return runner.logits();
  },

  async greedy(tokens: number[], steps: number): Promise<number[]> {
    const { runner } = loaded!;
    runner.rewind(0);
    await runner.prefill(Uint32Array.from(tokens));
    return [...(await runner.decode(steps, GREEDY_SAMPLING))];
  },

  time(
    prompt: number,
    steps: number,
    prefillBatch: number,
    window: number,
  ): Promise<{ prefillMs: number; decodeMs: number }> {
    return time(loaded!.runner, loaded!.checkpoint.config.vocabSize, prompt, steps, prefillBatch, window);
  },

  profile: (position: number, prefillBatch: number): Promise<KernelTime[]> =>
    profileAt(loaded!.runner, position, prefillBatch),

  /** Tunes kernels; saved results stay in use. */
  async tune(budgetMs: number): Promise<ShapeTuningResult[]> {
    const { runner } = loaded!;
    if (runner.position === 0) await runner.prefill(Uint32Array.of(0)); // tune needs one token
    return (await runner.tune?.({ budgetMs, allowSoftware: true })) ?? [];
  },

  describe: (): string => describeRunner(loaded!.runner),
  memory: (): number => loaded!.backend.memory(),

  async unload(): Promise<void> {
    loaded?.runner.dispose();
    await loaded?.backend.dispose();
    loaded = undefined;
  },
};

export type Probe = typeof probe;
expose(probe);
