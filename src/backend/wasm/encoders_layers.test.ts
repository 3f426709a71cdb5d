/** The kernels of the side file `encoders` against the reference. */
import { describe, expect, it } from 'vitest';
import '../../modules/encoders';
import { compare } from '../../../e2e/measure';
import { exceededErrorBound, runConformanceCase } from '../conformance';
import { ENCODER_CASES } from '../conformance_encoders';
import { recordPlan } from '../plan';
import { openReferenceBackend } from '../reference/backend';
import { firstState, type Backend } from '../backend';
import type { Activation } from '../../model/ops';
import { openWasmBackend } from './backend';

const open = (options = {}): Promise<Backend> =>
  openWasmBackend({ threads: 1, variant: 'simd', exact: true, ...options });

describe('ops of encoders', () => {
  it.each(ENCODER_CASES)('$name, exact and with int8 activations', async (one) => {
    const wanted = await runConformanceCase(one, openReferenceBackend());
    for (const exact of [true, false]) {
      const backend = await open({ exact });
      const got = await runConformanceCase(one, backend);
      await backend.dispose();
      const reduced = exact ? {} : ({ int8Activations: true, cache: 'int16' } as const);
      wanted.forEach((outcome, i) => {
        const difference = compare(one.name, outcome, got[i]);
        if (!exact && process.env.SHOW) console.log(one.name, outcome.run, difference.nmse);
        expect(exceededErrorBound(one, reduced, difference), `${outcome.run}, exact: ${exact}`).toBeUndefined();
      });
    }
  });
});

describe('activations', () => {
  const LENGTH = 4096;
  const inputs = Float32Array.from({ length: LENGTH }, (_, i) => (i / LENGTH - 0.5) * 40);

  /** act of each input: the rows of a table times one */
  async function activate(backend: Backend, act: Activation): Promise<Float32Array> {
    const matrix = async (name: string, values: Float32Array) => {
      const segments = [{ name, rows: values.length, dtype: 'F32' as const }];
      const writer = backend.matrix({ name, rows: values.length, cols: 1, segments });
      await writer.write(0, 0, new Uint8Array(values.buffer as ArrayBuffer));
      return writer.finish();
    };
    const [table, column] = [await matrix('one', Float32Array.of(1)), await matrix('inputs', inputs)];
    const plan = recordPlan((op) => op.linear(column, op.embed(table), { act }));
    const state = await firstState(backend, plan, { contextLength: 8, prefillBatch: 1 });
    await state.prefill(Uint32Array.of(0));
    return state.logits();
  }

  it.each(['gelu', 'gelu_tanh', 'silu', 'relu'] as const)('%s is right to 2e-6 over −20 … 20', async (act) => {
    const wanted = await activate(openReferenceBackend(), act);
    const got = await activate(await open(), act);
    const off = wanted.map((v, i) => Math.abs(v - got[i]) / Math.max(1, Math.abs(v)));
    expect(off.reduce((a, b) => Math.max(a, b))).toBeLessThan(2e-6);
  });

  it.each([
    // values of torch.nn.functional
    ['gelu', [-0.15865525, 0.84134475, 1.95449974]],
    ['gelu_tanh', [-0.15880801, 0.841192, 1.9545977]],
    ['silu', [-0.26894142, 0.73105858, 1.76159416]],
    ['relu', [0, 1, 2]],
  ] as const)('%s of −1, 1 and 2', async (act, wanted) => {
    const got = await activate(await open(), act);
    const at = (v: number): number => inputs.findIndex((x) => x >= v);
    wanted.forEach((w, i) => {
      const near = [-1, 1, 2][i];
      const slope = 1.2 * Math.abs(inputs[at(near)] - near); // the grid may miss the value by a step
      expect(Math.abs(got[at(near)] - w)).toBeLessThan(2e-6 + slope);
    });
  });
});
