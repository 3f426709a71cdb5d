/**
 * A compiled plan on the WASM backend. A step blocks the calling thread until it is done: the caller must pause between
 * steps to receive messages.
 */
import type { CompileOptions, Program } from '../backend';
import type { Plan } from '../plan';
import { StateCursor } from '../state_cursor';
import { Interpreter, type WasmProgramContext } from './interpreter';
import { HeapScope } from './memory';
import { createWasmState } from './state';

export interface WasmProgram extends Program {
  readonly threads: number;
  /** for cost.ts and saved.ts, and for tools: describe_program.ts */
  internals(): Interpreter;
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
    const { limits } = shared;
    const program: WasmProgram = {
      get threads() {
        return shared.threads;
      },
      newState: () => createWasmState(program, shared, new StateCursor(limits)),
      paging: () => shared.experts?.paging(shared),
      internals: () => shared,
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
