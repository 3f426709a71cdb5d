/** Times the vision encoder of a made-up model on the WASM backend, op by op, for the tool `vision_speed`. */
import '../../src/modules/encoders';
import { expose } from 'comlink';
import { firstState, type State } from '../../src/backend/backend';
import { macsOf } from '../../src/backend/plan';
import { recordVision } from '../../src/backend/vision_plan';
import { openWasmBackend } from '../../src/backend/wasm/backend';
import type { WasmProgram } from '../../src/backend/wasm/program';
import { openCheckpoint } from '../../src/engine/checkpoint';
import { loadWeights } from '../../src/engine/load_weights';
import { registerArchitecture } from '../../src/model/architecture';
import { LFM2VL } from '../../src/model/lfm2_vl';
import { memorySource } from '../../src/store/byte_source';
import type { Dtype } from '../../src/tensor/dtype';
import { generator, ggufBytes, tinyModel } from '../tools/tiny';
import { SIGLIP2_BASE, SIGLIP2_SO400M, TEXT, tinyEncoder } from '../tools/tiny_vision';

export interface VisionSpeedRequest {
  shape: 'base' | 'so400m';
  dtype: Dtype;
  layers?: number;
  threads: number;
  exact: boolean;
  variant?: 'simd' | 'relaxed';
  /** of a side of the tile, in patches */
  side: number;
}

/** Ops of one kind: the first of them, and how many there are. */
export interface VisionOp {
  name: string;
  part: number;
  index: number;
  count: number;
  gmacs: number;
}

type Part = { program: WasmProgram; state: State; rows: Float32Array<ArrayBuffer>[]; T: number };

let parts: Part[] = [];
const calls = {
  /** @returns what runs */
  async load({ shape, dtype, layers, side, ...options }: VisionSpeedRequest): Promise<string> {
    registerArchitecture(LFM2VL);
    const sizes = shape === 'base' ? SIGLIP2_BASE : SIGLIP2_SO400M;
    const encoder = tinyEncoder({
      ...sizes,
      layers: layers ?? sizes.layers,
      dtype: (name) => (name === 'v.patch_embd' ? 'F16' : dtype),
    });
    const text = ggufBytes(tinyModel({ ...TEXT, hidden: sizes.text }));
    const files = [text, ggufBytes(encoder)].map((bytes, i) => memorySource(`${i}.gguf`, bytes));
    const backend = await openWasmBackend(options);
    const checkpoint = await openCheckpoint(files);
    await backend.reserve(checkpoint.memoryBytes);
    const weights = await loadWeights(checkpoint, backend, () => undefined);
    const plans = recordVision(checkpoint, weights);
    const before = backend.memory();
    const random = generator(1);
    const rowsOf = (T: number, cols: number): Float32Array<ArrayBuffer> =>
      Float32Array.from({ length: T * cols }, () => 2 * random() - 1);
    parts = [];
    for (const [plan, T] of [
      [plans.encoder, side ** 2],
      [plans.projector, side ** 2 / 4],
    ] as const) {
      const state = await firstState(backend, plan, { contextLength: T, prefillBatch: T });
      const rows = plan.nodes.flatMap(({ op, out }) => (op === 'input' ? [rowsOf(T, out.cols)] : []));
      parts.push({ program: state.program as WasmProgram, state, rows, T });
    }
    const { device, variant } = backend.info;
    const [all, held] = [backend.memory(), before].map((bytes) => Math.round(bytes / 1e6));
    const encoderBytes = files[1].size / 1e6;
    return `${device}, ${variant}, ${all} MB: ${held} MB before the encoder was compiled; its file has ${encoderBytes.toFixed(0)} MB`;
  },

  /** Encodes one tile. @returns milliseconds */
  async run(): Promise<number> {
    const start = performance.now();
    for (const { state, rows, T } of parts) {
      const at = Uint32Array.from({ length: T }, (_, i) => i);
      state.rewind(0);
      await state.prefill(new Uint32Array(T), { rows: rows.map((values) => ({ at, values })) });
      await state.logits();
    }
    return performance.now() - start;
  },

  /** What a tile runs. */
  async ops(): Promise<VisionOp[]> {
    const ops = new Map<string, VisionOp>();
    parts.forEach(({ program, T }, part) =>
      program.internals().plan.nodes.forEach((node, index) => {
        const name = 'w' in node ? `${node.op} ${node.w.rows}×${node.w.cols}` : `${node.op} of ${node.out.cols}`;
        const op = ops.get(name) ?? { name, part, index, count: 0, gmacs: 0 };
        ops.set(name, { ...op, count: op.count + 1, gmacs: op.gmacs + (macsOf(node) * T) / 1e9 });
      }),
    );
    return [...ops.values()];
  },

  /** Runs an op of the last tile again. @returns milliseconds */
  async repeat(part: number, index: number, times: number): Promise<number> {
    const inner = parts[part].program.internals();
    const start = performance.now();
    for (let i = 0; i < times; i++) inner.runUpTo(index, index + 1);
    return performance.now() - start;
  },
};
export type VisionSpeed = typeof calls;

expose(calls);
