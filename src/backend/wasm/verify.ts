/** Several tokens of an answer in one step, where a guess says what they may be. */
import { OpKind } from 'virtual:rivulet-kernels';
import type { Program, State } from '../backend';
import type { SamplingParams } from '../sampling';
import type { Interpreter } from './interpreter';
import type { Op } from './lower';
import type { WasmState } from './state';

/** Draws tokens of a state of one program, several in a step if guesses were right. */
export interface Verifier {
  /** most tokens of a guess */
  readonly most: number;
  /** The tokens that the state has read, and the pending one. Valid until its next call. */
  tokens(state: State): Uint32Array;
  /** How many tokens a guess may have now: 0 if there is no pending token. */
  room(state: State): number;
  /**
   * Reads the pending token and the guess, and draws a token after each of them, up to the first that is not as
   * guessed. These are the tokens that `decode` gives one by one, since a row has the same bits alone and in a batch;
   * what was read behind them is taken back. The last one is pending.
   * @param guess at most `room` tokens
   * @param sampling without a mask
   * @throws what decode throws; MemoryError for the rows of the first call
   */
  verify(state: State, guess: Uint32Array, sampling: SamplingParams): Promise<Uint32Array>;
}

/**
 * The ops with all rows after `last` in place of its one.
 * @returns their address, and that of the logits [T, V]
 * @throws MemoryError; then it holds nothing
 */
function lowerAllRows({ lowered: { list }, heap, scope }: Interpreter, T: number): { ops: number; logits: number } {
  const { OP } = heap.build.structs;
  const at = list.findIndex(({ kind }) => kind === OpKind.last);
  // addresses of activations of one row, and offsets of those with all rows
  const rows = new Map<number, number>();
  let bytes = Math.ceil((list.length * OP.bytes) / 64) * 64;
  for (const { y, rows: width } of list.slice(at + 1))
    if (y !== list[at].y && !rows.has(y!)) {
      rows.set(y!, bytes);
      bytes += Math.ceil((T * width! * 4 + 16) / 64) * 64;
    }
  const ops = scope.alloc(bytes, 'the logits of several tokens');
  const moved = (address: number | undefined): number | undefined =>
    address === list[at].y ? list[at].x : rows.has(address!) ? ops + rows.get(address!)! : address;
  const all = list.map((op, i): Op => {
    if (i < at) return op;
    if (i === at) return { kind: OpKind.input }; // does nothing
    return { ...op, single: 0, x: moved(op.x), y: moved(op.y), add: moved(op.add) };
  });
  all.forEach((op, i) => OP.write(heap, ops + i * OP.bytes, op));
  return { ops, logits: all.at(-1)!.y! };
}

/** Most tokens of a step. */
const MAX_STEP = 16;

/**
 * Undefined for a program of another backend, and for one that reads experts from the source: a batch would read those
 * of tokens that are taken back.
 */
export function createVerifier(program: Program): Verifier | undefined {
  const shared = program.internals?.() as Interpreter | undefined;
  if (!shared || !('lowered' in shared) || shared.experts) return undefined;
  if (!shared.lowered.list.some(({ kind }) => kind === OpKind.last)) return undefined;
  const { lowered, limits, heap, columns: V } = shared;
  const T = Math.min(MAX_STEP, limits.prefillBatch);
  let all: ReturnType<typeof lowerAllRows> | undefined;

  return {
    most: T - 1,

    tokens(of) {
      const { history, position, cursor } = of as WasmState;
      return heap.u32.subarray(history / 4, history / 4 + position + Number(cursor.pending));
    },

    room(of) {
      const { cursor: { pending, position } } = of as WasmState; // prettier-ignore
      return pending ? Math.max(0, Math.min(T, limits.contextLength - position) - 1) : 0;
    },

    async verify(of, guess, sampling) {
      const state = of as WasmState;
      const { cursor, cursor: { position, promptLength } } = state; // prettier-ignore
      const reads = guess.length + 1;
      shared.check(state);
      cursor.checkDecode(reads, sampling);
      state.allocatePages(position + reads);
      all ??= lowerAllRows(shared, T);
      if (!shared.isCurrent(state)) shared.enter(state);
      const first = state.history / 4 + position + 1;
      heap.u32.set(guess, first);
      shared.writeSampling(sampling);
      cursor.interrupted(reads); // columns of the rings are written over, whatever is drawn
      let right = 0;
      try {
        shared.set({ ops: all.ops });
        await shared.run(reads, position, 0, promptLength);
        for (; right < reads; right++) {
          shared.set({ logits: all.logits + right * V * 4 });
          await shared.run(0, position + right + 1, 1, promptLength);
          if (heap.u32[first + right] !== guess[right]) break;
        }
      } finally {
        shared.set({ ops: lowered.ops, logits: shared.logits });
      }
      const drawn = right + 1;
      const row = all.logits + right * V * 4;
      heap.u8.copyWithin(shared.logits, row, row + V * 4);
      cursor.decoded(drawn, drawn);
      return heap.u32.slice(first, first + drawn);
    },
  };
}
