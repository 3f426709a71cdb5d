/**
 * The self test: a small model with made-up weights of the formats in use goes through the very kernels that the real one will use (matmul,
 * the small matvec, one token with few and with many rows and columns, both attentions, the ring, the draws), and a plan without weights to
 * speak of through those that long prompts take (attention over several tiles and spans, a chunk that fills the ring). Their results are held
 * against those of the reference (golden.ts), log probabilities against the device's own logits. What is wrong on a device, or does not compile
 * there, is given up for something simpler: the device's conversion of halves, subgroups, halves in the cache, then WebGPU.
 */
import { fail } from '../../errors';
import type { Matrix, Norm, Ops, Vector } from '../../model/ops';
import { DTYPES, type Dtype } from '../../tensor/dtype';
import type { Backend, CompileOptions, Runner } from '../backend';
import { record, type Plan } from '../plan';
import { GREEDY, logprobs } from '../sampling';
import { noise, write } from '../synthetic';
import { compileAhead } from './ahead';
import type { OpenedDevice } from './device';
import { GOLDEN } from './golden';
import { whole, type GpuVector } from './gpu';
import { matrixWriter, releaseMatrix, type GpuMatrix } from './repack';
import { createRunner } from './runner';
import { keep, recall } from './verdicts';

/** What the kernels of a device may use. */
export interface Variant {
  subgroups: boolean;
  /** KV cache in f16 */
  halves: boolean;
  /** halves of weights are taken apart by integers: the device flushes subnormal ones */
  integerHalves?: boolean;
}

export const variantName = ({ subgroups, halves, integerHalves }: Variant): string =>
  `${subgroups ? 'subgroups' : 'workgroup memory'}, cache ${halves ? 'f16' : 'f32'}${integerHalves ? ', halves by integers' : ''}`;

/** A format, or long prompts. */
export type Subject = Dtype | 'long';

/** Two projections of the logits over their length after each prompt, and the tokens then drawn. */
export interface Fingerprint {
  projections: number[];
  drawn: number[];
}

/** Tokens read one after the other, by kind of kernel: */
const PROMPTS = [
  { tokens: 11, as: 'a chunk' },
  { tokens: 3, as: 'a few tokens' },
  { tokens: 1, as: 'one token' },
];
/** two whole chunks, whose ends the convolution of the next piece needs */
const LONG_PROMPTS = [
  { tokens: 514, as: 'a long prompt' },
  { tokens: 1, as: 'one token over several spans' },
];
const promptsOf = (subject: Subject): typeof PROMPTS => (subject === 'long' ? LONG_PROMPTS : PROMPTS);
export const sizesOf = (subject: Subject): CompileOptions => (subject === 'long' ? { contextLength: 640, chunk: 256 } : { contextLength: 64, chunk: 16 });

type Weights = Pick<Backend, 'matrix' | 'vector'>;

/** So many rows that the draw has several parts; so many columns of w2 that an invocation takes one unit and more. */
const [V, D, F, H, K, d, L] = [4096, 256, 1280, 4, 2, 64, 3];

