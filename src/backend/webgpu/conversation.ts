/**
 * What a state holds on the GPU, and how it comes to compute: states of a program take turns with its activations. The
 * state that enters writes `step`, and brings back its logits if it has some.
 */
import { kvCachesOf } from '../plan';
import type { StateCursor } from '../state_cursor';
import { createBufferGroup } from './buffer_group';
import { STEP, type BufferRegion } from './dispatch';
import { preparePlan } from './prepared';
import type { StateParts, ProgramParts } from './parts';
import {
  allocateStateBuffers,
  columnBytes,
  copyColumns,
  growKvCaches,
  keyCacheBytes,
  MIN_KV_CACHE_POSITIONS,
} from './state_buffers';

/** The values of `step` with which a state goes on; count 0: it has nothing to draw from and no pending token. */
export interface StepValues extends Record<string, number> {
  position: number;
  count: number;
  prompt: number;
}

export const nextStep = ({ cursor: { position, pending, lastRead, promptLength } }: StateParts): StepValues =>
  pending
    ? { position, count: 1, prompt: promptLength }
    : { position: position - lastRead, count: lastRead, prompt: promptLength };

/**
 * @param room positions of its caches, which may be fewer down to the second number if the device refuses
 * @throws MemoryError, DeviceError; then all its buffers are released
 */
export async function openConversation(
  program: ProgramParts,
  cursor: StateCursor,
  room: readonly [wanted: number, least: number],
): Promise<StateParts> {
  const { opened, plan, contextLength, scratch, sampler, V, step } = program;
  const group = createBufferGroup(opened);
  let one: StateParts | undefined;
  try {
    const tokens = await group.take('tokens', 4 * (contextLength + 1));
    const gpu = { ...opened, step, tokens };
    one = {
      program,
      cursor,
      group,
      gpu,
      counts: sampler && (await group.take('counts', 4 * V)),
      buffers: await allocateStateBuffers(gpu, group, plan, scratch.f16Cache, room),
      history: new Uint32Array(contextLength + 1),
      prepared: undefined as never, // by prepareAgain
      marks: new Map(),
      promptCounted: false,
      embedLost: false,
    };
    program.conversations.add(one);
    await prepareAgain(one);
    return one;
  } catch (error) {
    program.conversations.delete(one!);
    group.release();
    throw error;
  }
}

/** The room of a state that grows with its text. */
export function roomFor(positions: number, contextLength: number): readonly [number, number] {
  const room = Math.min(contextLength, Math.max(positions, MIN_KV_CACHE_POSITIONS));
  return [room, room];
}

export function closeConversation(one: StateParts): void {
  const { program } = one;
  program.conversations.delete(one);
  if (program.owner === one) program.owner = undefined;
  one.group.release();
}

/** Runs `change`, and prepares all dispatches again when it returns true. One change runs at a time. */
function changeConversation(one: StateParts, change: () => boolean | Promise<boolean>): Promise<void> {
  const { program, group, gpu } = one;
  const { sampler, scratch } = program;
  const changed = (one.changing ?? Promise.resolve()).then(async () => {
    if (!(await change())) return;
    one.prepared = await preparePlan(
      gpu,
      program,
      { ...scratch, ...one.buffers },
      group,
      sampler?.dispatches(gpu.tokens, one.counts!),
    );
  });
  one.changing = changed;
  return changed.finally(() => {
    if (one.changing === changed) one.changing = undefined;
  });
}

/** After a change of kernels or buffers. */
export const prepareAgain = (one: StateParts): Promise<void> => changeConversation(one, () => true);

/** Whether the next call can submit at once, with room for so many positions. */
export const isReady = (one: StateParts, positions: number): boolean =>
  !one.changing && one.program.owner === one && positions <= one.buffers.capacity;

/**
 * Waits for changes under way, makes room for so many positions, and enters.
 * @param step as `nextStep` gives it before the call changes the cursor
 * @throws MemoryError, DeviceError
 */
export function makeReady(one: StateParts, positions: number, step: StepValues): Promise<void> {
  const { program, buffers, group, gpu } = one;
  const { plan, contextLength, scratch: { f16Cache } } = program; // prettier-ignore
  return changeConversation(one, async () => {
    const grows = positions > buffers.capacity;
    if (grows)
      await growKvCaches(
        { gpu, group, plan, buffers, f16Cache },
        Math.min(contextLength, Math.max(positions, 2 * buffers.capacity)),
        positions,
      );
    await enter(one, step);
    return grows;
  });
}

