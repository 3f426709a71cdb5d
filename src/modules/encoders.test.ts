/** How a side file registers kernels; what it registers here is of this test. */
import { modules } from 'virtual:rivulet-kernels';
import './experts';
import { afterEach, describe, expect, it } from 'vitest';
import { fakeDevice, fakeGpuPlan, SIXTEEN_LAYERS, tinyCheckpoint } from '../../e2e/fake_device';
import { readShaders } from '../../shaders/plugin';
import { CONFORMANCE_CASES, runConformanceCase } from '../backend/conformance';
import { openWasmBackend } from '../backend/wasm/backend';
import { packToBase64 } from '../backend/wasm/kernels/build';
import { instantiateKernels, loadKernelModule, registerKernels } from '../backend/wasm/module';
import type { Dispatch } from '../backend/webgpu/dispatch';
import { lowerPlanToDispatches, LOWERINGS, registerWebGpuLowerings } from '../backend/webgpu/lower';
import { createWebGpuProgram } from '../backend/webgpu/program';
import { linkShader, registerShaders, shaderTexts, shaderVersion, uniformLayout } from '../backend/webgpu/shader';

const WGSL =
  'struct Scale{factor:f32}@group(0)@binding(0) var<uniform> scale:Scale;' +
  '@group(0)@binding(1) var<storage,read_write> y:array<f32>;' +
  '@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id:vec3u){y[id.x]*=scale.factor;}';

describe('registered shaders', () => {
  it('link with those of the engine, and saved results of a device belong to both', () => {
    const before = shaderVersion();
    expect(() => linkShader(['lib/step', 'encoders/scale'])).toThrow(/A shader file is missing: got encoders\/scale/);
    registerShaders({ 'encoders/scale': WGSL }, 'of the test');
    const { code, bindings } = linkShader(['lib/step', 'encoders/scale']);
    expect(code).toContain(shaderTexts()['lib/step']);
    expect(code).toContain(WGSL);
    expect(bindings.get('y')).toEqual({ binding: 1, type: 'storage' });
    expect(uniformLayout('encoders/scale#Scale').bytes).toBe(4);
    expect(shaderVersion()).not.toBe(before);
    registerShaders({ 'encoders/scale': '' }, '');
  });

  it('are not in the engine', () =>
    expect(Object.keys(readShaders()).filter((name) => name.startsWith('encoders/'))).toEqual([]));
});

describe('registered lowerings', () => {
  const { last } = LOWERINGS;
  afterEach(() => registerWebGpuLowerings({ last }));

  it('lower the plans that come later', async () => {
    const device = fakeDevice({ subgroups: true, limit: 2 ** 27 });
    const plan = fakeGpuPlan(await tinyCheckpoint(SIXTEEN_LAYERS), device);
    const program = await createWebGpuProgram(device, plan, { contextLength: 512, prefillBatch: 8 }, true);
    const { scratch } = program.internals();
    const { gpu, buffers } = (await program.newState()).internals();
    const lower = (): Dispatch[][] => lowerPlanToDispatches(gpu, plan, { ...scratch, ...buffers }, 8);
    const before = lower();
    registerWebGpuLowerings({
      last: (node, context) => last(node, context).map((one) => ({ ...one, label: 'of the test' })),
    });
    const changed = lower().flatMap((list, i) => (list.some(({ label }) => label === 'of the test') ? i : []));
    expect(changed).toEqual(plan.nodes.flatMap(({ op }, i) => (op === 'last' ? i : [])));
    expect(lower().map((list) => list.length)).toEqual(before.map((list) => list.length));
  });
});

describe('registered kernels', () => {
  const engine = { ...modules };
  afterEach(() => registerKernels(engine));

  /** a module that imports a shared memory and exports `test`, which returns 42 */
  const WASM = Uint8Array.of(
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    1, 5, 1, 0x60, 0, 1, 0x7f,
    2, 16, 1, 3, 0x65, 0x6e, 0x76, 6, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 2, 3, 1, 1,
    3, 2, 1, 0,
    7, 8, 1, 4, 0x74, 0x65, 0x73, 0x74, 0, 0,
    10, 6, 1, 4, 0, 0x41, 42, 11,
  ); // prettier-ignore

  it.each([true, false])('are those that a backend opened later runs, shared memory %s', async (shared) => {
    const text = await packToBase64(Buffer.concat([WASM, WASM]));
    registerKernels({ text, simd: WASM.length, relaxed: WASM.length });
    const { module } = loadKernelModule(shared);
    const kernels = instantiateKernels(module, new WebAssembly.Memory({ initial: 1, maximum: 1, shared }));
    expect((kernels as unknown as { test(): number }).test()).toBe(42);
  });

  it('of the side file give the bits of the engine for its own ops', { timeout: 300_000 }, async () => {
    const cases = CONFORMANCE_CASES.filter(({ name }) => /Q4_0|F32|attend|shortConv|last/.test(name));
    const results = async (): Promise<unknown[]> => {
      const backend = await openWasmBackend({ threads: 1, variant: 'simd' });
      const all = [];
      for (const one of cases) all.push(await runConformanceCase(one, backend));
      await backend.dispose();
      return all;
    };
    const wanted = await results();
    const { modules: own } = await import('virtual:rivulet-kernels/encoders');
    await import('./encoders');
    expect(modules).toEqual({ ...engine, ...own });
    expect(await results()).toEqual(wanted);
  });
});
