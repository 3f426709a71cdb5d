/** Small WASM models for tests in Node, with threads. */
import { resolveObjectURL } from 'node:buffer';
import { Worker as NodeThread } from 'node:worker_threads';
import { firstState, type Backend, type State } from '../src/backend/backend';
import type { Plan } from '../src/backend/plan';
import { seededRandom } from '../src/backend/random_weights';
import { openWasmBackend, type WasmOptions } from '../src/backend/wasm/backend';
import type { Config } from '../src/model/config';
import type { Dtype } from '../src/tensor/dtype';
import { randomModel } from './models';

/** A web worker on a thread of Node, as far as threads.ts needs one. */
export class NodeWorker {
  onerror: ((event: { message: string }) => void) | null = null;
  private readonly thread: Promise<NodeThread>;

  constructor(url: string) {
    const prelude = `var onmessage; require('node:worker_threads').parentPort.on('message', (data) => onmessage({ data }));`;
    this.thread = resolveObjectURL(url)!
      .text()
      .then((source) => {
        const thread = new NodeThread(prelude + source, { eval: true });
        thread.on('error', (error) => this.onerror?.({ message: String(error) }));
        return thread;
      });
  }

  postMessage(message: unknown, transfer: MessagePort[]): void {
    void this.thread.then((thread) => thread.postMessage(message, transfer as never));
  }

  terminate(): void {
    void this.thread.then((thread) => thread.terminate());
  }
}

export const open = async (threads: number, options: WasmOptions = {}): Promise<Backend> => {
  const backend = await openWasmBackend({ threads, variant: 'simd', ...options });
  await backend.reserve(8 << 20);
  return backend;
};

const config: Config = {
  vocabSize: 131,
  hiddenSize: 256,
  ffnSize: 288,
  layers: ['conv', 'attention', 'conv', 'attention'],
  heads: 6,
  kvHeads: 2,
  headDim: 32,
  convLength: 3,
  normEps: 1e-5,
  ropeTheta: 10000,
  contextLength: 1000,
};

/**
 * A small model with every kind of op and several weight formats. One attention has q, k and v as three segments, as in
 * most checkpoints: then it needs no barrier before it. The other has them in one.
 */
function dtypeOf(gguf: string): Dtype {
  if (/token_embd|attn_v/.test(gguf)) return 'Q6_K';
  if (/in_proj|attn_output/.test(gguf)) return 'Q8_0';
  if (/ffn_down/.test(gguf)) return gguf.startsWith('blk.1.') ? 'F16' : 'Q8_0';
  return 'Q4_0';
}

export const smallPlan = (backend: Backend): Promise<Plan> =>
  randomModel(backend, config, dtypeOf, (gguf) => gguf === 'blk.3.attn_qkv.weight');
export const smallState = async (backend: Backend, prefillBatch: number): Promise<State> =>
  firstState(backend, await smallPlan(backend), { contextLength: 1000, prefillBatch });

export const tokens = (n: number, name = 'tokens'): Uint32Array => {
  const next = seededRandom(name);
  return Uint32Array.from({ length: n }, () => next() % config.vocabSize);
};

export async function feed(state: State, all: Uint32Array, piece: number): Promise<void> {
  for (let at = 0; at < all.length; at += piece) await state.prefill(all.slice(at, at + piece));
}

export async function logitsOf(state: State, all: Uint32Array, piece: number): Promise<Float32Array> {
  state.rewind(0);
  await feed(state, all, piece);
  return state.logits();
}
