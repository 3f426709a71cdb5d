/** A change of a dispatch list changes the expected text: nothing may change it unnoticed. */
import { expect, it } from 'vitest';
import {
  fakeDevice,
  fakeGpuPlan,
  fakeGpuWeights,
  printByLayer,
  SIXTEEN_LAYERS,
  tinyCheckpoint,
} from '../../../e2e/fake_device';
import type { BufferRegion, Dispatch } from './dispatch';
import { lowerPlanToDispatches } from './lower';
import { createWebGpuProgram } from './program';
import '../../modules/encoders';
import { ggufBytes, tinyModel } from '../../../e2e/tools/tiny';
import { TEXT, tinyEncoder } from '../../../e2e/tools/tiny_vision';
import { openCheckpoint } from '../../engine/checkpoint';
import { registerArchitecture } from '../../model/architecture';
import { LFM2VL } from '../../model/lfm2_vl';
import { memorySource } from '../../store/byte_source';
import { recordVision } from '../vision_plan';

const region = ([name, { buffer, offset, size }]: [string, BufferRegion]): string =>
  `${name} = ${buffer.label}${offset || size !== buffer.size ? ` ${offset}+${size}` : ''}`;
const constant = ([name, value]: [string, number]): string => `${name} ${Number(value.toPrecision(6))}`;

it('lowers a 16-layer model to these dispatches: 73 of a greedy token, 74 of a sampled one, 79 and 80 with several spans', async () => {
  const device = fakeDevice({ subgroups: true, limit: 2 ** 27 });
  const plan = fakeGpuPlan(await tinyCheckpoint(SIXTEEN_LAYERS), device);
  const program = await createWebGpuProgram(device, plan, { contextLength: 2048, prefillBatch: 64 }, true);
  const { sampler, skipped, scratch } = program.internals();
  const { gpu, buffers, counts: drawCounts, prepared } = (await program.newState()).internals();

  const pipelines: string[] = [];
  function print({ label, sources, constants, bindings, grid, tuneKey, partOf }: Dispatch): string {
    const pipeline = `  ${sources.join(' ')}\n  ${Object.entries(constants).map(constant).join(', ')}\n`;
    if (!pipelines.includes(pipeline)) pipelines.push(pipeline);
    const tuned = `${tuneKey ? `, tuned as ${tuneKey}` : ''}${partOf ? `, part of ${partOf.label}` : ''}`;
    return `${label} ${grid.join('×')}, pipeline ${pipelines.indexOf(pipeline)}${tuned}\n  ${Object.entries(bindings).map(region).join(', ')}\n`;
  }
  const draws = sampler!.dispatches(gpu.tokens, drawCounts!);
  const lists = [
    { T: 1, context: 512 },
    { T: 1, context: 2048 },
    { T: 8, context: 1 },
    { T: 64, context: 1 },
  ].map(
    ({ T, context }) =>
      `--- T = ${T}${T === 1 ? `, up to ${context} positions` : ''}\n${printByLayer(lowerPlanToDispatches(gpu, plan, { ...scratch, ...buffers }, T, context).map((list) => list.map(print).join('')))}`,
  );
  const drawn = `--- greedy draw\n${draws.greedy.map(print).join('')}--- sampled draw\n${draws.sampled.map(print).join('')}`;
  await expect(
    `${lists.join('')}${drawn}${pipelines.map((pipeline, i) => `--- pipeline ${i}\n${pipeline}`).join('')}`,
  ).toMatchFileSnapshot('dispatches.expected.txt');

  const counts = [512, 1024, 2048].map((context) =>
    [draws.greedy, draws.sampled].map((draw) => prepared.decode.get(context)!.length + draw.length - skipped),
  );
  expect(counts).toEqual([[73, 74], [79, 80], [79, 80]]); // prettier-ignore
});

it('lowers a vision encoder of 12 layers to 98 dispatches and its projector to 4, for a tile of 1,024 patches', async () => {
  registerArchitecture(LFM2VL);
  const device = fakeDevice({ subgroups: true, limit: 2 ** 27 });
  const files = [ggufBytes(tinyModel(TEXT)), ggufBytes(tinyEncoder({ layers: 12 }))];
  const checkpoint = await openCheckpoint(files.map((bytes, i) => memorySource(`${i}.gguf`, bytes)));
  const { encoder, projector } = recordVision(checkpoint, fakeGpuWeights(checkpoint, device));
  const counts = [];
  for (const [plan, T] of [
    [encoder, 1024],
    [projector, 256],
  ] as const) {
    const program = await createWebGpuProgram(device, plan, { contextLength: T, prefillBatch: T }, true);
    const { scratch } = program.internals();
    const { gpu, buffers } = (await program.newState()).internals();
    counts.push(lowerPlanToDispatches(gpu, plan, { ...scratch, ...buffers }, T, 1).flat().length);
  }
  expect(counts).toEqual([98, 4]);
});
