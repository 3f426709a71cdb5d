/**
 * A compiled plan on the WASM backend. A step blocks the calling thread until it is done: the caller must pause between
 * steps to receive messages.
 */
import type { CompileOptions, Program } from '../backend';
import type { PlanNode, Plan } from '../plan';
import { checkSavedState, StateCursor } from '../state_cursor';
import { Interpreter, type WasmProgramContext } from './interpreter';
import { HeapScope } from './memory';
import { createWasmState } from './state';

export interface WasmProgram extends Program {
  readonly threads: number;
  /** for cost.ts, and for tools: describe_program.ts */
  internals(): {
    plan: Plan;
    /** of a page of keys and values */
    pageBytes: number;
    weightBytes(node: PlanNode): number;
    /** ms of each op and of the sampler since the model was loaded: in steps of one token, then in steps of several */
    times: Float64Array;
    /** tokens read in both */
    tokensRead: number[];
  };
}

/** @throws MemoryError, DeviceError; then it holds no memory */
export async function createWasmProgram(
  plan: Plan,
  options: CompileOptions,
  context: WasmProgramContext,
): Promise<WasmProgram> {
  const scope = new HeapScope(context.heap);
  try {
    const shared = new Interpreter(plan, options, context, scope);
    const { limits, layout, lowered } = shared;
    const program: WasmProgram = {
      get threads() {
        return shared.threads;
      },
      newState: () => createWasmState(program, shared, new StateCursor(limits)),
      async restore(saved) {
        shared.check();
        checkSavedState(saved, layout, limits);
        return createWasmState(program, shared, new StateCursor(limits), (state) => state.read(saved));
      },
      internals: () => ({
        plan,
        pageBytes: lowered.pageBytes,
        weightBytes: context.weightBytes,
        times: shared.times,
        tokensRead: shared.tokensRead,
      }),
      dispose: () => shared.dispose(),
    };
    shared.threads = context.threads ?? 1;
    if (context.threads === undefined && context.pool.size > 1)
      await createWasmState(program, shared, new StateCursor(limits), (state) => {
        shared.threads = state.measureThreads();
      }).then((state) => state.dispose());
    return program;
  } catch (error) {
    scope.dispose();
    throw error;
  }
}
