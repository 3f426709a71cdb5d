/**
 * The WebGPU backend's own promises, in Chromium's software adapter and in Firefox: what it creates per token, draws,
 * long attention, going back.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { bundledWgsl } from '../shaders/plugin';
import type { Dtype } from '../src/tensor/dtype';
import { engines, type Call } from './gpu';
import type { Draw } from './pages/gpu';

/** the shortest and the longest: that of 256 is in the conformance table */
const SPANS = [128, 512] as const;

const WRONG_SUM: [string, string] = [bundledWgsl('subgroupAdd(value)'), bundledWgsl('value')];
const REDUCE_NAMES = {
  group_sum: bundledWgsl('group_sum'),
  group_max: bundledWgsl('group_max'),
  group_sum4: bundledWgsl('group_sum4'),
  group_max4: bundledWgsl('group_max4'),
  value: bundledWgsl('value'),
  values: bundledWgsl('values'),
  lid: bundledWgsl('lid'),
};

/** Reproducible settings of every kind, alone and mixed. */
function randomDraws(n: number, prompts: number, V: number, windows: number[], masked: boolean): Draw[] {
  let state = V;
  const next = (below: number): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
  const one = <T>(values: T[]): T => values[(next(1 << 16) >> 4) % values.length];
  return Array.from({ length: n }, () => ({
    prompt: Array.from({ length: 1 + ((next(1 << 16) >> 4) % 9) }, () => (next(1 << 24) >> 4) % prompts),
    windows,
    sampling: {
      temperature: one([0, 0.1, 0.3, 0.7, 1, 1.6]),
      topK: one([0, 0, 1, 3, 40, 400]),
      topP: one([1, 1, 0.95, 0.5, 0.1]),
      minP: one([0, 0, 0.05, 0.15]),
      repetitionPenalty: one([1, 1, 1.05, 1.5]),
      frequencyPenalty: one([0, 0, 0.2]),
      presencePenalty: one([0, 0, 0.5]),
      seed: next(2 ** 31),
      bias: one([false, false, true])
        ? Array.from({ length: 5 }, () => [(next(1 << 24) >> 4) % V, one([-3, 2, 6])])
        : undefined,
      mask: masked && one([false, true]) ? Array.from({ length: Math.ceil(V / 32) }, () => next(2 ** 31)) : undefined,
    },
  }));
}

