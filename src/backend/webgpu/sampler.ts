/**
 * Sampling on the GPU, as src/backend/sampling.ts defines it: buffers, prepared dispatches, and parameters that are
 * written when they change.
 */
import { fail } from '../../errors';
import type { SamplingParams } from '../sampling';
import type { OpenedDevice, PreparedDispatch } from './device';
import {
  reductionLibrary,
  wholeBuffer,
  type DispatchContext,
  type BufferRegion,
  type Dispatch,
  type ShaderLibrary,
} from './dispatch';
import { uniformLayout } from './shader';

export interface GpuTokenSampler {
  /** writes these parameters, which apply to later submits, and returns the dispatches of a draw */
  drawDispatches(sampling: SamplingParams): PreparedDispatch[];
  /** marks all tokens read so far as prompt; before the first draw after a prefill */
  markPrompt(encoder: GPUCommandEncoder, tokens: number): void;
  dispatches(): { greedy: Dispatch[]; sampled: Dispatch[] };
}

/** bins of the histogram of softmax_histogram.wgsl, and tokens per workgroup of process_logits.wgsl */
const BINS = 1024;
const TOKENS_PER_WORKGROUP = 1024;
const SAMPLING = uniformLayout('lib/sampling#Sampling');

/**
 * @param lookup embeds the drawn token for the next step
 * @param take allocates a buffer that lives as long as the runner
 */
export async function createGpuTokenSampler(
  opened: OpenedDevice,
  gpu: DispatchContext,
  logits: BufferRegion,
  V: number,
  lookup: ShaderLibrary,
  take: (label: string, bytes: number, usage?: GPUBufferUsageFlags) => Promise<GPUBuffer>,
): Promise<GpuTokenSampler> {
  const { queue } = gpu.device;
  const workgroups = Math.ceil(V / TOKENS_PER_WORKGROUP);
  const params = wholeBuffer(await take('sampling', SAMPLING.bytes, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST));
  const counts = wholeBuffer(await take('counts', 4 * V));
  const bias = wholeBuffer(await take('bias', 4 * V));
  const mask = wholeBuffer(await take('mask', 4 * Math.ceil(V / 32)));
  const scores = wholeBuffer(await take('scores', 4 * V));
  const best = wholeBuffer(await take('best', 8 * workgroups));
  const bins = wholeBuffer(await take('bins', 12 * BINS));
  const { step, tokens } = gpu;

  const reduction = reductionLibrary(gpu.features);
  const advanceStep = ['lib/step#Step', 'lib/advance_step'];
  const processLogits = (sampled: boolean): Dispatch => ({
    label: `process_logits${sampled ? '.sampled' : ''}`,
    sources: [reduction, 'lib/sampling', 'process_logits'],
    constants: { V, sampled: sampled ? 1 : 0, group_size: 256 },
    bindings: { logits, counts, bias, mask, scores, best, bins, sampling: params },
    grid: [workgroups, 1, 1],
  });
  const dispatches = (): { greedy: Dispatch[]; sampled: Dispatch[] } => ({
    greedy: [
      processLogits(false),
      {
        label: 'argmax',
        sources: [reduction, 'lib/sampling', ...advanceStep, ...lookup.sources, 'argmax'],
        constants: { V, group_size: 256, ...lookup.constants },
        bindings: { best, sampling: params, counts, tokens, step, ...lookup.bindings },
        grid: [1, 1, 1],
      },
    ],
    sampled: [
      processLogits(true),
      {
        label: 'softmax_histogram',
        sources: [reduction, 'lib/sampling', 'softmax_histogram'],
        constants: { V, group_size: 256 },
        bindings: { scores, best, bins, sampling: params },
        grid: [workgroups, 1, 1],
      },
      {
        label: 'sample',
        sources: [reduction, 'lib/sampling', ...advanceStep, ...lookup.sources, 'sample'],
        constants: { V, group_size: 256, ...lookup.constants },
        bindings: { weights: scores, bins, sampling: params, counts, tokens, step, ...lookup.bindings },
        grid: [1, 1, 1],
      },
    ],
  });
  const markPromptDispatch: Dispatch = {
    label: 'mark_prompt',
    sources: ['lib/step', 'mark_prompt'],
    constants: { V },
    bindings: { tokens, counts, step },
    grid: [1, 1, 1],
  };

  const [greedy, sampled, [marker]] = await Promise.all([
    opened.prepare(dispatches().greedy),
    opened.prepare(dispatches().sampled),
    opened.prepare([markPromptDispatch]),
  ]);

  let written = '';
  let biasWritten: SamplingParams['bias'];

  function drawDispatches(s: SamplingParams): PreparedDispatch[] {
    if (s.mask && s.mask.length !== Math.ceil(V / 32))
      fail('RequestError', {
        what: 'The token mask has the wrong length',
        got: s.mask.length,
        wanted: Math.ceil(V / 32),
      });
    const penalises = s.repetitionPenalty !== 1 || s.frequencyPenalty !== 0 || s.presencePenalty !== 0;
    const biased = !!s.bias?.size;
    const words = SAMPLING.pack({
      ...s,
      minP: Math.min(s.minP, 1),
      penalises: Number(penalises),
      bias: Number(biased),
      mask: s.mask ? 1 : 0,
    });
    const now = words.join();
    if (now !== written) {
      queue.writeBuffer(params.buffer, 0, words);
      written = now;
    }
    if (biased && s.bias !== biasWritten) {
      const dense = new Float32Array(V);
      for (const [v, b] of s.bias!) if (v >= 0 && v < V) dense[v] = b;
      queue.writeBuffer(bias.buffer, 0, dense);
      biasWritten = s.bias;
    }
    if (s.mask) queue.writeBuffer(mask.buffer, 0, s.mask as Uint32Array<ArrayBuffer>);
    return s.temperature === 0 ? greedy : sampled;
  }

  function markPrompt(encoder: GPUCommandEncoder, count: number): void {
    encoder.clearBuffer(counts.buffer);
    const pass = encoder.beginComputePass({ label: 'mark_prompt' });
    pass.setPipeline(marker.pipeline);
    pass.setBindGroup(0, marker.bindGroup);
    pass.dispatchWorkgroups(Math.ceil(count / 64));
    pass.end();
  }

  return { drawDispatches, markPrompt, dispatches };
}
