import { expect, it, vi } from 'vitest';
import type { Backend } from '../backend/backend';
import { RivuletError, type ErrorName } from '../errors';
import { withWorkingBackend, createFallbackState, backendCandidates, type BackendCandidate } from './choose_backend';

// the ladder is tried here, not what stands on it
vi.mock('../backend/wasm/backend', () => ({ openWasmBackend: vi.fn() }));
vi.mock('../backend/webgpu/backend', () => ({ openWebGpuBackend: vi.fn() }));

const error = (name: ErrorName, what: string): RivuletError => new RivuletError(name, { what });

function rung(
  name: BackendCandidate['name'],
  label: string,
  opening?: Error,
): BackendCandidate & { dispose: ReturnType<typeof vi.fn> } {
  const dispose = vi.fn();
  return {
    name,
    label,
    dispose,
    open: () => {
      if (opening) throw opening;
      return { info: { name, device: label, variant: '', notes: [] }, dispose } as unknown as Backend;
    },
  };
}

it.each([
  [{}, ['WebGPU', 'WebGPU without subgroups and f16', 'WASM']],
  [{ backend: 'webgpu' as const }, ['WebGPU', 'WebGPU without subgroups and f16']],
  [{ backend: 'wasm' as const }, ['WASM']],
  [{ subgroups: false, f16: false }, ['WebGPU', 'WASM']],
])('the ladder of %j', (options, labels) =>
  expect(backendCandidates(options).map(({ label }) => label)).toEqual(labels),
);

it('steps over a device that is missing, with the reason', async () => {
  const descent = createFallbackState([
    rung('webgpu', 'A', error('DeviceError', 'no adapter')),
    rung('webgpu', 'B'),
    rung('wasm', 'C'),
  ]);
  expect(await withWorkingBackend(descent, async ({ info }) => info.device)).toBe('C');
  expect(descent.reasons).toEqual(['A: no adapter.']);
});

it('tries the simpler variant of a device whose kernels fail, and frees the first', async () => {
  const rungs = [rung('webgpu', 'A'), rung('webgpu', 'B'), rung('wasm', 'C')];
  const use = async ({ info }: Backend): Promise<string> =>
    info.device === 'A' ? Promise.reject(error('DeviceError', 'wrong')) : info.device;
  expect(await withWorkingBackend(createFallbackState(rungs), use)).toBe('B');
  expect(rungs[0].dispose).toHaveBeenCalledOnce();
  expect(rungs[1].dispose).not.toHaveBeenCalled();
});

it('does not try another variant against too little memory', async () => {
  const use = async ({ info }: Backend): Promise<string> =>
    info.name === 'webgpu' ? Promise.reject(error('MemoryError', 'full')) : info.device;
  expect(
    await withWorkingBackend(createFallbackState([rung('webgpu', 'A'), rung('webgpu', 'B'), rung('wasm', 'C')]), use),
  ).toBe('C');
});

it.each(['CheckpointError', 'SourceError', 'RequestError'] as const)(
  'does not descend for a %s, but frees',
  async (name) => {
    const rungs = [rung('webgpu', 'A'), rung('wasm', 'C')];
    await expect(
      withWorkingBackend(createFallbackState(rungs), () => Promise.reject(error(name, 'x'))),
    ).rejects.toMatchObject({ name });
    expect(rungs[0].dispose).toHaveBeenCalledOnce();
  },
);

it('says all reasons when no rung is left', async () => {
  const rungs = [rung('webgpu', 'WebGPU', error('DeviceError', 'no adapter')), rung('wasm', 'WASM')];
  await expect(
    withWorkingBackend(createFallbackState(rungs), () => Promise.reject(error('MemoryError', 'too large'))),
  ).rejects.toMatchObject({
    name: 'MemoryError',
    message: expect.stringMatching(/no adapter.*too large/),
  });
  await expect(
    withWorkingBackend(createFallbackState([rungs[1]]), () => Promise.reject(error('MemoryError', 'too large'))),
  ).rejects.toMatchObject({ message: 'too large.' });
});