/** A conv layer, an attention layer and a head, whole or odd as LFM2 has them; or attention and a convolution for long prompts. */
export async function probePlan(weights: Weights, subject: Subject): Promise<Plan> {
  const dtype = subject === 'long' ? 'F32' : subject;
  const matrix = (name: string, rows: number, cols = D): Promise<Matrix> => write(weights, { name, rows, cols, segments: [{ name, rows, dtype }] });
  const vector = (name: string, length: number, least = 0.5): Vector => {
    const next = noise(name);
    return weights.vector(name, Float32Array.from({ length }, () => least + next() / 2 ** 32));
  };
  const norm = (name: string, length = D): Norm => ({ weight: vector(name, length), eps: 1e-5 });
  if (subject === 'long') {
    const [heads, channels] = [3, d]; // of one kv head
    const table = await matrix('table', 67, (heads + 2) * d);
    const norms = [norm('q_norm', d), norm('k_norm', d)];
    const kernel = vector('long_taps', channels * L);
    const build = (op: Ops) => {
      const attended = op.attend(op.embed(table), { kind: 'kv', layer: 0, kvHeads: 1, headDim: d }, { qNorm: norms[0], kNorm: norms[1], heads, ropeTheta: 1e6 });
      return op.shortConv(attended, kernel, { kind: 'conv', layer: 1, channels, length: L }); // of all tokens: no draws, and nothing compiled for them
    };
    return record(build);
  }
  const embed = await matrix('vocabulary', V);
  const inProj = await matrix('bcx', 3 * D);
  // two formats, as many checkpoints have them here: a dispatch over two parts
  const segments = [{ name: 'qk', rows: (H + K) * d, dtype }, { name: 'v', rows: K * d, dtype: dtype === 'F32' ? ('BF16' as const) : ('F32' as const) }]; // prettier-ignore
  const qkv = await write(weights, { name: 'qkv', rows: (H + 2 * K) * d, cols: D, segments });
  const [convOut, attentionOut] = [await matrix('conv_out', D), await matrix('attention_out', H * d)];
  const [w1, w2, w3] = [await matrix('w1', F), await matrix('w2', D, F), await matrix('w3', F)];
  const norms = { conv: norm('conv_norm'), attention: norm('attention_norm'), ffn: norm('ffn_norm'), final: norm('final_norm'), q: norm('q_norm', d), k: norm('k_norm', d) };
  const taps = vector('taps', D * L, -0.5); // B · x · C is large enough

  const build = (op: Ops) => {
    let x = op.embed(embed);
    const y = op.shortConv(op.linear(inProj, x, { norm: norms.conv }), taps, { kind: 'conv', layer: 0, channels: D, length: L });
    x = op.linear(convOut, y, { add: x });
    const bundle = op.linear(qkv, x, { norm: norms.attention });
    const attended = op.attend(bundle, { kind: 'kv', layer: 1, kvHeads: K, headDim: d }, { qNorm: norms.q, kNorm: norms.k, heads: H, ropeTheta: 1e6 });
    x = op.linear(attentionOut, attended, { add: x });
    x = op.linear(w2, op.swiglu(w1, w3, x, { norm: norms.ffn }), { add: x });
    return op.linear(embed, op.last(x), { norm: norms.final });
  };
  return record(build);
}

export async function fingerprint(runner: Runner, subject: Subject): Promise<Fingerprint> {
  const next = noise('prompt');
  const projections: number[] = [];
  for (const { tokens: T } of promptsOf(subject)) {
    await runner.prefill(Uint32Array.from({ length: T }, () => next() % (subject === 'long' ? 67 : V)));
    const logits = (await runner.logits()).slice(subject === 'long' ? -d : 0); // of the last token
    const size = Math.sqrt(logits.reduce((sum, v) => sum + v * v, 0));
    const sign = noise(`projection ${T}`);
    for (let i = 0; i < 2; i++) projections.push(logits.reduce((sum, v) => sum + (v * (sign() - 2 ** 31)) / 2 ** 31, 0) / size);
  }
  if (subject === 'long') return { projections, drawn: [] };
  const sampled = { ...GREEDY, temperature: 0.8, topK: 20, topP: 0.9, minP: 0.02, repetitionPenalty: 1.1, seed: 7 };
  const wide = { ...GREEDY, temperature: 1, bias: new Map([[2222, 1000]]) }; // nothing is listed, and there is no doubt about which
  return { projections, drawn: [...(await runner.decode(4, GREEDY)), ...(await runner.decode(4, sampled)), ...(await runner.decode(1, wide))] };
}

/** What is wrong with what is told of the token drawn last. */
async function untold(runner: Runner, chosen: number): Promise<string | undefined> {
  const [got, wanted] = [await runner.logprobs(chosen, 20), logprobs(await runner.logits(), chosen, 20)].map((told) => [told, ...told.top]);
  const off = wanted.findIndex(({ id, logprob }, i) => got[i].id !== id || !(Math.abs(got[i].logprob - logprob) <= 1e-3));
  return off < 0 ? undefined : `log probabilities: got ${got[off].logprob} of ${got[off].id}, wanted ${wanted[off].logprob} of ${wanted[off].id}`;
}