async function enter(one: StateParts, step: StepValues): Promise<void> {
  const { program, keptLogits } = one;
  const { owner, output, logitBytes } = program;
  if (owner === one) return;
  const { queue } = program.opened.device;
  if (owner && owner.cursor.lastRead > 0) {
    owner.keptLogits ??= await owner.group.take('kept logits', logitBytes);
    copy(program, output, owner.keptLogits, logitBytes);
  }
  if (step.count > 0) {
    if (keptLogits) copy(program, keptLogits, output, logitBytes);
    queue.writeBuffer(program.step.buffer, 0, STEP.pack(step));
  }
  program.owner = one;
  one.embedLost = true;
}

/** Runs copies in one submit. */
export function encodeCopies({ opened: { device } }: ProgramParts, encode: (encoder: GPUCommandEncoder) => void): void {
  const encoder = device.createCommandEncoder();
  encode(encoder);
  device.queue.submit([encoder.finish()]);
}

function copy(program: ProgramParts, from: BufferRegion, to: BufferRegion, bytes: number): void {
  encodeCopies(program, (encoder) => encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, bytes));
}

/** As State.mark: a mark for which there is no memory is forgotten. */
export function markPosition(one: StateParts): void {
  const { program, cursor, marks, group, buffers } = one;
  const { plan } = program;
  const { position } = cursor;
  if (!cursor.mark()) return;
  cursor.surplusMark();
  freeOldMarks(one);
  const bytes = columnBytes(plan);
  if (!bytes) return; // it can go back to any position
  const forget = (): void => void cursor.marks.splice(cursor.marks.indexOf(position) >>> 0, 1);
  changeConversation(one, async () => {
    const columns = await group.take('mark', bytes).catch(forget);
    if (columns) {
      encodeCopies(program, (encoder) => copyColumns(encoder, plan, buffers, position, { columns }));
      marks.set(position, columns);
      freeOldMarks(one); // a rewind may have come before
    }
    return false;
  }).catch(forget);
}

function freeOldMarks({ cursor, marks, group }: StateParts): void {
  for (const [position, columns] of marks)
    if (!cursor.marks.includes(position)) {
      marks.delete(position);
      group.free(columns);
    }
}

/** As State.rewind. */
export function rewindTo(one: StateParts, position: number): boolean {
  const { program, cursor, marks, buffers } = one;
  if (cursor.rewindTarget(position) !== position) return false;
  const columns = cursor.rewound(position) && marks.get(position);
  if (columns)
    encodeCopies(program, (encoder) => copyColumns(encoder, program.plan, buffers, position, { columns, back: true }));
  freeOldMarks(one);
  return true;
}

/** As State.fork. @throws MemoryError, DeviceError; then nothing has changed */
export async function forkConversation(one: StateParts): Promise<StateParts> {
  const { program, cursor, buffers, marks, gpu, history } = one;
  program.opened.throwIfFailed();
  await one.changing;
  const { position } = cursor;
  const made = await openConversation(program, cursor.copy(), roomFor(position, program.contextLength));
  try {
    for (const mark of marks.keys()) made.marks.set(mark, await made.group.take('mark', columnBytes(program.plan)));
  } catch (error) {
    closeConversation(made);
    throw error;
  }
  made.history.set(history.subarray(0, position));
  encodeCopies(program, (encoder) => {
    const copyStart = (from: BufferRegion, to: BufferRegion, bytes: number): void =>
      void (bytes && encoder.copyBufferToBuffer(from.buffer, 0, to.buffer, 0, bytes));
    copyStart(gpu.tokens, made.gpu.tokens, 4 * position);
    for (const [layer, ring] of buffers.rings) copyStart(ring, made.buffers.rings.get(layer)!, ring.size);
    for (const [mark, columns] of marks) copyStart(columns, made.marks.get(mark)!, columns.size);
    const [from, to] = [one, made].map((each) => cacheRegions(each, position));
    from.forEach(({ region, bytes }, i) => copyStart(region, to[i].region, bytes));
  });
  return made;
}

/** The keys and values of the first positions, in the order in which they are saved. */
export function cacheRegions(
  { program: { plan, scratch }, buffers }: StateParts,
  positions: number,
): { region: BufferRegion; bytes: number }[] {
  return plan.nodes.flatMap(kvCachesOf).flatMap((cache) => {
    const { keys, values } = buffers.caches.get(cache.layer)!;
    return [keys, values].map((region) => ({ region, bytes: keyCacheBytes(cache, positions, scratch.f16Cache) }));
  });
}
