/**
 * What the WebGPU backend asks of the browser for a token: no objects, one submit a window, little time. It measures
 * time, so no other file runs beside it.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { ALL_FILTERS_SAMPLING, GREEDY_SAMPLING } from '../src/backend/sampling';
import type { Dtype } from '../src/tensor/dtype';
import { engines, type Call } from './gpu';

/** of decoding, where calls are counted */
const [WINDOWS, STEPS] = [5, 16];

for (const { name, options, tags, open } of engines().filter(({ sums }) => !sums))
  describe(name, { tags }, () => {
    let call: Call;
    beforeAll(async () => void (call = await open()));

    it.each([
      { what: 'greedy', dispatches: 73, sampling: GREEDY_SAMPLING, prompt: 20 },
      { what: 'sampled', dispatches: 74, sampling: ALL_FILTERS_SAMPLING, prompt: 20 },
      {
        what: 'sampled, value rows of another format',
        dispatches: 74,
        sampling: ALL_FILTERS_SAMPLING,
        prompt: 20,
        value: 'Q8_0' as Dtype,
      },
      {
        what: 'sampled, several spans, value rows of another format',
        dispatches: 80,
        sampling: ALL_FILTERS_SAMPLING,
        prompt: 520,
        value: 'Q8_0' as Dtype,
      },
      {
        what: 'greedy, several short spans',
        dispatches: 79,
        sampling: GREEDY_SAMPLING,
        prompt: 200,
        tuning: { span: 128 as const },
      },
    ])(
      'creates nothing for a token, and submits once a window: $what',
      async ({ what, dispatches, sampling, prompt, tuning, value = 'Q4_0' as Dtype }) => {
        const { counts, jsPerToken, described } = await call('counts', sampling, WINDOWS, STEPS, prompt, value, {
          ...options,
          tuning,
        });
        expect(counts).toMatchObject({
          createBindGroup: 0,
          createBuffer: 0,
          createComputePipeline: 0,
          createComputePipelineAsync: 0,
          createShaderModule: 0,
        });
        expect([counts.submit, counts.beginComputePass]).toEqual([WINDOWS, WINDOWS]);
        expect(counts.writeBuffer).toBe(0);
        expect(counts.dispatchWorkgroups / (WINDOWS * STEPS), described).toBe(dispatches);
        expect(jsPerToken).toBeLessThan(0.2);
        console.error(`${name}, ${what}: ${jsPerToken.toFixed(3)} ms of JavaScript a token`);
      },
    );
  });