/** The first thing that is wrong; undefined when all is right. */
async function wrongWith(opened: OpenedDevice, subject: Subject, halves: boolean): Promise<string | undefined> {
  const buffers: GPUBuffer[] = [];
  const held: Matrix[] = [];
  let runner: Runner | undefined;
  try {
    const plan = await probePlan(
      {
        matrix(spec) {
          const { write, finish } = matrixWriter(opened, spec);
          const keep = async (): Promise<Matrix> => {
            const matrix = await finish();
            held.push(matrix);
            return matrix;
          };
          return { write, finish: keep };
        },
        vector(name, values) {
          const { buffer } = opened.create(name, values.byteLength);
          buffers.push(buffer);
          opened.device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
          return { name, length: values.length, region: whole(buffer) } as GpuVector;
        },
      },
      subject,
    );
    // all at once, where drivers compile on several threads; what fails here fails again below
    compileAhead(opened, plan, sizesOf(subject), halves).catch(() => undefined);
    runner = await createRunner(opened, plan, sizesOf(subject), halves);
    const got = await fingerprint(runner, subject);
    const wanted = GOLDEN[subject];
    const tolerance = halves ? 2e-2 : 2e-3;
    const off = wanted.projections.findIndex((w, i) => !(Math.abs(got.projections[i] - w) <= tolerance));
    if (off >= 0) return `${promptsOf(subject)[off >> 1].as}, ${subject}: got ${got.projections[off]}, wanted ${wanted.projections[off]}`;
    if (got.drawn.join() !== wanted.drawn.join()) return `draws over ${subject}: got ${got.drawn.join(' ')}, wanted ${wanted.drawn.join(' ')}`;
    return subject === 'long' ? undefined : await untold(runner, got.drawn.at(-1)!);
  } catch (error) {
    opened.check(); // a lost device is no wrong kernel, nor is too little memory
    if ((error as Error).name === 'MemoryError') throw error;
    return (error as Error).message;
  } finally {
    runner?.dispose();
    for (const matrix of held) releaseMatrix(opened, matrix as GpuMatrix);
    for (const buffer of buffers) opened.release(buffer);
  }
}

export interface Verdict {
  variant: Variant;
  /** why a better one was not taken */
  notes: string[];
  /** what was tested */
  subjects: Subject[];
}

/**
 * Finds the best variant that computes these formats rightly. The verdict is kept for this adapter, browser and build.
 * @throws DeviceError when none does; MemoryError
 */
export async function probe(opened: OpenedDevice, wish: Variant, dtypes: readonly Dtype[], remember: boolean): Promise<Verdict> {
  const known = remember ? await recall<Verdict>(opened, variantName(wish)) : undefined;
  const notes = known?.notes ?? [];
  const asked: Subject[] = [...dtypes, 'long'];
  let wanted = asked.filter((subject) => !known?.subjects.includes(subject));
  const all = [...new Set([...(known?.subjects ?? []), ...asked])];
  for (const variant of below(known?.variant ?? wish)) {
    Object.assign(opened.features, { subgroups: variant.subgroups, integerHalves: variant.integerHalves });
    let reason: string | undefined;
    for (const subject of wanted) reason ??= await wrongWith(opened, subject, variant.halves);
    if (!reason) {
      const verdict = { variant, notes, subjects: all };
      if (remember && wanted.length) await keep(opened, variantName(wish), verdict);
      return verdict;
    }
    notes.push(`WebGPU with ${variantName(variant)} failed its self test (${reason}).`);
    wanted = all; // what passed with the better variant has not been tried with the next
  }
  return fail('DeviceError', { what: 'This GPU computes wrongly', got: notes.join(' '), cure: 'The WASM backend is taken instead, unless WebGPU was asked for.' });
}

/** A variant and what is simpler, in the order in which it is tried. */
function below(variant: Variant): Variant[] {
  const ladder = [variant];
  if (!variant.integerHalves) ladder.push({ ...variant, integerHalves: true });
  if (variant.subgroups) ladder.push({ ...variant, subgroups: false });
  if (variant.halves) ladder.push({ subgroups: false, halves: false, integerHalves: true });
  return ladder;
}

/** The formats of a plan's matrices. */
export function dtypesOf(plan: Plan): Dtype[] {
  const matrices = plan.nodes.flatMap((node) => (node.op === 'embed' ? [node.table] : node.op === 'linear' ? [node.w] : node.op === 'swiglu' ? [node.w1, node.w3] : []));
  const found = new Set(matrices.flatMap(({ segments }) => segments.map(({ dtype }) => dtype)));
  return (Object.keys(DTYPES) as Dtype[]).filter((dtype) => found.has(dtype));
}
