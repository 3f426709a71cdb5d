/** What the states of a program share, and what they hold, on a device that computes nothing. */
import { expect, it } from 'vitest';
import { fakeDevice, fakeGpuPlan, SIXTEEN_LAYERS, tinyCheckpoint } from '../../../e2e/fake_device';
import { fail } from '../../errors';
import { recordPlan } from '../plan';
import { restoreState, saveState } from '../saved_state';
import type { OpenedDevice } from './device';
import { wholeBuffer } from './dispatch';
import { createWebGpuProgram } from './program';
import { maxBindingBytes, unallocatedMatrixParts, type GpuMatrix } from './repack';

const sizes = { contextLength: 4096, prefillBatch: 64 };

/** A device that counts the bytes that are held, and refuses buffers whose label begins with `refused`. */
function countingDevice(): { device: OpenedDevice; held: Set<GPUBuffer>; refuse(label: string): void } {
  const device = fakeDevice({ subgroups: true, limit: 2 ** 27 });
  const held = new Set<GPUBuffer>();
  let refused: string | undefined;
  const { allocateBuffer } = device;
  return {
    held,
    refuse: (label) => (refused = label),
    device: Object.assign(device, {
      async allocateBuffer(label: string, bytes: number) {
        if (refused && label.startsWith(refused)) fail('MemoryError', { what: label });
        const buffer = await allocateBuffer(label, bytes);
        held.add(buffer);
        return buffer;
      },
      releaseBuffer: (buffer: GPUBuffer) => void held.delete(buffer),
    }),
  };
}

const bytesOf = (buffers: Iterable<GPUBuffer>): number => [...buffers].reduce((sum, { size }) => sum + size, 0);

it('shares the dispatches of a token but those that bind a ring, a cache, tokens or counts', async () => {
  const device = fakeDevice({ subgroups: true, limit: 2 ** 27 });
  const plan = fakeGpuPlan(await tinyCheckpoint(SIXTEEN_LAYERS), device);
  const program = await createWebGpuProgram(device, plan, sizes, true);
  const [a, b] = [await program.newState(), await program.newState()].map((state) => state.internals().prepared);
  const own = (of: (prepared: typeof a) => { label: string }[]): string[] => {
    const [first, second] = [of(a), of(b)];
    expect(second.map(({ label }) => label)).toEqual(first.map(({ label }) => label));
    return first.filter((dispatch, i) => dispatch !== second[i]).map(({ label }) => label.split('.')[0]);
  };
  const decode = own(({ decode, span }) => decode.get(span)!);
  expect(decode.length).toBe(1 + 10 + 6); // embedding, in_proj with its convolution, attention
  expect(a.decode.get(a.span)!.length - 1 + a.greedy.length).toBe(73);
  expect(new Set(own(({ decode, span }) => decode.get(2 * span)!))).toEqual(new Set(decode));
  expect(new Set(own(({ prefill }) => prefill.get(64)!))).toEqual(
    new Set(['embed', 'short_conv', 'rope_append', 'attend_prefill']),
  );
  expect(own(({ sampled }) => sampled)).toEqual(['process_logits', 'sample']);
});

it('gives the first state its whole context, and later ones what they need', async () => {
  const { device, held } = countingDevice();
  const plan = fakeGpuPlan(await tinyCheckpoint(SIXTEEN_LAYERS), device);
  const program = await createWebGpuProgram(device, plan, sizes, true);
  const scratch = bytesOf(held);
  const first = await program.newState();
  expect(first.bytes).toBe(bytesOf(held) - scratch);
  const second = await program.newState();
  expect([first, second].map((state) => state.internals().buffers.capacity)).toEqual([4096, 1024]);
  expect(first.bytes - second.bytes).toBe(3072 * 6 * 2 * 2 * 64 * 2); // 6 layers, keys and values, 2 heads of 64 halves
  second.dispose();
  expect(bytesOf(held)).toBe(scratch + first.bytes);
  program.dispose();
  expect(held.size).toBe(0);
});

it.each(['tokens', 'ring 9', 'keys 14', 'values 8', 'saved'])(
  'holds nothing of a state for which memory is short: %s',
  async (label) => {
    const { device, held, refuse } = countingDevice();
    const plan = fakeGpuPlan(await tinyCheckpoint(SIXTEEN_LAYERS), device);
    const program = await createWebGpuProgram(device, plan, sizes, true);
    const first = await program.newState();
    const before = held.size;
    refuse(label);
    const { layout } = saveState(first);
    const saved = { layout, tokens: new Uint32Array(5), pieces: (async function* () {})() };
    await expect(restoreState(program, saved)).rejects.toMatchObject({ name: 'MemoryError' });
    if (label !== 'saved') {
      await expect(first.fork()).rejects.toMatchObject({ name: 'MemoryError' });
      await expect(program.newState()).rejects.toMatchObject({ name: 'MemoryError' });
    }
    expect(held.size).toBe(before);
    expect([...program.internals().conversations]).toEqual([first.internals()]);
  },
);

it('does not look a drawn token up where an output stands', async () => {
  const device = fakeDevice({ subgroups: true, limit: 2 ** 27 });
  const matrix = (name: string, rows: number): GpuMatrix => {
    const spec = { name, rows, cols: 64, segments: [{ name, rows, dtype: 'F32' as const }] };
    const region = () => wholeBuffer({ size: 256 * rows } as GPUBuffer);
    return { ...spec, parts: unallocatedMatrixParts(spec, maxBindingBytes(device), region), bytes: 0 };
  };
  const [table, square] = [matrix('table', 512), matrix('square', 64)];
  const compile = async (outputs: 1 | 2) => {
    const plan = recordPlan((op) => {
      const x = op.embed(table);
      const y = op.linear(square, op.linear(square, x), { add: x });
      return [op.linear(table, op.last(y)), y].slice(0, outputs);
    });
    const { skipped, sampler } = (await createWebGpuProgram(device, plan, sizes, true)).internals();
    const [, argmax] = sampler!.dispatches(device.tokens, device.tokens).greedy;
    return {
      skipped,
      looksUp: argmax.sources.includes('lib/embed_next'),
      shares: plan.outputs.at(-1)!.slot === plan.nodes[0].out.slot,
    };
  };
  expect(await compile(1)).toEqual({ skipped: 1, looksUp: true, shares: false });
  expect(await compile(2)).toEqual({ skipped: 0, looksUp: false, shares: true });
});
