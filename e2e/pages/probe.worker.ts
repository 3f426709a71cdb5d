/** Runs backends in a worker for the checking tools: conformance cases, logits of prompts, timings. No cache, no chat. */
import { expose } from 'comlink';
import type { Backend, KernelTime, Runner } from '../../src/backend/backend';
import { CASES, runCase, type Outcome } from '../../src/backend/conformance';
import type { Matrix } from '../../src/model/ops';
import { record, type Plan } from '../../src/backend/plan';
import { openReference } from '../../src/backend/reference/backend';
import { GREEDY } from '../../src/backend/sampling';
import { openCheckpoint, type Checkpoint } from '../../src/engine/checkpoint';
import { loadWeights } from '../../src/engine/load';
import { forward } from '../../src/model/lfm2';
import { blobSource, free, type ByteSource } from '../../src/store/source';

export interface BackendOptions {
  backend: 'wasm' | 'webgpu' | 'reference';
  threads?: number;
  variant?: 'simd' | 'relaxed';
  exact?: boolean;
  subgroups?: boolean;
  f16?: boolean;
}

export async function open({ backend, ...options }: BackendOptions): Promise<Backend> {
  if (backend === 'reference') return openReference();
  if (backend === 'wasm') return (await import('../../src/backend/wasm/backend')).openWasm(options);
  return (await import('../../src/backend/webgpu/backend')).openWebGpu({ ...options, allowSoftware: true, selfTest: 'never' }); // what it would test is compared here
}

/** Ranged reads of a served file. */
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
    release: free,
  };
}

let loaded: { checkpoint: Checkpoint; backend: Backend; runner: Runner } | undefined;

export interface Difference {
  name: string;
  run: string;
  maxAbs: number;
  rms: number;
  nmse: number;
  rounds: boolean;
}

const probe = {
  caseNames: (): string[] => CASES.map(({ name }) => name),

  /** Differences of one case from the reference, or the error it met. */
  async conformance(name: string, options: BackendOptions): Promise<Difference[]> {
    const one = CASES.find((c) => c.name === name)!;
    const wanted = await runCase(one, openReference());
    const backend = await open(options);
    await backend.reserve(64 << 20);
    try {
      const got = await runCase(one, backend);
      return wanted.map((w, i) => compare(name, w, got[i], !!one.rounds));
    } finally {
      await backend.dispose();
    }
  },

  /** From served files, or from files chosen in the page: under automation a browser keeps what it fetches, so memory is measured with these. */
  async load(sources: (string | File)[], options: BackendOptions, compile: { contextLength: number; chunk: number }) {
    await probe.unload();
    const start = performance.now();
    const checkpoint = await openCheckpoint(await Promise.all(sources.map((source) => (typeof source === 'string' ? remote(source) : blobSource(source)))));
    const backend = await open(options);
    await backend.reserve(checkpoint.bytes);
    const weights = await loadWeights(checkpoint, backend, () => undefined);
    const plan = record((op) => forward(op, checkpoint.config, weights));
    const runner = await backend.compile(plan, compile);
    loaded = { checkpoint, backend, runner };
    return {
      seconds: (performance.now() - start) / 1000,
      info: backend.info,
      bytes: checkpoint.bytes,
      memory: backend.memory(),
      macs: matrices(plan).reduce((sum, { rows, cols }) => sum + rows * cols, 0),
      config: checkpoint.config,
      quantization: checkpoint.quantization,
      plan: runner.describe(),
    };
  },

  /** Logits of the last token of a prompt, fed in pieces of at most `piece` tokens. */
  async logits(tokens: number[], piece: number): Promise<Float32Array> {
    const { runner } = loaded!;
    if (!runner.rewind(0)) throw new Error('rewind(0) was refused');
    for (let at = 0; at < tokens.length; at += piece) await runner.prefill(Uint32Array.from(tokens.slice(at, at + piece)));
    return runner.logits();
  },

  async greedy(tokens: number[], steps: number): Promise<number[]> {
    const { runner } = loaded!;
    runner.rewind(0);
    await runner.prefill(Uint32Array.from(tokens));
    return [...(await runner.decode(steps, GREEDY))];
  },

  /** Milliseconds of a prefill of `prompt` tokens in chunks, and of `steps` decode steps after it, `window` a call and two calls under way. */
  async time(prompt: number, steps: number, chunk: number, window: number): Promise<{ prefillMs: number; decodeMs: number }> {
    const { runner, checkpoint } = loaded!;
    const tokens = Uint32Array.from({ length: prompt }, (_, i) => (i * 7919 + 257) % checkpoint.config.vocabSize);
    runner.rewind(0);
    const start = performance.now();
    for (let at = 0; at < prompt; at += chunk) await runner.prefill(tokens.subarray(at, at + chunk));
    await runner.decode(1, GREEDY); // the first token needs no forward pass: it ends the prefill
    const middle = performance.now();
    let before: Promise<unknown> | undefined;
    for (let left = steps; left > 0; left -= window) {
      const call = runner.decode(Math.min(left, window), GREEDY);
      if (window === 1) await call;
      await before;
      before = call;
    }
    await before;
    return { prefillMs: middle - start, decodeMs: performance.now() - middle };
  },

  /** Time by kernel of a decode step after `position` tokens. */
  async profile(position: number, chunk: number): Promise<KernelTime[]> {
    const { runner } = loaded!;
    runner.rewind(0);
    for (let at = 0; at < Math.max(1, position); at += chunk) await runner.prefill(new Uint32Array(Math.min(chunk, Math.max(1, position) - at)));
    return (await runner.profile?.()) ?? [];
  },

  describe: (): string => loaded!.runner.describe(),
  memory: (): number => loaded!.backend.memory(),

  async unload(): Promise<void> {
    loaded?.runner.dispose();
    await loaded?.backend.dispose();
    loaded = undefined;
  },
};

/** Every matrix a token is multiplied by; the embedding table is read, not multiplied. */
const matrices = (plan: Plan): Matrix[] =>
  plan.nodes.flatMap((node) => (node.op === 'linear' ? [node.w] : node.op === 'swiglu' ? [node.w1, node.w3] : []));

function compare(name: string, wanted: Outcome, got: Outcome, rounds: boolean): Difference {
  if (got.values.length !== wanted.values.length)
    throw new Error(`${name}, ${wanted.run}: ${got.values.length} values, the reference has ${wanted.values.length}`);
  let maxAbs = 0;
  let error = 0;
  let power = 0;
  wanted.values.forEach((w, i) => {
    const delta = Math.abs(got.values[i] - w);
    if (!(delta <= maxAbs)) maxAbs = delta; // NaN counts
    error += delta * delta;
    power += w * w;
  });
  return { name, run: wanted.run, maxAbs, rms: Math.sqrt(power / wanted.values.length), nmse: error / power, rounds };
}

export type Probe = typeof probe;
expose(probe);
