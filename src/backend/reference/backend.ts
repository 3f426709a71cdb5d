/**
 * The reference backend: runs a plan with plain loops over dequantized weights, to test the others and to look inside a
 * model. It is not in the library.
 */
import { fail } from '../../errors';
import type { Matrix, Norm, Vector } from '../../model/ops';
import { dequantize } from '../../tensor/dequant';
import { rowBytes } from '../../tensor/dtype';
import type { Backend, CompileOptions, InputRows, Program, State } from '../backend';
import {
  checkOps,
  headsOf,
  lowerNode,
  type AttentionNode,
  type Lowerings,
  type NodeOf,
  type Plan,
  type PlanActivation,
  type PlanNode,
} from '../plan';
import { logprobs, sampleToken } from '../sampling';
import { cursorLimits, StateCursor } from '../state_cursor';
import {
  ACTIVATIONS,
  attend,
  attendWithin,
  chosenExperts,
  layerNorm,
  linear,
  rmsNorm,
  selectExperts,
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
    compile: async (plan, compileOptions) => createProgram(plan, compileOptions, options),
    memory: () => bytes,
    dispose: () => undefined,
  };
}

type TapModule = (name: string, values: ActivationRows, cols: number) => ActivationRows;

/** What a node computes with: the activations of this step, and the state. */
interface StepContext {
  plan: Plan;
  tokens: ArrayLike<number>;
  /** what each token sees, [T, 4], for the nodes that need them */
  bounds?: Uint32Array;
  /** one for each input */
  rows?: InputRows[];
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

/** W_e · x, of the rows of a matrix that are those of expert e. */
function expertLinear(w: Matrix, e: number, x: ActivationRows): ActivationRows {
  const rows = w.rows / w.segments.length;
  return linear(valuesOf(w).subarray(e * rows * w.cols, (e + 1) * rows * w.cols), rows, w.cols, x);
}

function normed(x: PlanActivation, norm: Norm | undefined, { acts, tapped }: StepContext): ActivationRows {
  if (!norm) return acts.get(x)!;
  return tapped(norm.weight.name, rmsNorm(acts.get(x)!, x.cols, valuesOf(norm.weight), norm.eps), x.cols);
}

/** The value of a layer in a map; `make` makes it first. */
function ofLayer<T>(states: Map<number, T>, layer: number, make: () => T): T {
  if (!states.has(layer)) states.set(layer, make());
  return states.get(layer)!;
}

/** y + add; the sum after feed_forward.w2 is the output of its layer. */
function plusResidual(
  y: ActivationRows,
  add: PlanActivation | undefined,
  out: PlanActivation,
  { acts, tapped }: StepContext,
): ActivationRows {
  if (!add) return y;
  const residual = acts.get(add)!;
  const sum = y.map((v, i) => v + residual[i]);
  const layer = /^(.*\.layers\.\d+)\.feed_forward\.(?:experts\.)?w2$/.exec(moduleName(out.name));
  return layer ? tapped(layer[1], sum, out.cols) : sum;
}

function attentionConfig(node: AttentionNode): AttentionConfig {
  const norm = (one: Norm | undefined) => one && { weight: valuesOf(one.weight), eps: one.eps };
  return { ...node, ...headsOf(node), qNorm: norm(node.qNorm), kNorm: norm(node.kNorm) };
}

function attendCached(
  node: NodeOf<'attend' | 'attendInterleaved'>,
  { acts, caches, onAttention }: StepContext,
): ActivationRows {
  const { layer } = node.cache;
  const cache = ofLayer(caches, layer, () => ({ k: [], v: [] }));
  return attend(acts.get(node.qkv)!, cache, attentionConfig(node), onAttention?.bind(undefined, layer));
}

const OPS: Lowerings<StepContext, ActivationRows, PlanNode['op']> = {
  embed({ table, out }, { plan, tokens, rows, tapped }) {
    const { cols: D } = table;
    const y = new Float32Array(tokens.length * D);
    for (let t = 0; t < tokens.length; t++) y.set(valuesOf(table).subarray(tokens[t] * D, (tokens[t] + 1) * D), t * D);
    if (rows && out === plan.nodes[0].out)
      rows[0].at.forEach((t, i) => y.set(rows[0].values.subarray(i * D, i * D + D), t * D));
    return tapped(table.name, y, D);
  },
  input: (node, { plan, rows }) => rows![plan.nodes.indexOf(node)].values.slice(),
  linear({ w, x, norm, bias, add, out }, context) {
    const { plan, tapped } = context;
    const y = multiply(w, normed(x, norm, context), bias);
    if (w.segments.length > 1) tapSegments(w, y, tapped);
    else tapped(out === plan.outputs[0] ? 'lm_head' : w.name, y, w.rows); // a tied head has the name of the table
    return plusResidual(y, add, out, context);
  },
  normAdd: ({ x, norm, add, out }, context) => plusResidual(normed(x, norm, context), add, out, context),
  layerNorm: ({ x, weight, bias, eps }, { acts, tapped }) =>
    tapped(weight.name, layerNorm(acts.get(x)!, x.cols, valuesOf(weight), eps, bias && valuesOf(bias)), x.cols),
  activate: ({ x, act, add, out }, context) =>
    plusResidual(context.acts.get(x)!.map(ACTIVATIONS[act]), add, out, context),
  swiglu({ w1, w3, x, norm }, context) {
    const input = normed(x, norm, context);
    const gate = context.tapped(w1.name, multiply(w1, input), w1.rows);
    return swiglu(gate, context.tapped(w3.name, multiply(w3, input), w3.rows));
  },
  selectExperts: ({ scores, bias, ...options }, { acts }) =>
    selectExperts(acts.get(scores)!, scores.cols, { ...options, bias: bias && valuesOf(bias) }),
  expertsSwiglu({ w1, w3, x, chosen, norm, out }, { acts }) {
    const [input, top] = [acts.get(x)!, chosen.cols / 2];
    const rows = rmsNorm(input, x.cols, valuesOf(norm.weight), norm.eps);
    const y = new Float32Array((rows.length / x.cols) * out.cols);
    for (let t = 0; t * x.cols < rows.length; t++)
      chosenExperts(acts.get(chosen)!, top, t).forEach(([e], j) => {
        const of = (w: Matrix): ActivationRows => expertLinear(w, e, rows.subarray(t * x.cols, (t + 1) * x.cols));
        y.set(swiglu(of(w1), of(w3)), t * out.cols + (j * out.cols) / top);
      });
    return y;
  },
  expertsLinear(node, context) {
    const { w, x, chosen, out: { cols: D } } = node; // prettier-ignore
    const [input, top] = [context.acts.get(x)!, chosen.cols / 2];
    const y = new Float32Array((input.length / x.cols) * D);
    for (let t = 0; t * x.cols < input.length; t++) {
      const sums = new Float64Array(D);
      chosenExperts(context.acts.get(chosen)!, top, t).forEach(([e, g], j) =>
        expertLinear(w, e, input.subarray(t * x.cols + j * w.cols, t * x.cols + (j + 1) * w.cols)).forEach(
          (v, n) => (sums[n] += g * v),
        ),
      );
      y.set(sums, t * D);
    }
    return plusResidual(y, node.add, node.out, context);
  },
  shortConv({ bcx, taps, bias, state: { layer, channels, length } }, { acts, columns }) {
    const past = ofLayer(columns, layer, () => []);
    const convolution = { D: channels, taps: valuesOf(taps), L: length, bias: bias && valuesOf(bias), gated: true };
    return shortConv(acts.get(bcx)!, convolution, past);
  },
  convolve({ x, taps, bias, state, gated, causal, out: { cols: D } }, { acts, columns, bounds }) {
    const past = state && ofLayer(columns, state.layer, () => []);
    const L = taps.length / D;
    const convolution = { D, taps: valuesOf(taps), L, bias: bias && valuesOf(bias), gated, causal };
    return shortConv(acts.get(x)!, convolution, past, bounds);
  },
  attend: attendCached,
  attendInterleaved: attendCached,
  attendWithin: (node, { acts, bounds }) => attendWithin(acts.get(node.qkv)!, bounds!, attentionConfig(node)),
  last: ({ x }, { acts }) => acts.get(x)!.slice(-x.cols),
};

/** Keys, values and convolution columns by layer. */
interface ReferenceCaches {
  caches: Map<number, KeyValueCache>;
  columns: Map<number, number[][]>;
}

/** The first `length` positions of both. */
const cachesUpTo = ({ caches, columns }: ReferenceCaches, length: number): ReferenceCaches => ({
  caches: new Map([...caches].map(([layer, { k, v }]) => [layer, { k: k.slice(0, length), v: v.slice(0, length) }])),
  columns: new Map([...columns].map(([layer, past]) => [layer, past.slice(0, length)])),
});

function createProgram(plan: Plan, options: CompileOptions, reference: ReferenceOptions): Program {
  checkOps(plan, OPS, 'The reference');
  const limits = cursorLimits(plan, options, Infinity); // it keeps all columns
  const program: Program = {
    newState: async () =>
      createState({ plan, program, reference }, new StateCursor(limits), [], {
        caches: new Map(),
        columns: new Map(),
      }),
    internals: () => ({ plan }),
    dispose: () => undefined,
  };
  return program;
}

interface StateContext {
  plan: Plan;
  program: Program;
  reference: ReferenceOptions;
}

function createState(context: StateContext, cursor: StateCursor, history: number[], kept: ReferenceCaches): State {
  const { plan, program, reference: { onModuleOutput, onAttention } } = context; // prettier-ignore
  let outputs: ActivationRows[] = [];
  const tapped: TapModule = (name, y, cols) => (onModuleOutput?.(moduleName(name), y, cols), y);

  function step(tokens: ArrayLike<number>, given?: Pick<StepContext, 'bounds' | 'rows'>): void {
    const acts = new Map<PlanActivation, ActivationRows>();
    for (const node of plan.nodes)
      acts.set(node.out, lowerNode(OPS, node, { plan, tokens, ...given, acts, ...kept, tapped, onAttention }));
    outputs = plan.outputs.map((output) => acts.get(output)!);
  }

  return {
    program,
    get position() {
      return cursor.position;
    },
    get bytes() {
      return (
        8 *
        [...kept.caches.values()].reduce((sum, { k, v }) => sum + [...k, ...v].reduce((n, row) => n + row.length, 0), 0)
      );
    },
    async prefill(tokens, given) {
      step(tokens, { bounds: cursor.checkPrefill(tokens, given), rows: given?.rows });
      history.splice(cursor.position, Infinity, ...tokens);
      cursor.prefilled(tokens.length);
    },
    async decode(steps, sampling) {
      cursor.checkDecode(steps, sampling);
      const drawn: number[] = [];
      for (let i = 0; i < steps; i++) {
        const reads = cursor.pending ? 1 : 0;
        if (reads) step(history.slice(cursor.position));
        cursor.decoded(1, reads);
        history.splice(cursor.position, Infinity);
        drawn.push(sampleToken(outputs[0].slice(), sampling, history, cursor.promptLength, cursor.position));
        history.push(drawn[i]);
      }
      return Uint32Array.from(drawn);
    },
    mark: () => void cursor.mark(),
    rewindTarget: (position) => cursor.rewindTarget(position),
    rewind(position) {
      if (cursor.rewindTarget(position) !== position) return false;
      cursor.rewound(position);
      history = history.slice(0, position);
      kept = cachesUpTo(kept, position);
      return true;
    },
    fork: async () =>
      createState(context, cursor.copy(), history.slice(0, cursor.position), cachesUpTo(kept, cursor.position)),
    async logits(output = 0) {
      cursor.checkLogits();
      return outputs[output].slice();
    },
    async logprobs(chosen, n) {
      return logprobs(await this.logits(), chosen, n);
    },
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