for (const { name, options, sums, compilesFast, tags, open } of engines())
  describe(name, { tags }, () => {
    let call: Call;
    beforeAll(async () => void (call = await open()));

    it.each([
      { V: 509, rows: 509, ties: false, windows: [1, 3, 5, 4], masked: false, n: 40 },
      { V: 509, rows: 509, ties: true, windows: [2, 6], masked: false, n: 30 },
      { V: 1030, rows: 8, ties: true, windows: [1], masked: true, n: 40 },
      { V: 65536, rows: 8, ties: false, windows: [1], masked: true, n: 40 },
    ])(
      'draws like the definition: V $V, ties $ties, windows $windows',
      async ({ V, rows, ties, windows, masked, n }) => {
        const draws = randomDraws(n, rows, V, windows, masked);
        const [got, wanted] = await call('draws', rows, V, ties, draws, options);
        draws.forEach((draw, i) =>
          expect({ ...draw, mask: undefined, chosen: got[i] }).toEqual({ ...draw, mask: undefined, chosen: wanted[i] }),
        );
      },
    );

    it.each([
      { kind: 'plain', V: 509 },
      { kind: 'plain', V: 65536 },
      { kind: 'ties', V: 1030 },
      { kind: 'ties', V: 65537 },
      { kind: 'ties', V: 7 },
      { kind: 'extremes', V: 771 },
    ] as const)(
      'tells log probabilities like the definition, and reads back no more than that: $kind, V $V',
      async ({ kind, V }) => {
        const asked = [0, 1, 2].flatMap((token) =>
          [0, 1, 20].map((n) => ({ token, chosen: (37 * token + 5 * n) % V, n })),
        );
        for (const [i, { got, wanted, off, copied }] of (await call('ranked', kind, V, asked, options)).entries()) {
          expect({ ...asked[i], ids: got }).toEqual({ ...asked[i], ids: wanted });
          expect(off, `n ${asked[i].n} after ${asked[i].token}`).toBeLessThan(1e-5);
          expect(copied).toBe(8 * (Math.min(asked[i].n, V) + 2));
        }
      },
    );

    const spoilers: { what: string; pattern: string; by: string; variant: RegExp; notes: number; dtype?: Dtype }[] = [
      { what: 'nothing', pattern: '', by: '', variant: /^(subgroups|workgroup memory), cache f16$/, notes: 0 },
      {
        what: 'subgroup sums, wrong',
        pattern: 'subgroupAdd(value)',
        by: 'value',
        variant: /^workgroup memory, cache f16$/,
        notes: 1,
      },
      {
        what: 'subgroup sums, not compiling',
        pattern: 'subgroupAdd(value)',
        by: 'subgroupAdd(',
        variant: /^workgroup memory, cache f16$/,
        notes: 1,
      },
      {
        what: 'subnormal halves, flushed',
        pattern: 'unpack2x16float(bits)',
        by: 'unpack2x16float(select(bits, 0u, (bits & 0x7c00u) == 0u))',
        variant: /, cache f16, halves by integers$/,
        notes: 1,
        dtype: 'Q6_K' as const,
      },
      {
        what: 'halves, wrong',
        pattern: 'pack2x16float(a.zw)',
        by: 'pack2x16float(a.xy)',
        variant: /^workgroup memory, cache f32, halves by integers$/,
        notes: 1,
      },
      // halves are taken apart in the same way everywhere: once is enough; the ladder from subgroups down goes through
      // the variant without them
    ].filter(({ pattern, dtype }) =>
      dtype ? sums : !pattern || (pattern.startsWith('subgroup') ? options.subgroups : compilesFast),
    );
    it.each(spoilers)(
      'tests itself and steps down, spoilt: $what',
      async ({ pattern, by, variant, notes, dtype = 'Q4_0' }) => {
        const found = await call('spoilt', bundledWgsl(pattern), bundledWgsl(by), dtype, options);
        expect(found).toMatchObject({ variant: expect.stringMatching(variant) });
        if ('notes' in found)
          expect(found.notes.filter((note) => note.includes('failed its self test')).length).toBeGreaterThanOrEqual(
            notes,
          );
        if ('ms' in found)
          console.error(`${name}: self test and compilation, ${found.variant}: ${found.ms.toFixed(0)} ms`);
      },
    );

    if (sums) return;

    it('attends to one token over one span, several, and their borders', async () => {
      const positions = [0, 1, 126, 127, 128, 510, 511, 512, 1024, 1100];
      for (const span of SPANS) {
        for (const [i, error] of (
          await call('attention', positions, { ...options, f16: false, tuning: { span } })
        ).entries())
          expect(error, `f32 cache, spans of ${span}, position ${positions[i]}`).toBeLessThan(2e-5);
        for (const [i, error] of (await call('attention', positions, { ...options, tuning: { span } })).entries())
          expect(error, `f16 cache, spans of ${span}, position ${positions[i]}`).toBeLessThan(5e-3);
      }
    });

    it('attends by longer spans than were asked for, where there would be many', async () => {
      const [error] = await call('attention', [2050], { ...options, f16: false, tuning: { span: 128 } });
      expect(error).toBeLessThan(2e-5);
    });

    it('gives the same logits for one piece, pieces of 3, of 130, and single tokens', async () => {
      for (const error of await call('pieces', 140, [140, 3, 130, 1], { ...options, f16: false }))
        expect(error).toBeLessThan(2e-4);
    });

    it('takes the kernels that the tuner found faster, keeps them, and leaves the conversation alone', async () => {
      const times = { rows: 0.5, groupSize: 2, int8Activations: 0.9, 'span 128': 0.8 };
      // without kernels that round activations once, where nothing else hides what differs
      const { rows, error, untouched, counts, again, described, kept, goesOn } = await call('tuned', times, [], {
        ...options,
        exact: sums,
      });
      expect(rows.map(({ tuneKey }) => tuneKey.split(' ')[0])).toEqual(
        expect.arrayContaining(['linear', 'swiglu', 'experts_gate_up', 'experts_down', 'in_proj_conv', 'attend']),
      );
      const int8 = described.includes('.int8');
      for (const { tuneKey, tuning, rejected } of rows) {
        const ofInt8 = int8 && !tuneKey.includes(' f32 ') && { int8Activations: true };
        expect(tuning, tuneKey).toEqual(
          tuneKey.startsWith('attend ')
            ? { span: 128 }
            : { ...(!tuneKey.startsWith('experts_down ') && { rows: 8 }), ...ofInt8 },
        );
        expect(rejected, tuneKey).toEqual([]);
      }
      expect(described).toContain('from position 128 on');
      expect(untouched).toBe(0);
      expect(goesOn).toBeLessThan(int8 ? 0.1 : 1e-4);
      expect(error).toBeLessThan(int8 ? 0.1 : 1e-4); // int8 activations of several layers
      expect(counts).toMatchObject({ createBindGroup: 0, createBuffer: 0, createComputePipelineAsync: 0, submit: 1 });
      expect(again).toEqual([]);
      expect(kept).toBe(true);
      console.error(
        `${name}: tuned kernels ${int8 ? 'with' : 'without'} int8 activations, logits off by ${error.toExponential(1)}`,
      );
    });

    it('refuses a software adapter unless it is asked for', async () => {
      expect(await call('hardwareOnly')).toMatch(/^DeviceError: Only a software adapter/);
    });

    describe('several states', () => {
      it.each(['a', 'b'])('give the bits of each alone when they take turns: script %s', async (seed) => {
        const { compared, wrong } = await call('interleaved', seed, 12, options);
        expect(compared).toBe(26);
        expect(wrong).toEqual([]);
      });

      it('create nothing at a turn, and look the pending token up once more', async () => {
        const { same, turned, after, undrawn, masked, each } = await call('turns', 4, options);
        const nothing = { createBindGroup: 0, createBuffer: 0, createComputePipelineAsync: 0, beginComputePass: 1 };
        for (const counts of [same, turned, after]) expect(counts).toMatchObject(nothing);
        expect([same, after].map((counts) => [counts.dispatchWorkgroups, counts.submit])).toEqual([
          [4 * each, 1],
          [4 * each, 1],
        ]);
        // its logits come back, and those of the other are kept
        expect([turned.dispatchWorkgroups, turned.submit, turned.writeBuffer]).toEqual([4 * each + 1, 3, 1]);
        expect(undrawn).toMatchObject({ createBindGroup: 0, createBuffer: 0 });
        // a mask adds no dispatch: it is written, and that there is one
        expect(masked).toMatchObject({ ...nothing, dispatchWorkgroups: each, submit: 1, writeBuffer: 2 });
      });

      it('begin short and grow by copying, with the bits of one that never grew', async () => {
        const { bytes, bytesOfFirst, told, grown, left, kept, error, equal } = await call('grownState', options);
        const cache = 2 * 32 * (options.f16 === false ? 4 : 2); // a position of one head of 32
        expect(bytesOfFirst - bytes).toBe(3072 * cache);
        expect(told).toBe(bytes);
        expect(grown - bytes).toBe(1024 * cache);
        expect({ left, kept, error, equal }).toEqual({ left: 0, kept: 4 * 512, error: 0, equal: true });
      });

      it('are copied with their marks, and leave nothing where memory is short', async () => {
        const { error, leaked, position, equal } = await call('forked', options);
        expect(error).toMatch(/^MemoryError: The GPU has no memory for mark/);
        expect({ leaked, position, equal }).toEqual({ leaked: 0, position: 95, equal: true });
      });

      it.each([
        { length: 600, piece: 1 << 20 },
        { length: 1, piece: 1001 },
        { length: 0, piece: 7 },
      ])('are saved and restored, $length tokens, and refuse other data', async ({ length, piece }) => {
        const { bytes, tokens, errors, leaked, equal } = await call('savedStates', length, piece, options);
        expect(tokens).toBe(length && length + 3);
        expect(bytes).toBe(2 * 2 * 64 * 4 + tokens * 2 * 32 * 2); // two convolutions of L 3, D 64
        const damaged = 'StorageError: The saved conversation is damaged: got';
        expect(errors).toEqual([
          expect.stringContaining(`${damaged} ${bytes - 4} bytes, wanted ${bytes} bytes.`),
          expect.stringContaining(`${damaged} 1 bytes`),
          expect.stringContaining(`${damaged} at least ${bytes + 1} bytes`),
          expect.stringContaining(`${damaged} 0 bytes`),
          expect.stringMatching(/^StorageError: The saved conversation is of another model/),
        ]);
        expect({ leaked, equal }).toEqual({ leaked: 0, equal: true });
      });

      it('all take the kernels that the tuner found', async () => {
        const { changed, equal, error } = await call('tunedStates', options);
        expect({ changed, equal }).toEqual({ changed: true, equal: true });
        expect(error).toBeLessThan(1e-4);
      });
    });

    it('goes back within the ring, and to the start', async () => {
      const { error, ...went } = await call('rewound', options);
      expect(error).toBeLessThan(1e-6);
      expect(went).toEqual({ tooFar: false, overwritten: false, toStart: true, beyond: false });
    });

    it('says the same from a table in several buffers', async () => {
      const [[several, tokens], [one, wanted]] = await call('sharded', 1.2e6, options);
      // two lookups, square, one for both parts of the head, process_logits, argmax; the draw looks up where it can
      expect([several, one]).toEqual([6, 4]);
      expect(new Set(tokens).size).toBeGreaterThan(8);
      expect(tokens).toEqual(wanted);
    });

    it('cuts a prefill batch into submits by the time that blocks of 64 tokens took before, with the same results', async () => {
      const batches = [
        { tokens: 256, ms: 0 }, // nothing is known of it: 1, 2, 4 … dispatches a submit
        { tokens: 65, ms: 100 },
        { tokens: 65, ms: 100 },
        { tokens: 256, ms: 1e6 },
        { tokens: 256, ms: 0 },
      ];
      const { submits, dispatches, error } = await call('submits', batches, options);
      expect(submits).toEqual([Math.ceil(Math.log2(dispatches + 1)), 1, 2, 4, dispatches]);
      expect(error).toBe(0);
      const slow = await call('submits', [{ tokens: 256, ms: 100 }], options);
      expect(slow.submits).toEqual([dispatches]);
    });

    it.each([
      { layers: ['conv', 'attention', 'conv'], D: 64, F: 96, dtype: 'Q8_0', value: 'Q8_0', contextLength: 256 },
      {
        layers: ['conv', 'attention', 'attention', 'conv'],
        D: 128,
        F: 64,
        dtype: 'Q4_0',
        value: 'Q8_0',
        contextLength: 2048,
      },
      { layers: ['attention', 'conv'], D: 256, F: 512, dtype: 'Q4_K', value: 'Q6_K', contextLength: 700 },
      { layers: ['attention'], D: 64, F: 72, dtype: 'F16', value: 'F16', contextLength: 64, f16: false },
    ] as const)(
      'holds what its cost tells: $layers, D $D, $dtype, $value, $contextLength positions',
      async ({ layers, D, F, dtype, value, contextLength, ...f16 }) => {
        const { told, loaded, held } = await call('costs', [...layers], D, F, dtype, value, contextLength, {
          ...options,
          ...f16,
        });
        expect(held).toBe(told.weights + told.scratch + told.state);
        expect(held - loaded).toBeLessThan(told.scratch + told.state); // which count what the device held before
        expect(told.read).toBe(told.weights);
      },
    );

    it('tells the time of every kernel by its shape, and the bandwidth of a copy', async () => {
      const { times, dispatches, error } = await call('profiled', options);
      const [copy, empty, draw, ...kernels] = times.toReversed();
      expect(kernels.reduce((sum, { dispatches: n }) => sum + n, 0)).toBe(dispatches);
      expect(kernels.find(({ kernel }) => kernel === 'matvec.q8_0.norm 512×64')).toMatchObject({
        dispatches: 1,
        bytes: 512 * 68,
      }); // the head: 512 rows of two blocks
      for (const { kernel, micros } of times) expect(micros, kernel).toBeGreaterThan(0);
      expect(copy).toMatchObject({ kernel: 'memory copy', bytes: 2 * 64 * 2 ** 20 });
      expect(empty).toMatchObject({ kernel: 'empty dispatch', dispatches: 1, bytes: 0 });
      expect(draw).toMatchObject({ kernel: 'sampled draw', dispatches: 3, bytes: 0 });
      expect(error).toBe(0);
    });

    it('takes the cache by halves from a device that refuses the whole, and grows it', async () => {
      // 4096 positions of 32 halves are 256 KB
      const { equal, refusals, error } = await call('refused', 64 << 10, options);
      expect({ equal, refusals }).toEqual({ equal: true, refusals: 2 });
      expect(error).toBeLessThan(1e-6);
    });

    if (compilesFast)
      it('gives WebGPU up where everything is wrong', async () => {
        expect(await call('spoilt', 'inverseSqrt(', 'sqrt(', 'Q4_0', options)).toMatchObject({
          error: expect.stringMatching(/^DeviceError: This GPU failed the self test: got .*wanted/),
        });
      });

    // what is spoilt serves long rows, conversations beyond 512 tokens, who asks for log probabilities, and experts
    it.each(
      [
        {
          what: 'units of a row beyond the invocations',
          pattern: 'all_matrices) * x_units; item += group_size',
          by: 'all_matrices) * min(x_units, group_size); item += group_size',
          where: 'a few tokens, F32',
        },
        {
          what: 'tiles of keys after the first',
          pattern: 'let fade = exp(top - new_top);',
          by: 'let fade = 1.0;',
          where: 'a long prompt, long',
        },
        {
          what: 'a ring filled by a prefill batch',
          pattern: '& (R - 1u)) * D + c] = bcx[row]',
          by: '& (R - 1u)) * D + c] = 2.0 * bcx[row]',
          where: 'a long prompt, long',
        },
        { what: 'log probabilities', pattern: 'l > own.l', by: 'l < own.l', where: 'log probabilities' },
        { what: 'the merge of spans', pattern: 'sum / total', by: 'sum', where: 'one token over several spans, long' },
        {
          what: 'tiles of an expert after the first',
          pattern: 'first + i;',
          by: 'first;',
          where: 'a long prompt, experts',
          model: 'experts' as const,
        },
        {
          what: 'the weights of experts of one token',
          pattern: 'chosen[top + i / (units * TILES)]',
          by: 'chosen[top]',
          where: 'one token, experts',
          model: 'experts' as const,
        },
      ].filter(() => compilesFast),
    )('tests what short greedy answers of small models do not meet: $what', async ({ pattern, by, where, model }) => {
      const found = await call('spoilt', bundledWgsl(pattern), bundledWgsl(by), model ?? 'F32', {
        ...options,
        subgroups: false,
        f16: false,
      });
      expect(found).toMatchObject({ error: expect.stringMatching(`failed its self test \\((${where}): got`) });
    });

    // a browser without subgroups has nothing to step down from here
    if (options.subgroups) {
      it.each([16, 128])('computes rightly with subgroups of %i, more than a workgroup has or fewer', async (lanes) => {
        const { changed, ...found } = await call('subgroupsOf', lanes, REDUCE_NAMES, options);
        expect(found).toEqual({ variant: 'subgroups, cache f16', notes: [] });
        expect(changed).toBeGreaterThan(10);
      });

      it('keeps what it found of a device', async () => {
        const [first, second] = await call('remembered', 'subgroups', WRONG_SUM, options);
        expect(first).toMatchObject({ variant: 'workgroup memory, cache f16', error: undefined });
        expect(first.notes.join()).toMatch(/failed its self test/);
        expect(second).toEqual({ ...first, pipelines: expect.any(Number) });
        expect(second.pipelines).toBeLessThan(first.pipelines / 3);
      });
    }

    it('does not take too little memory for a wrong kernel', async () => {
      const [first, second] = await call('remembered', 'memory', WRONG_SUM, options);
      expect(first.error).toBe('MemoryError');
      expect(second).toMatchObject({
        variant: expect.stringMatching(options.subgroups ? /^subgroups, cache f16$/ : /^workgroup memory, cache f16$/),
        error: undefined,
      });
      expect(second.notes.filter((note) => note.includes('self test'))).toEqual([]);
    });

    it('does not take a wrong kernel, however fast', async () => {
      // the integer kernel, and the merge of spans of 128
      const spoilers: [string, string][] = [
        [bundledWgsl('dots[m] - ZERO * sum'), bundledWgsl('dots[m] - sum')],
        [bundledWgsl('step.position / SPAN'), bundledWgsl('step.position / max(SPAN, 256u)')],
      ];
      const { rows, described } = await call('tuned', { int8Activations: 0.1, 'span 128': 0.1 }, spoilers, options);
      expect(described).not.toContain('.int8');
      expect(described).not.toContain('from position 128 on');
      const maps = rows.filter(({ tuneKey }) => !/^attend | f32 /.test(tuneKey));
      const [attention] = rows.filter(({ tuneKey }) => tuneKey.startsWith('attend '));
      expect(attention).toMatchObject({ tuning: {}, rejected: [expect.stringMatching(/^{"span":128}: off by/)] });
      if (maps.some(({ rejected }) => rejected.length))
        for (const { rejected } of maps) expect(rejected.join()).toMatch(/^{"int8Activations":true}: off by/);
    });

    describe.each([false, true])('a device is lost, and the browser says nothing more: %s', (silent) => {
      it.each(['load', 'compile', 'prefill', 'decode'] as const)(
        'fails by name, at once and from then on: during %s',
        async (phase) => {
          const { errors, hung, equal } = await call('lost', phase, options, silent);
          expect(hung).toBe(false);
          for (const error of errors) expect(error).toMatch(/^DeviceError: /);
          if (phase === 'prefill' || phase === 'decode') expect(errors.at(-1)).toMatch(/lost/);
          expect(equal, 'the tokens of a new device after the same history').toBe(true);
        },
      );
    });
  });
