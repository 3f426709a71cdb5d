/**
 * Sampling on the GPU, as src/backend/sampling.ts defines it: buffers, prepared dispatches, and parameters that are
 * written when they change.
 */
import { fail } from '../../errors';
import type { SamplingParams } from '../sampling';
import type { BufferGroup } from './buffer_group';
import {
  reductionLibrary,
  type DispatchContext,
  type BufferRegion,
  type Dispatch,
  type ShaderLibrary,
} from './dispatch';
import { uniformLayout } from './shader';

/** The dispatches of a draw, which is greedy or sampled, and the one that marks the prompt before the first draw. */
export interface DrawDispatches {
  greedy: Dispatch[];
  sampled: Dispatch[];
  marker: Dispatch[];
}

export interface GpuTokenSampler {
  /** @throws RequestError if the mask has the wrong length */
  check(sampling: SamplingParams): void;
  /** writes these parameters, which apply to later submits */
  write(sampling: SamplingParams): void;
  /**
   * @param tokens of the state, as DispatchContext.tokens
   * @param counts of the state, u32 [V]: how often each token was drawn, and whether it occurs at all
   */
  dispatches(tokens: BufferRegion, counts: BufferRegion): DrawDispatches;
}

/** bins of the histogram of softmax_histogram.wgsl, and tokens per workgroup of process_logits.wgsl */
const BINS = 1024;
const TOKENS_PER_WORKGROUP = 1024;
const SAMPLING = uniformLayout('lib/sampling#Sampling');

/**
 * @param lookup embeds the drawn token for the next step
 * @param take allocates a buffer that lives as long as the program
 */
export async function createGpuTokenSampler(
  gpu: Pick<DispatchContext, 'device' | 'features' | 'step'>,
  logits: BufferRegion,
  V: number,
  lookup: ShaderLibrary,
  take: BufferGroup['take'],
): Promise<GpuTokenSampler> {
  const { queue } = gpu.device;
  const scratch: SamplerScratch = {
    params: await take('sampling', SAMPLING.bytes, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST),
    bias: await take('bias', 4 * V),
    mask: await take('mask', 4 * Math.ceil(V / 32)),
    scores: await take('scores', 4 * V),
    best: await take('best', 8 * Math.ceil(V / TOKENS_PER_WORKGROUP)),
    bins: await take('bins', 12 * BINS),
  };
  const { params, bias, mask } = scratch;
  let written = '';
  let biasWritten: SamplingParams['bias'];

  return {
    check({ mask }) {
      if (mask && mask.length !== Math.ceil(V / 32))
        fail('RequestError', {
          what: 'The token mask has the wrong length',
          got: mask.length,
          wanted: Math.ceil(V / 32),
        });
    },

    write(s) {
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
    },

    dispatches: (tokens, counts) => drawDispatches(gpu, { ...scratch, logits, tokens, counts }, V, lookup),
  };
}

type SamplerScratch = Record<'params' | 'bias' | 'mask' | 'scores' | 'best' | 'bins', BufferRegion>;

function drawDispatches(
  { features, step }: Pick<DispatchContext, 'features' | 'step'>,
  buffers: SamplerScratch & Record<'logits' | 'tokens' | 'counts', BufferRegion>,
  V: number,
  lookup: ShaderLibrary,
): DrawDispatches {
  const { params: sampling, bias, mask, scores, best, bins, logits, tokens, counts } = buffers;
  const reduction = reductionLibrary(features);
  const workgroups = Math.ceil(V / TOKENS_PER_WORKGROUP);
  const advanceStep = ['lib/step#Step', 'lib/advance_step'];
  const processLogits = (sampled: boolean): Dispatch => ({
    label: `process_logits${sampled ? '.sampled' : ''}`,
    sources: [reduction, 'lib/sampling', 'process_logits'],
    constants: { V, sampled: sampled ? 1 : 0, group_size: 256 },
    bindings: { logits, counts, bias, mask, scores, best, bins, sampling },
    grid: [workgroups, 1, 1],
  });
  const choose = (kernel: string, bindings: Dispatch['bindings']): Dispatch => ({
    label: kernel,
    sources: [reduction, 'lib/sampling', ...advanceStep, ...lookup.sources, kernel],
    constants: { V, group_size: 256, ...lookup.constants },
    bindings: { ...bindings, sampling, counts, tokens, step, ...lookup.bindings },
    grid: [1, 1, 1],
  });
  return {
    greedy: [processLogits(false), choose('argmax', { best })],
    sampled: [
      processLogits(true),
      {
        label: 'softmax_histogram',
        sources: [reduction, 'lib/sampling', 'softmax_histogram'],
        constants: { V, group_size: 256 },
        bindings: { scores, best, bins, sampling },
        grid: [workgroups, 1, 1],
      },
      choose('sample', { weights: scores, bins }),
    ],
    marker: [
      {
        label: 'mark_prompt',
        sources: ['lib/step', 'mark_prompt'],
        constants: { V },
        bindings: { tokens, counts, step },
        grid: [1, 1, 1],
      },
    ],
  };
}
