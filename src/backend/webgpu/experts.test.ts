/** The dispatches of a mixture of experts: how many, what they read, and what is refused. */
import '../../modules/experts';
import { describe, expect, it } from 'vitest';
import { fakeDevice } from '../../../e2e/fake_device';
import type { Matrix } from '../../model/ops';
import type { Dtype } from '../../tensor/dtype';
import { mapMatrices, recordPlan, type Plan } from '../plan';
import { bytesRead, lowerPlanToDispatches } from './lower';
import { unallocatedMatrixParts, type GpuMatrix } from './repack';
import { allocateScratch } from './scratch';
import { createBufferGroup } from './buffer_group';
import { noBuffer, unallocatedBuffers } from './state_buffers';

interface Shape {
  E?: number;
  D?: number;
  I?: number;
  dtype?: Dtype;
  limit?: number;
}

const device = (limit: number) => fakeDevice({ subgroups: true, limit });

/** A layer with E experts, of which a token takes two. */
function expertsPlan({ E = 8, D = 64, I = 96, dtype = 'Q4_0', limit = 2 ** 27 }: Shape): Plan {
  const matrix = (name: string, rows: number, cols: number, parts: number): Matrix => ({
    name,
    rows: parts * rows,
    cols,
    segments: Array.from({ length: parts }, () => ({ name, rows, dtype: name === 'router' ? 'F32' : dtype })),
  });
  const vector = (name: string, length: number) => ({ name, length, region: noBuffer() });
  const plan = recordPlan((op) => {
    const x = op.embed(matrix('router', 9, D, 1));
    const w = { w1: matrix('w1', I, D, E), w3: matrix('w3', I, D, E), w2: matrix('w2', D, I, E) };
    const options = { norm: { weight: vector('n', D), eps: 1e-5 }, bias: vector('b', E), top: 2, scale: 1, add: x };
    return op.experts(matrix('router', E, D, 1), w, x, options);
  });
  const onGpu = (spec: Matrix): GpuMatrix => ({
    ...spec,
    parts: unallocatedMatrixParts(spec, limit, noBuffer),
    bytes: 0,
  });
  return { ...plan, nodes: plan.nodes.map((node) => mapMatrices(node, onGpu)) };
}

function lowered(shape: Shape, T: number) {
  const plan = expertsPlan(shape);
  const buffers = unallocatedBuffers(plan, 512, true);
  return { plan, buffers, nodes: lowerPlanToDispatches(device(2 ** 27), plan, buffers, T).slice(1) };
}

const labels = (shape: Shape, T: number): string[] => lowered(shape, T).nodes.flatMap((all) => all.map((d) => d.label));

describe('a layer of experts', () => {
  it('takes four dispatches of one token, six of several', () => {
    expect(labels({}, 1)).toEqual([
      'matvec.f32.norm',
      'select_experts',
      'experts_gate_up.q4_0.swiglu.norm',
      'experts_down.q4_0.accumulate',
    ]);
    for (const T of [8, 64])
      expect(labels({}, T)).toEqual([
        T === 8 ? 'matvec_8.f32.norm' : 'matmul.f32.norm',
        'select_experts.sort',
        'experts_matmul.q4_0.norm',
        'experts_matmul.q4_0.norm.gate',
        'experts_matmul.q4_0',
        'sum_experts.accumulate',
      ]);
  });

  it('reads the share of its experts, also from several parts', () => {
    for (const limit of [2 ** 27, 12_000]) {
      const { plan, buffers, nodes } = lowered({ limit }, 1);
      expect(nodes.map((all) => all.length)).toEqual(limit === 2 ** 27 ? [1, 1, 1, 1] : [1, 1, 3, 3]);
      const read = nodes.map((all, i) =>
        all.reduce((sum, one) => sum + bytesRead(one, plan.nodes[i + 1], buffers, 1), 0),
      );
      const w = 8 * 96 * 64 * (18 / 32);
      expect(read).toEqual([8 * 64 * 4, 0, (2 * w) / 4, w / 4]);
    }
  });

  it('has room for its entries in scratch, for the most tokens of a call', async () => {
    const gpu = device(2 ** 27);
    const options = { contextLength: 512, prefillBatch: 64 };
    const { experts } = await allocateScratch(gpu, createBufferGroup(gpu), expertsPlan({}), options, true);
    expect(experts!.results.size).toBe(4 * 64 * 2 * 64);
    // 9 tiles of 128 entries, where each of 8 experts may have one that is not full
    expect(experts!.sorted.size).toBeGreaterThanOrEqual(4 * (1 + 3 * 9 + 128));
  });

  it.each([
    [
      { D: 66 },
      'F32',
      /^The experts of w1 have a shape .*: got 8 of 96 rows and 66 columns, wanted .* multiples of 4 and 4,/,
    ],
    [{ I: 50 }, 'F32', /got 8 of 50 rows and 64 columns/],
    [{ D: 68 }, 'F16', /68 columns, wanted at most 256, multiples of 4 and 8,/],
    [{ E: 257 }, 'F32', /got 257 of 96 rows/],
    [{ I: 1024, limit: 40_000 }, 'Q8_0', /got 8 of 1024 rows and 64 .*, and no expert larger than a binding/],
  ] as const)('is refused if kernels cannot read it: %j %s', (shape, dtype, message) => {
    const name = 'limit' in shape ? 'MemoryError' : 'DeviceError';
    const wrong = expect.objectContaining({ name, message: expect.stringMatching(message) });
    for (const T of [1, 64]) expect(() => labels({ ...shape, dtype }, T)).toThrow(wrong);
  });
});
