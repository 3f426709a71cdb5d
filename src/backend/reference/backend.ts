/**
 * The reference backend: runs a plan with plain loops over dequantized weights, to test the others and to look inside a
 * model. It is not in the library.
 */
import { fail } from '../../errors';
import type { Matrix, Norm, Vector } from '../../model/ops';
import { dequantize } from '../../tensor/dequant';
import { rowBytes } from '../../tensor/dtype';
import type { Backend, Runner } from '../backend';
import {
  checkOps,
  headsOf,
  lowerNode,
  type CachedAttend,
  type Lowerings,
  type NodeOf,
  type Plan,
  type PlanActivation,
  type SideLowerings,
} from '../plan';
import { logprobs, sampleToken, type SamplingParams } from '../sampling';
import { sequenceBounds } from '../sequences';
import {
  attend,
  attendWithin,
  linear,
  rmsNorm,
  shortConv,
  swiglu,
  type ActivationRows,
  type AttentionConfig,
  type KeyValueCache,
} from './ops';

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
          if (written !== spec.rows)
            fail('CheckpointError', { what: `Rows of ${spec.name} are missing`, got: written, wanted: spec.rows });
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

type TapModule = (name: string, values: ActivationRows, cols: number) => ActivationRows;

/** What a node computes with: the activations of this step, and the state of the runner. */
interface StepContext {
  plan: Plan;
  tokens: ArrayLike<number>;
  /** of each token's sequence, [T, 2] */
  bounds: Uint32Array;
  acts: Map<PlanActivation, ActivationRows>;
  caches: Map<number, KeyValueCache>;
  columns: Map<number, number[][]>;
  /** reports the output of a module, and returns it */
  tapped: TapModule;
  onAttention: ReferenceOptions['onAttention'];
}

const valuesOf = (v: Matrix | Vector): Float32Array => (v as ReferenceMatrix | ReferenceVector).values;
const moduleName = (name: string): string => name.replace(/\.weight$/, '');
const multiply = (w: Matrix, x: ActivationRows, bias?: Vector): ActivationRows =>
  linear(valuesOf(w), w.rows, w.cols, x, bias && valuesOf(bias));

function normed(x: PlanActivation, norm: Norm | undefined, { acts, tapped }: StepContext): ActivationRows {
  if (!norm) return acts.get(x)!;
  return tapped(norm.weight.name, rmsNorm(acts.get(x)!, x.cols, valuesOf(norm.weight), norm.eps), x.cols);
}

/** The value of a layer in a map; `make` makes it first. */
function ofLayer<T>(states: Map<number, T>, layer: number, make: () => T): T {
  if (!states.has(layer)) states.set(layer, make());
  return states.get(layer)!;
}

function attentionConfig(node: NodeOf<'attend'>): AttentionConfig {
  const norm = (one: Norm | undefined) => one && { weight: valuesOf(one.weight), eps: one.eps };
  return { ...node, ...headsOf(node), qNorm: norm(node.qNorm), kNorm: norm(node.kNorm) };
}

function attendCached(node: CachedAttend, { acts, caches, onAttention }: StepContext): ActivationRows {
  const { layer } = node.cache;
  const cache = ofLayer(caches, layer, () => ({ k: [], v: [] }));
  return attend(acts.get(node.qkv)!, cache, attentionConfig(node), onAttention?.bind(undefined, layer));
}

const OPS: Lowerings<StepContext, ActivationRows> & SideLowerings<StepContext, ActivationRows> = {
  embed({ table }, { tokens, tapped }) {
    const { cols: D } = table;
    const y = new Float32Array(tokens.length * D);
    for (let t = 0; t < tokens.length; t++) y.set(valuesOf(table).subarray(tokens[t] * D, (tokens[t] + 1) * D), t * D);
    return tapped(table.name, y, D);
  },
  linear({ w, x, norm, bias, add, out }, context) {
    const { plan, acts, tapped } = context;
    const y = multiply(w, normed(x, norm, context), bias);
    if (w.segments.length > 1) tapSegments(w, y, tapped);
    else tapped(out === plan.outputs[0] ? 'lm_head' : w.name, y, w.rows); // a tied head has the name of the table
    if (!add) return y;
    const residual = acts.get(add)!;
    const sum = y.map((v, i) => v + residual[i]);
    const layer = /^(.*\.layers\.\d+)\.feed_forward\.w2$/.exec(moduleName(w.name));
    return layer ? tapped(layer[1], sum, w.rows) : sum;
  },
  swiglu({ w1, w3, x, norm }, context) {
    const input = normed(x, norm, context);
    const gate = context.tapped(w1.name, multiply(w1, input), w1.rows);
    return swiglu(gate, context.tapped(w3.name, multiply(w3, input), w3.rows));
  },
  shortConv({ bcx, taps, bias, state: { layer, channels, length } }, { acts, columns }) {
    const past = ofLayer(columns, layer, () => []);
    return shortConv(acts.get(bcx)!, channels, valuesOf(taps), length, past, bias && valuesOf(bias));
  },
  attend: attendCached,
  attendInterleaved: attendCached,
  attendWithin: (node, { acts, bounds }) => attendWithin(acts.get(node.qkv)!, bounds, attentionConfig(node)),
  last: ({ x }, { acts }) => acts.get(x)!.slice(-x.cols),
};

function createRunner(plan: Plan, { onModuleOutput, onAttention }: ReferenceOptions): Runner {
  checkOps(plan, OPS, 'The reference');
  let history: number[] = [];
  let promptLength = 0;
  let pending: number | undefined;
  let logits: Float32Array | undefined;
  let caches = new Map<number, KeyValueCache>();
  let columns = new Map<number, number[][]>();
  const tapped: TapModule = (name, y, cols) => (onModuleOutput?.(moduleName(name), y, cols), y);

  function step(tokens: ArrayLike<number>, sequences?: Uint32Array): void {
    const acts = new Map<PlanActivation, ActivationRows>();
    const bounds = sequenceBounds(tokens.length, sequences);
    const context = { plan, tokens, bounds, acts, caches, columns, tapped, onAttention };
    for (const node of plan.nodes) acts.set(node.out, lowerNode(OPS, node, context));
    for (let i = 0; i < tokens.length; i++) history.push(tokens[i]);
    logits = acts.get(plan.outputs[0])!;
  }

  return {
    get position() {
      return history.length;
    },
    async prefill(tokens, sequences) {
      step(tokens, sequences);
      pending = undefined;
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
      caches = new Map(
        [...caches].map(([layer, { k, v }]) => [layer, { k: k.slice(0, position), v: v.slice(0, position) }]),
      );
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

function tapSegments(w: Matrix, y: ActivationRows, tapped: TapModule): void {
  let first = 0;
  for (const { name, rows } of w.segments) {
    const part = new Float32Array((y.length / w.rows) * rows);
    for (let t = 0; t * w.rows < y.length; t++)
      part.set(y.subarray(t * w.rows + first, t * w.rows + first + rows), t * rows);
    tapped(name, part, rows);
    first += rows;
  }
}
