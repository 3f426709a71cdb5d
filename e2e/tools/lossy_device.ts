/** An engine on the reference backend whose device can be lost, or out of memory, at any of its calls. */
import type { Backend, Program, State } from '../../src/backend/backend';
import { openReferenceBackend } from '../../src/backend/reference/backend';
import type { BackendCandidate } from '../../src/engine/choose_backend';
import { createEngine, type EngineWorkerCalls } from '../../src/engine/engine';
import { fail } from '../../src/errors';
import { memorySource } from '../../src/store/byte_source';
import { tinyGguf } from './tiny';

export const MODEL = tinyGguf({
  hidden: 32,
  ffn: 32,
  heads: 2,
  kvHeads: 1,
  headDim: 16,
  vocab: 280,
  layers: ['conv', 'attention'],
  contextLength: 8192,
});

/** What is done to the devices of one engine, in order. */
export interface Fate {
  /** calls of the devices so far; decode counts by tokens, as the length of its windows goes by the clock */
  acts: number;
  /** the device is lost at these acts */
  losses: number[];
  /** memory is refused at this act, or for contexts longer than `room` */
  refusal: number;
  room: number;
  opened: number;
  freed: number;
  /** the source is read once more from here */
  source: Uint8Array;
}

export const untouched = (): Fate => ({
  acts: 0,
  losses: [],
  refusal: -1,
  room: Infinity,
  opened: 0,
  freed: 0,
  source: MODEL,
});

/** A state of which every call on the device is an act. */
function lossyState(state: State, program: Program, act: (n?: number) => void): State {
  const lossy: State = {
    ...state,
    program,
    get position() {
      return state.position;
    },
    get bytes() {
      return state.bytes;
    },
    prefill: async (tokens) => (act(), state.prefill(tokens)),
    decode: async (steps, how) => (act(steps), state.decode(steps, how)),
    logits: async () => (act(), state.logits()),
    logprobs: async (chosen, n) => (act(), state.logprobs(chosen, n)),
    fork: async () => (act(), lossyState(await state.fork(), program, act)),
  };
  return lossy;
}

/** The reference backend on a device that can be lost at any of its calls. */
export function fated(fate: Fate, name: BackendCandidate['name']): BackendCandidate {
  return {
    name,
    label: name,
    open() {
      const backend = openReferenceBackend();
      backend.info.name = name;
      let gone = false;
      const act = (n = 1): void => {
        const comes = (at: number): boolean => at > fate.acts && at <= fate.acts + n;
        const refused = comes(fate.refusal);
        gone ||= name === 'webgpu' && fate.losses.some(comes);
        fate.acts += n;
        if (gone) fail('DeviceError', { what: 'The GPU failed', got: 'device lost' });
        if (refused) fail('MemoryError', { what: 'GPU memory was refused' });
      };
      fate.opened++;
      return {
        ...backend,
        matrix(spec) {
          const { write, finish } = backend.matrix(spec);
          return { write: async (...a) => (act(), write(...a)), finish };
        },
        async compile(plan, options) {
          act();
          if (options.contextLength > fate.room) fail('MemoryError', { what: 'GPU memory was refused' });
          const program = await backend.compile(plan, options);
          const lossy: Program = {
            ...program,
            newState: async () => (act(), lossyState(await program.newState(), lossy, act)),
          };
          return lossy;
        },
        lost: () => gone,
        dispose: () => void fate.freed++,
      } satisfies Backend;
    },
  };
}

export const engineOf = (fate: Fate, names: BackendCandidate['name'][] = ['webgpu', 'wasm']): EngineWorkerCalls =>
  engineOn(
    fate,
    names.map((name) => fated(fate, name)),
  );

/** The same on other backends. */
export function engineOn(fate: Pick<Fate, 'source'>, candidates: BackendCandidate[]): EngineWorkerCalls {
  return createEngine({
    open: async (_, { onProgress } = {}) => {
      onProgress?.({ phase: 'read', bytes: 0, total: 1, rate: 0 });
      return {
        id: 'a/b',
        files: [memorySource('a.gguf', fate.source)],
        cached: true,
        notes: [],
        finish: async () => {},
        close: async () => {},
        discard: async () => {},
      };
    },
    candidates: () => candidates,
  });
}
