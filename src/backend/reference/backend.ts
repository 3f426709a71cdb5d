/** The reference backend: runs a plan with plain loops over dequantized weights, to test the others and to look inside a model. It is not in the library. */
import { fail } from '../../errors';
import type { Matrix, Norm, Vector } from '../../model/ops';
import { dequantize } from '../../tensor/dequant';
import { rowBytes } from '../../tensor/dtype';
import type { Backend, Runner } from '../backend';
import type { PlanNode, Plan, PlanActivation } from '../plan';
import { logprobs, sampleToken, type SamplingParams } from '../sampling';
import { attend, linear, rmsNorm, shortConv, swiglu, type KeyValueCache, type ActivationRows } from './ops';

interface ReferenceMatrix extends Matrix {
  values: Float32Array; // [rows, cols]
}

interface ReferenceVector extends Vector {
  values: Float32Array;
}

export interface ReferenceOptions {
  /** called with the Hugging Face name and the output [rows, cols] of every module */
  onModuleOutput?: (name: string, values: Float32Array, cols: number) => void;
  /** called with the attention weights of a head at a position, over this and all earlier positions: [position + 1] */
  onAttention?: (layer: number, head: number, position: number, weights: Float64Array) => void;
}

export function openReferenceBackend(options: ReferenceOptions = {}): Backend {
  let bytes = 0;
  return {
    info: { name: 'reference', device: 'plain loops', variant: 'f64 sums', notes: [] },
    limits: { prefillBatch: 64, decodesInFlight: 1, decodeSteps: 1 },
    reserve: () => undefined,

    matrix(spec) {
      const values = new Float32Array(spec.rows * spec.cols);
      bytes += values.byteLength;
      const starts = spec.segments.map((_, i) => spec.segments.slice(0, i).reduce((sum, s) => sum + s.rows, 0));
      let written = 0;
      return {
        write(segment, firstRow, data) {
          const { dtype } = spec.segments[segment];
          const rows = data.byteLength / rowBytes(dtype, spec.cols);
          values.set(dequantize(dtype, data, rows * spec.cols), (starts[segment] + firstRow) * spec.cols);
          written += rows;
        },
        finish() {
          if (written !== spec.rows) fail('CheckpointError', { what: `Rows of ${spec.name} are missing`, got: written, wanted: spec.rows });
          return { ...spec, values } as ReferenceMatrix;
        },
      };
    },

    vector: (name, values) => ({ name, length: values.length, values }) as ReferenceVector,
    compile: async (plan) => createRunner(plan, options),
    memory: () => bytes,
    dispose: () => undefined,
  };
}

