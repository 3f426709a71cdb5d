/** What TypeScript and WGSL both know: structs are read from the WGSL, and sizes of tiles that stand in both agree. */
import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { minifyWgsl } from '../../../shaders/plugin';
import '../../modules/experts';
import type { Matrix } from '../../model/ops';
import { recordPlan } from '../plan';
import { ALL_FILTERS_SAMPLING } from '../sampling';
import type { OpenedDevice } from './device';
import { wholeBuffer, type Dispatch, type GpuWeightVector } from './dispatch';
import { createMatrixWriter } from './repack';
import { createWebGpuProgram } from './program';
import { shaderTexts, uniformLayout } from './shader';

vi.stubGlobal('GPUBufferUsage', { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 });
vi.stubGlobal('GPUMapMode', { READ: 1 });

const [V, D, H, K, d, L] = [2500, 192, 4, 2, 32, 3];
const [E, I] = [3, 80];
const PROMPT = 130;
const BUCKETS = [8, 64, 128]; // of several tokens

/** A device that computes nothing: it keeps the last words written to each buffer, and all dispatches. */
function fakeDevice() {
  const written = new Map<string, Uint32Array>();
  const dispatches: Dispatch[] = [];
  const marked: number[] = [];
  const nothing = (): undefined => undefined;
  const pass = (label?: string) => ({
    setPipeline: nothing,
    setBindGroup: nothing,
    dispatchWorkgroups: (x: number) => void (label === 'mark_prompt' && marked.push(x)),
    end: nothing,
  });
  const buffer = (label: string, size: number) =>
    ({
      label,
      size,
      mapAsync: () => Promise.resolve(),
      getMappedRange: (_: number, bytes: number) => new ArrayBuffer(bytes),
      unmap: nothing,
    }) as unknown as GPUBuffer;
  const opened = {
    device: {
      limits: { maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: 2 ** 30 },
      queue: {
        writeBuffer: ({ label }: GPUBuffer, _: number, data: Uint32Array) => void written.set(label, data.slice()),
        submit: nothing,
        onSubmittedWorkDone: () => Promise.resolve(),
      },
      createCommandEncoder: () => ({
        beginComputePass: (options?: { label: string }) => pass(options?.label),
        clearBuffer: nothing,
        copyBufferToBuffer: nothing,
        finish: nothing,
      }),
    },
    features: { f16: false, subgroups: false, subgroupMinSize: 4, subgroupMaxSize: 128, dp4a: false },
    tunings: new Map(),
    step: wholeBuffer(buffer('step', 16)),
    tokens: wholeBuffer(buffer('tokens', 1024)),
    allocateBuffer: (label: string, size: number) => Promise.resolve(buffer(label, size)),
    createBuffer: (label: string, size: number) => ({ buffer: buffer(label, size), ready: Promise.resolve() }),
    releaseBuffer: nothing,
    run: (list: Dispatch[]) => Promise.resolve(void dispatches.push(...list)),
    waitFor: <T>(work: Promise<T>) => work,
    pipeline: () => Promise.resolve(),
    prepare: (list: Dispatch[]) => Promise.resolve((dispatches.push(...list), list.map(({ grid }) => ({ grid })))),
    throwIfFailed: nothing,
  } as unknown as OpenedDevice;
  return { opened, written, dispatches, marked };
}

/** A plan with every kind of op, whose weights are zero; its prefill, a draw and its log probabilities. */
async function run() {
  const fake = fakeDevice();
  const { opened } = fake;
  const matrix = async (name: string, rows: number, cols: number, parts = 1): Promise<Matrix> => {
    const segments = Array.from({ length: parts }, () => ({ name, rows: rows / parts, dtype: 'F32' as const }));
    const writer = createMatrixWriter(opened, { name, rows, cols, segments });
    for (let i = 0; i < parts; i++) await writer.write(i, 0, new Uint8Array((4 * rows * cols) / parts));
    return writer.finish();
  };
  const vector = (name: string, length: number) =>
    ({ name, length, region: wholeBuffer({ size: 4 * length } as GPUBuffer) }) as GpuWeightVector;
  const norm = (length: number) => ({ weight: vector('norm', length), eps: 1e-5 });
  const router = await matrix('router', E, D);
  const [w1, w3] = [await matrix('w1', E * I, D, E), await matrix('w3', E * I, D, E)];
  const w2 = await matrix('w2', E * D, I, E);
  const [embed, inProj, qkv, out] = [
    await matrix('embed', V, D),
    await matrix('in', 3 * D, D),
    await matrix('qkv', (H + 2 * K) * d, D),
    await matrix('out', D, H * d),
  ];
  const plan = recordPlan((op) => {
    const input = op.embed(embed);
    const x = op.experts(router, { w1, w3, w2 }, input, { norm: norm(D), top: 2, scale: 1, add: input });
    const y = op.shortConv(op.linear(inProj, x), vector('taps', D * L), {
      kind: 'conv',
      layer: 0,
      channels: D,
      length: L,
    });
    const attended = op.attend(
      op.linear(qkv, y),
      { kind: 'kv', layer: 1, kvHeads: K, headDim: d },
      { heads: H, rope: { theta: 1e4 }, qNorm: norm(d), kNorm: norm(d) },
    );
    return op.linear(embed, op.last(op.linear(out, attended)));
  });
  const state = await (
    await createWebGpuProgram(opened, plan, { contextLength: 512, prefillBatch: 128 }, false)
  ).newState();
  for (const T of [128, PROMPT - 128]) await state.prefill(new Uint32Array(T));
  await state.decode(1, { ...ALL_FILTERS_SAMPLING, seed: 77, bias: new Map([[1, 2]]) });
  await state.logprobs(5, 4);
  return fake;
}

