/** States outside the GPU: convolution columns, then keys and values, as they stand in its buffers. */
import { exactly } from '../saved_pieces';
import type { StateCursor } from '../state_cursor';
import { createBufferGroup } from './buffer_group';
import { cacheRegions, closeConversation, encodeCopies, openConversation, roomFor } from './conversation';
import type { BufferRegion } from './dispatch';
import type { StateParts, ProgramParts } from './parts';
import type { WebGpuProgram } from './program';
import { createReadbackPool } from './readback';
import { createWebGpuState, type WebGpuState } from './state';
import { columnBytes, copyColumns } from './state_buffers';

const PIECE_BYTES = 4 << 20;

export const webGpuForm = (program: WebGpuProgram): string =>
  `webgpu ${program.internals().scratch.f16Cache ? 'f16' : 'f32'}`;

interface SavedRegion {
  region: BufferRegion;
  bytes: number;
}

/** All that is saved of the first positions; `columns` holds the convolution columns. */
const savedRegions = (one: StateParts, columns: BufferRegion): SavedRegion[] => [
  { region: columns, bytes: columnBytes(one.program.plan) },
  ...cacheRegions(one, one.cursor.position),
];

export function readWebGpuState(state: WebGpuState): { tokens: Uint32Array; pieces: AsyncGenerator<Uint8Array> } {
  const one = state.internals();
  return { tokens: one.history.slice(0, one.cursor.position), pieces: readPieces(one) };
}

async function* readPieces(one: StateParts): AsyncGenerator<Uint8Array> {
  const { program, buffers, cursor } = one;
  const { opened, plan } = program;
  opened.throwIfFailed();
  await one.changing;
  const group = createBufferGroup(opened);
  const pool = createReadbackPool(opened, 'saved', PIECE_BYTES, 1);
  try {
    const columns = await group.take('saved', columnBytes(plan));
    encodeCopies(program, (encoder) => copyColumns(encoder, plan, buffers, cursor.position, { columns }));
    for (const { region, bytes } of savedRegions(one, columns))
      for (let at = 0; at < bytes; at += PIECE_BYTES) {
        let piece: { read(): Promise<ArrayBuffer> };
        encodeCopies(program, (encoder) => {
          piece = pool.copy(encoder, region.buffer, at, Math.min(PIECE_BYTES, bytes - at));
        });
        yield new Uint8Array(await piece!.read());
      }
  } finally {
    pool.dispose();
    group.release();
  }
}

/** @throws StorageError, MemoryError, DeviceError; then nothing is held */
export async function writeWebGpuState(
  program: WebGpuProgram,
  cursor: StateCursor,
  tokens: Uint32Array,
  pieces: AsyncIterable<Uint8Array>,
): Promise<WebGpuState> {
  const parts = program.internals();
  const { opened, plan, contextLength } = parts;
  const { position } = cursor;
  opened.throwIfFailed();
  const one = await openConversation(parts, cursor, roomFor(position, contextLength));
  try {
    const columns = await one.group.take('saved', columnBytes(plan));
    await writePieces(parts, savedRegions(one, columns), pieces);
    encodeCopies(parts, (encoder) => copyColumns(encoder, plan, one.buffers, position, { columns, back: true }));
    one.group.free(columns);
    one.history.set(tokens);
    opened.device.queue.writeBuffer(one.gpu.tokens.buffer, 0, one.history, 0, position);
    opened.throwIfFailed();
    return createWebGpuState(program, one);
  } catch (error) {
    closeConversation(one);
    throw error;
  }
}

/** Writes pieces of any lengths, which together must be as long as the regions. */
async function writePieces(
  { opened }: ProgramParts,
  regions: SavedRegion[],
  pieces: AsyncIterable<Uint8Array>,
): Promise<void> {
  const { queue } = opened.device;
  const wanted = regions.reduce((sum, { bytes }) => sum + bytes, 0);
  const block = new Uint8Array(PIECE_BYTES); // pieces may end anywhere, and writes are of whole words
  const left = regions.filter(({ bytes }) => bytes > 0);
  let [at, filled] = [0, 0];
  for await (let piece of exactly(pieces, wanted))
    while (piece.length > 0) {
      const [{ region, bytes }] = left;
      const end = Math.min(PIECE_BYTES, bytes - at);
      const part = piece.subarray(0, end - filled);
      block.set(part, filled);
      filled += part.length;
      piece = piece.subarray(part.length);
      if (filled < end) continue;
      queue.writeBuffer(region.buffer, at, block, 0, filled);
      await opened.waitFor(queue.onSubmittedWorkDone()); // else all of it would wait in memory
      at += filled;
      filled = 0;
      if (at === bytes) {
        left.shift();
        at = 0;
      }
    }
}
