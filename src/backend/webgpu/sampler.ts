/** The choice of a token on the GPU (src/backend/sampling.ts is its definition): buffers, prepared dispatches, settings written when they change. */
import { fail } from '../../errors';
import type { Sampling } from '../sampling';
import type { OpenedDevice, PreparedStep } from './device';
import { sumLibrary, whole, type Gpu, type Region, type Step } from './gpu';

export interface Sampler {
  /** the dispatches of a draw under these settings; the settings hold for what is submitted from now on */
  use(sampling: Sampling): PreparedStep[];
  /** before the first draw after a prefill: all tokens read so far become prompt */
  markPrompt(encoder: GPUCommandEncoder, tokens: number): void;
  steps(): { greedy: Step[]; sampled: Step[] };
}

const BINS = 1024;

/**
 * @param next what looks the chosen token up
 * @param take a buffer that lives as long as the runner
 */
export async function createSampler(
  opened: OpenedDevice,
  gpu: Gpu,
  logits: Region,
  V: number,
  next: Pick<Step, 'sources' | 'constants' | 'bindings'>,
  take: (label: string, bytes: number, usage?: GPUBufferUsageFlags) => Promise<GPUBuffer>,
): Promise<Sampler> {
  const { queue } = gpu.device;
  const blocks = Math.ceil(V / 1024);
  const settings = whole(await take('sampling', 48, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST));
  const counts = whole(await take('counts', 4 * V));
  const bias = whole(await take('bias', 4 * V));
  const mask = whole(await take('mask', 4 * Math.ceil(V / 32)));
  const scores = whole(await take('scores', 4 * V));
  const best = whole(await take('best', 8 * blocks));
  const bins = whole(await take('bins', 12 * BINS));
  const { step, tokens } = gpu;

  const sum = sumLibrary(gpu.features);
  const score = (sampled: boolean): Step => ({
    label: `score${sampled ? '.sampled' : ''}`,
    sources: [sum, 'lib/sampling', 'score'],
    constants: { V, sampled: sampled ? 1 : 0, group_size: 256 },
    bindings: { logits, counts, bias, mask, scores, best, bins, sampling: settings },
    grid: [blocks, 1, 1],
  });
  const steps = (): { greedy: Step[]; sampled: Step[] } => ({
    greedy: [
      score(false),
      {
        label: 'pick',
        sources: [sum, 'lib/sampling', 'lib/advance', ...next.sources, 'pick'],
        constants: { V, group_size: 256, ...next.constants },
        bindings: { best, sampling: settings, counts, tokens, step, ...next.bindings },
        grid: [1, 1, 1],
      },
    ],
    sampled: [
      score(true),
      {
        label: 'weigh',
        sources: [sum, 'lib/sampling', 'weigh'],
        constants: { V, group_size: 256 },
        bindings: { scores, best, bins, sampling: settings },
        grid: [blocks, 1, 1],
      },
      {
        label: 'choose',
        sources: [sum, 'lib/sampling', 'lib/advance', ...next.sources, 'choose'],
        constants: { V, group_size: 256, ...next.constants },
        bindings: { weights: scores, bins, sampling: settings, counts, tokens, step, ...next.bindings },
        grid: [1, 1, 1],
      },
    ],
  });
  const mark: Step = { label: 'mark_prompt', sources: ['lib/step', 'mark_prompt'], constants: { V }, bindings: { tokens, counts, step }, grid: [1, 1, 1] };

  const [greedy, sampled, [marking]] = await Promise.all([opened.prepare(steps().greedy), opened.prepare(steps().sampled), opened.prepare([mark])]);

  const words = new ArrayBuffer(48);
  const f32 = new Float32Array(words);
  const u32 = new Uint32Array(words);
  let written = '';
  let biasWritten: Sampling['bias'];

  function use(s: Sampling): PreparedStep[] {
    if (s.mask && s.mask.length !== Math.ceil(V / 32)) fail('RequestError', { what: 'The token mask has a wrong length', got: s.mask.length, wanted: Math.ceil(V / 32) });
    const penalises = s.repetitionPenalty !== 1 || s.frequencyPenalty !== 0 || s.presencePenalty !== 0;
    const biased = !!s.bias?.size;
    f32.set([s.temperature, 0, s.topP, Math.min(s.minP, 1), s.repetitionPenalty, s.frequencyPenalty, s.presencePenalty]);
    u32[1] = s.topK;
    u32.set([s.seed >>> 0, penalises ? 1 : 0, biased ? 1 : 0, s.mask ? 1 : 0, 0], 7);
    const now = u32.join();
    if (now !== written) {
      queue.writeBuffer(settings.buffer, 0, words);
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
    pass.setPipeline(marking.pipeline);
    pass.setBindGroup(0, marking.bindGroup);
    pass.dispatchWorkgroups(Math.ceil(count / 64));
    pass.end();
  }

  return { use, markPrompt, steps };
}