describe('structs', () => {
  it('of uniforms stand in one file and have fields of 4 bytes', () => {
    const uniforms = Object.values(shaderTexts()).flatMap((text) =>
      Array.from(text.matchAll(/var<uniform> ?\w+:(?!array)(\w+)/g), ([, name]) => name),
    );
    expect([...new Set(uniforms)].sort()).toEqual(['Request', 'Sampling', 'Slice', 'Step']);
    for (const name of uniforms) {
      const declared = Object.entries(shaderTexts()).filter(([, text]) => text.includes(`struct ${name}{`));
      expect(declared.length, name).toBe(1);
      expect(declared[0][1]).toMatch(new RegExp(`struct ${name}\\{(\\w+:[uf]32,)*\\}`));
    }
    expect(() => uniformLayout('lib/step#None').bytes).toThrow(/A shader file is missing: got lib\/step#None/);
  });

  it('are written by the names of their fields', async () => {
    const { written } = await run();
    const read = (label: string, source: string, field: string): number =>
      written.get(label)![uniformLayout(source).offset(field) / 4];
    expect(['position', 'count', 'prompt'].map((field) => read('step', 'lib/step#Step', field))).toEqual([
      128,
      2,
      PROMPT,
    ]);
    expect(
      ['topK', 'seed', 'penalises', 'bias', 'mask'].map((field) => read('sampling', 'lib/sampling#Sampling', field)),
    ).toEqual([40, 77, 1, 1, 0]);
    expect(
      new Float32Array(written.get('sampling')!.buffer)[uniformLayout('lib/sampling#Sampling').offset('topP') / 4],
    ).toBeCloseTo(0.9, 6);
    expect(['V', 'chosen', 'n'].map((field) => read('logprobs request', 'logprobs#Request', field))).toEqual([V, 5, 4]);
    expect(
      ['group', 'rows', 'rowBytes', 'units'].map((field) => read('upload slice', 'lib/checkpoint_bytes#Slice', field)),
    ).toEqual([0, D, 4 * H * d, (H * d) / 4]);
  });
});

describe('tiles', () => {
  /** a number in a shader */
  // names as written: the bundle has short ones
  const read = (file: string): string =>
    minifyWgsl(readFileSync(new URL(`../../../shaders/${file}.wgsl`, import.meta.url), 'utf8'));
  const number = (file: string, pattern: RegExp): number => Number(pattern.exec(read(file))?.[1]);
  const invocations = (file: string): number => number(file, /@workgroup_size\((\d+)\)/);
  const chunks = (n: number, size: number): number => Math.ceil(n / size);

  it('are those of the shaders', async () => {
    const { dispatches, marked } = await run();
    const grids = (label: string): number[][] =>
      dispatches.filter((dispatch) => dispatch.label.startsWith(label)).map(({ grid }) => grid);
    const widths = (label: string): number[] => [...new Set(grids(label).map(([x]) => x))].sort((a, b) => a - b);
    expect(widths('short_conv')).toEqual([chunks(D, invocations('short_conv'))]);
    expect(widths('conv_append')).toEqual([chunks(D, invocations('conv_append'))]);
    expect(widths('copy_last')).toEqual([chunks(D, invocations('copy_last'))]);
    expect(widths('embed')).toEqual([chunks(D, 4 * invocations('embed'))]);
    const tokens = Math.floor(number('attend_prefill', /const ROWS=(\d+)u/) / (H / K));
    expect(widths('attend_prefill')).toEqual(BUCKETS.map((T) => chunks(T, tokens)));
    expect(widths('sum_experts')).toEqual([chunks(D, invocations('experts/sum_experts'))]);
    const [rows, columns] = [number('matmul', /(\d+)u\*wid\.x\+32u/), number('lib/tile_tokens', /(\d+)u\*tile\)/)];
    expect(widths('matmul')).toEqual([...new Set([E, D, (H + 2 * K) * d, 3 * D].map((n) => chunks(n, rows)))]);
    expect(widths('experts_matmul')).toEqual([I, D].map((n) => chunks(n, rows)));
    expect(number('experts/select_experts', /\+63u\)\/(\d+)u/)).toBe(columns);
    expect(Math.max(...grids('matmul').map(([, y]) => y))).toBe(chunks(Math.max(...BUCKETS), columns));
    for (const label of ['process_logits', 'softmax_histogram'])
      expect(widths(label)).toEqual([chunks(V, number(label, /group\.x\*(\d+)u/))]);
    expect(marked).toEqual([chunks(PROMPT, invocations('mark_prompt'))]);
    expect(grids('repack').at(-1)).toEqual([chunks((D * H * d) / 4, invocations('repack_float')), 1, 1]);
    expect(['repack_block', 'repack_k', 'repack_q6_k'].map(invocations)).toEqual(
      Array(3).fill(invocations('repack_float')),
    );
  });
});