function createRunner(plan: Plan, { onModuleOutput: tap, onAttention }: ReferenceOptions): Runner {
  let history: number[] = [];
  let promptLength = 0;
  let pending: number | undefined;
  let logits: Float32Array | undefined;
  let caches = new Map<number, KeyValueCache>();
  let columns = new Map<number, number[][]>();

  const values = (v: Matrix | Vector): Float32Array => (v as ReferenceMatrix | ReferenceVector).values;
  const moduleName = (name: string): string => name.replace(/\.weight$/, '');

  function step(tokens: ArrayLike<number>): void {
    const acts = new Map<PlanActivation, ActivationRows>();
    const normed = (x: PlanActivation, norm?: Norm): ActivationRows => {
      if (!norm) return acts.get(x)!;
      const y = rmsNorm(acts.get(x)!, x.cols, values(norm.weight), norm.eps);
      tap?.(moduleName(norm.weight.name), y, x.cols);
      return y;
    };
    const tapped = (name: string, y: ActivationRows, cols: number): ActivationRows => (tap?.(moduleName(name), y, cols), y);
    for (const node of plan.nodes) acts.set(node.out, run(node, acts, normed, tapped, tokens));
    for (let i = 0; i < tokens.length; i++) history.push(tokens[i]);
    logits = acts.get(plan.output)!;
  }

  function run(
    node: PlanNode,
    acts: Map<PlanActivation, ActivationRows>,
    normed: (x: PlanActivation, norm?: Norm) => ActivationRows,
    tapped: (name: string, y: ActivationRows, cols: number) => ActivationRows,
    tokens: ArrayLike<number>,
  ): ActivationRows {
    switch (node.op) {
      case 'embed': {
        const { cols: D } = node.table;
        const y = new Float32Array(tokens.length * D);
        for (let t = 0; t < tokens.length; t++) y.set(values(node.table).subarray(tokens[t] * D, (tokens[t] + 1) * D), t * D);
        return tapped(node.table.name, y, D);
      }
      case 'linear': {
        const { w } = node;
        const y = linear(values(w), w.rows, w.cols, normed(node.x, node.norm), node.bias && values(node.bias));
        if (w.segments.length > 1) tapSegments(w, y, tapped);
        else tapped(node.out === plan.output ? 'lm_head' : w.name, y, w.rows); // a tied head has the name of the table
        if (!node.add) return y;
        const residual = acts.get(node.add)!;
        const sum = y.map((v, i) => v + residual[i]);
        const layer = /^(.*\.layers\.\d+)\.feed_forward\.w2$/.exec(moduleName(w.name));
        return layer ? tapped(layer[1], sum, w.rows) : sum;
      }
      case 'swiglu': {
        const x = normed(node.x, node.norm);
        const gate = tapped(node.w1.name, linear(values(node.w1), node.w1.rows, node.w1.cols, x), node.w1.rows);
        return swiglu(gate, tapped(node.w3.name, linear(values(node.w3), node.w3.rows, node.w3.cols, x), node.w3.rows));
      }
      case 'shortConv': {
        const { layer, channels, length } = node.state;
        const past = columns.get(layer) ?? [];
        columns.set(layer, past);
        return shortConv(acts.get(node.bcx)!, channels, values(node.taps), length, past, node.bias && values(node.bias));
      }
      case 'attend': {
        const { layer, kvHeads, headDim } = node.cache;
        const cache = caches.get(layer) ?? { k: [], v: [] };
        caches.set(layer, cache);
        const norm = ({ weight, eps }: Norm): { weight: Float32Array; eps: number } => ({ weight: values(weight), eps });
        const { heads, ropeTheta } = node;
        return attend(acts.get(node.qkv)!, cache, { heads, kvHeads, headDim, qNorm: norm(node.qNorm), kNorm: norm(node.kNorm), ropeTheta }, onAttention?.bind(undefined, layer));
      }
      case 'last':
        return acts.get(node.x)!.slice(-node.x.cols);
    }
  }

  return {
    get position() {
      return history.length;
    },
    async prefill(tokens) {
      pending = undefined;
      step(tokens);
      promptLength = history.length;
    },
    async decode(steps, sampling: SamplingParams) {
      const out: number[] = [];
      for (let i = 0; i < steps; i++) {
        if (pending !== undefined) step([pending]);
        if (!logits) fail('RequestError', { what: 'decode needs a prefill before it' });
        pending = sampleToken(logits.slice(), sampling, history, promptLength, history.length);
        out.push(pending);
      }
      return Uint32Array.from(out);
    },
    rewind(position) {
      if (position > history.length) return false;
      history = history.slice(0, position);
      promptLength = Math.min(promptLength, position);
      pending = undefined;
      logits = undefined;
      caches = new Map([...caches].map(([layer, { k, v }]) => [layer, { k: k.slice(0, position), v: v.slice(0, position) }]));
      columns = new Map([...columns].map(([layer, past]) => [layer, past.slice(0, position)]));
      return true;
    },
    async logits() {
      return logits?.slice() ?? fail('RequestError', { what: 'There are no logits before a prefill' });
    },
    async logprobs(chosen, n) {
      return logprobs(await this.logits(), chosen, n);
    },
    internals: () => ({ plan }),
    dispose: () => undefined,
  };
}

function tapSegments(w: Matrix, y: ActivationRows, tapped: (name: string, y: ActivationRows, cols: number) => ActivationRows): void {
  let first = 0;
  for (const { name, rows } of w.segments) {
    const part = new Float32Array((y.length / w.rows) * rows);
    for (let t = 0; t * w.rows < y.length; t++) part.set(y.subarray(t * w.rows + first, t * w.rows + first + rows), t * rows);
    tapped(name, part, rows);
    first += rows;
  }
}
