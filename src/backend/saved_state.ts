/** States outside the memory of their backend. It is for saved conversations, in a side file. */
import { fail } from '../errors';
import type { Program, State } from './backend';
import { convStatesOf, kvCachesOf, type Plan } from './plan';
import { StateCursor, type CursorLimits } from './state_cursor';
import type { WasmProgram } from './wasm/program';
import { readWasmState, wasmForm, writeWasmState } from './wasm/saved';
import type { WasmState } from './wasm/state';
import type { WebGpuProgram } from './webgpu/program';
import { readWebGpuState, webGpuForm, writeWebGpuState } from './webgpu/saved';
import type { WebGpuState } from './webgpu/state';

export interface SavedState {
  /** shapes, formats and backend: a program restores states of its own layout only */
  layout: string;
  /** token ids by position */
  tokens: Uint32Array;
  /** convolution columns, keys and values, in the program's own form and in pieces of a few MB */
  pieces: AsyncIterable<Uint8Array>;
}

const isOnGpu = (program: Program): program is WebGpuProgram => 'opened' in program.internals!();

/**
 * What `restoreState` needs. No other call may run while `pieces` is read.
 * @throws DeviceError if the state is closed
 */
export function saveState(state: State): SavedState {
  const { program } = state;
  return {
    layout: layoutOf(program),
    ...(isOnGpu(program) ? readWebGpuState(state as WebGpuState) : readWasmState(state as WasmState)),
  };
}

/**
 * A state as it was saved. Its next call must be a prefill.
 * @throws StorageError if it was saved by a program of another layout, or is damaged; MemoryError, DeviceError. Then
 * nothing is held
 */
export async function restoreState(program: Program, saved: SavedState): Promise<State> {
  const { limits } = (program as WebGpuProgram | WasmProgram).internals();
  checkSavedState(saved, layoutOf(program), limits);
  const { tokens, pieces } = saved;
  const cursor = new StateCursor(limits);
  cursor.position = cursor.promptLength = tokens.length;
  cursor.ringStart = Math.max(0, tokens.length - limits.convHistory); // no columns are saved but those before it
  return isOnGpu(program)
    ? writeWebGpuState(program, cursor, tokens, pieces)
    : writeWasmState(program as WasmProgram, cursor, tokens, pieces);
}

/** What the saved states of a program are like: two programs with the same text can restore each other's states. */
function layoutOf(program: Program): string {
  const { plan }: { plan: Plan } = program.internals!();
  return [
    isOnGpu(program) ? webGpuForm(program) : wasmForm(program as WasmProgram),
    ...plan.nodes.flatMap(convStatesOf).map(({ layer, channels, length }) => `${layer} conv ${channels}×${length}`),
    ...plan.nodes.flatMap(kvCachesOf).map(({ layer, kvHeads, headDim }) => `${layer} kv ${kvHeads}×${headDim}`),
  ].join(', ');
}

/**
 * @throws StorageError unless the layouts are the same, the context has room for the state, and its tokens are of the
 * vocabulary
 */
function checkSavedState(
  { layout, tokens }: SavedState,
  wanted: string,
  { contextLength, vocabulary }: Pick<CursorLimits, 'contextLength' | 'vocabulary'>,
): void {
  const cure = 'Read its text again.';
  if (layout !== wanted)
    fail('StorageError', { what: 'The saved conversation is of another model or device', got: layout, wanted, cure });
  if (tokens.length > contextLength)
    fail('StorageError', {
      what: 'The saved conversation is longer than the context',
      got: `${tokens.length} tokens`,
      wanted: `at most ${contextLength}`,
      cure: 'Load the model with a longer context.',
    });
  const unknown = tokens.find((token) => token >= vocabulary);
  if (unknown !== undefined)
    fail('StorageError', {
      what: 'A token of the saved conversation is outside the vocabulary',
      got: unknown,
      wanted: `less than ${vocabulary}`,
      cure,
    });
}
