/** States outside the WASM memory: the convolution columns, then the keys and values of each page. */
import { KV_PAGE_POSITIONS } from 'virtual:rivulet-kernels';
import { exactly } from '../saved_pieces';
import type { StateCursor } from '../state_cursor';
import type { WasmProgram } from './program';
import { createWasmState, sizeOf, type Span, type WasmState } from './state';

export const wasmForm = (program: WasmProgram): string =>
  program.internals().context.int16 ? 'wasm int16' : 'wasm f32';

/** What is saved of a state, in pieces. */
function* savedParts(state: WasmState): Generator<Span[]> {
  const { position, pageAddresses, shared: { lowered: { cacheRows } } } = state; // prettier-ignore
  yield state.columnsBefore(position);
  if (cacheRows.length === 0) return;
  for (let first = 0; first < position; first += KV_PAGE_POSITIONS) {
    const page = pageAddresses[first / KV_PAGE_POSITIONS];
    const positions = Math.min(position - first, KV_PAGE_POSITIONS);
    yield cacheRows.map(({ offset, bytes }): Span => [page + offset, positions * bytes]);
  }
}

export function readWasmState(state: WasmState): { tokens: Uint32Array; pieces: AsyncGenerator<Uint8Array> } {
  const { shared, history, position } = state;
  shared.check(state);
  return {
    tokens: shared.heap.u32.slice(history / 4, history / 4 + position),
    pieces: (async function* () {
      for (const spans of savedParts(state)) {
        shared.check(state);
        const piece = new Uint8Array(sizeOf(spans));
        state.gather(spans, piece, 0);
        yield piece;
      }
    })(),
  };
}

/** @throws StorageError, MemoryError, DeviceError; then nothing is held */
export function writeWasmState(
  program: WasmProgram,
  cursor: StateCursor,
  tokens: Uint32Array,
  pieces: AsyncIterable<Uint8Array>,
): Promise<WasmState> {
  const shared = program.internals();
  const { heap } = shared;
  return createWasmState(program, shared, cursor, async (state) => {
    state.allocatePages(tokens.length);
    heap.u32.set(tokens, state.history / 4);
    const spans = [...savedParts(state)].flat();
    let next = 0;
    let [address, room] = [0, 0];
    for await (const piece of exactly(pieces, sizeOf(spans)))
      for (let at = 0; at < piece.length;) {
        while (room === 0) [address, room] = spans[next++];
        const part = piece.subarray(at, at + room);
        heap.u8.set(part, address);
        address += part.length;
        room -= part.length;
        at += part.length;
      }
  });
}
