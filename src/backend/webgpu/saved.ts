/** States outside the GPU: convolution columns, then keys and values, as they stand in its buffers. */
import { fail } from '../../errors';
import type { SavedState } from '../backend';
import { checkSavedState, StateCursor } from '../state_cursor';
import { createBufferGroup } from './buffer_group';
import {
  cacheRegions,
  closeConversation,
  encodeCopies,
  openConversation,
  roomFor,
  type Conversation,
} from './conversation';
import type { BufferRegion } from './dispatch';
import type { ProgramParts } from './program';
import { createReadbackPool } from './readback';
import { columnBytes, copyColumns } from './state_buffers';

const PIECE_BYTES = 4 << 20;

/** As State.save. */
export const saveConversation = (one: Conversation): SavedState => ({
  layout: one.program.layout,
  tokens: one.history.slice(0, one.cursor.position),
  pieces: readPieces(one),
});

/** All that is saved of the first positions; `columns` holds the convolution columns. */
const savedRegions = (one: Conversation, columns: BufferRegion): { region: BufferRegion; bytes: number }[] => [
  { region: columns, bytes: columnBytes(one.program.plan) },
  ...cacheRegions(one, one.cursor.position),
];

async function* readPieces(one: Conversation): AsyncGenerator<Uint8Array<ArrayBuffer>> {
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

/** As Program.restore. @throws StorageError, MemoryError, DeviceError; then nothing is held */
export async function restoreConversation(program: ProgramParts, saved: SavedState): Promise<Conversation> {
  const { opened, plan, contextLength, limits, layout } = program;
  opened.throwIfFailed();
  checkSavedState(saved, layout, limits);
  const position = saved.tokens.length;
  const cursor = new StateCursor(limits);
  cursor.restored(position);
  const one = await openConversation(program, cursor, roomFor(position, contextLength));
  try {
    const columns = await one.group.take('saved', columnBytes(plan));
    await writePieces(program, savedRegions(one, columns), saved.pieces);
    encodeCopies(program, (encoder) => copyColumns(encoder, plan, one.buffers, position, { columns, back: true }));
    one.group.free(columns);
    one.history.set(saved.tokens);
    opened.device.queue.writeBuffer(one.gpu.tokens.buffer, 0, one.history, 0, position);
    opened.throwIfFailed();
    return one;
  } catch (error) {
    closeConversation(one);
    throw error;
  }
}

/** Writes pieces of any lengths, which together must be as long as the regions. */
async function writePieces(
  { opened }: ProgramParts,
  regions: { region: BufferRegion; bytes: number }[],
  pieces: AsyncIterable<Uint8Array>,
): Promise<void> {
  const { queue } = opened.device;
  const wanted = regions.reduce((sum, { bytes }) => sum + bytes, 0);
  const refuse = (got: string): never =>
    fail('StorageError', {
      what: 'The saved conversation is damaged',
      got,
      wanted: `${wanted} bytes`,
      cure: 'Read its text again.',
    });
  const block = new Uint8Array(PIECE_BYTES); // pieces may end anywhere, and writes are of whole words
  const left = regions.filter(({ bytes }) => bytes > 0);
  let [got, at, filled] = [0, 0, 0];
  for await (let piece of pieces) {
    got += piece.length;
    if (got > wanted) refuse(`at least ${got} bytes`);
    while (piece.length > 0) {
      const [{ region, bytes }] = left;
      const part = piece.subarray(0, Math.min(PIECE_BYTES, bytes - at) - filled);
      block.set(part, filled);
      filled += part.length;
      piece = piece.subarray(part.length);
      if (filled < Math.min(PIECE_BYTES, bytes - at)) continue;
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
  if (got < wanted) refuse(`${got} bytes`);
}
