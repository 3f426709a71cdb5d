/** What experts that are read when a token needs them must do, beside the same model in memory; run in a worker. */
import type { Backend, PackedExperts, State } from '../src/backend/backend';
import { firstState } from '../src/backend/backend';
import { recordModel } from '../src/backend/model_plan';
import { ALL_FILTERS_SAMPLING, GREEDY_SAMPLING } from '../src/backend/sampling';
import { openCheckpoint } from '../src/engine/checkpoint';
import { loadWeights } from '../src/engine/load_weights';
import { paging } from '../src/engine/paging';
import type { MatrixSource } from '../src/model/weights';
import { memorySource } from '../src/store/byte_source';
import { tinyGguf } from './tools/tiny';

const model = (): Uint8Array =>
  tinyGguf({
    // as in files with several types: layers of which the frames differ
    dtype: (name) => (/blk\.2\.ffn_down_exps/.test(name) ? 'Q6_K' : 'Q4_0'),
    layers: ['conv', 'attention', 'conv', 'conv', 'conv'],
    hidden: 256,
    experts: { count: 8, top: 2, ffnSize: 256, denseLayers: 1, normalise: true, scale: 1 },
  });
const EXPERT_BYTES = 3 * 256 * 256 * (18 / 32);
const BATCH = 64;
const prompt = Uint32Array.from({ length: 130 }, (_, i) => (i * 37) % 300);

interface Opened {
  state: State;
  backend: Backend;
  /** reads from now on fail, and there are no copies; by default none do */
  fail(message?: string): void;
  /** how many experts were read from the file */
  fromFile(): number;
}

/** Copies of experts as a swap file keeps them, while `use` says so. */
function withCopies(pagedMatrix: Backend['pagedMatrix'], use: () => boolean): Backend['pagedMatrix'] {
  return (spec, read) => {
    const copies = new Map<number, Uint8Array>();
    const packed: PackedExperts = {
      read(expert, bytes) {
        const copy = copies.get(expert);
        if (copy?.length === bytes.length) bytes.set(copy);
        return copy?.length === bytes.length;
      },
      write: (expert, bytes) => void copies.set(expert, bytes.slice()),
    };
    return pagedMatrix!(spec, Object.assign(read, { packed: async () => (use() ? packed : undefined) }));
  };
}

async function openPaged(backend: Backend, memoryBudget?: number): Promise<Opened> {
  let failure: string | undefined;
  let [copying, expertsRead] = [true, 0];
  const file = memorySource('tiny.gguf', model());
  const checkpoint = await openCheckpoint([
    {
      ...file,
      read: async (...range) => {
        if (failure) throw new Error(failure);
        expertsRead += 1 / 3; // W1, W3 and W2
        return file.read(...range);
      },
    },
  ]);
  await backend.reserve(64 << 20);
  backend.pagedMatrix = withCopies(backend.pagedMatrix, () => copying);
  const paged = (source: MatrixSource) => paging.matrix(source, backend, checkpoint.files);
  const weights = await loadWeights(checkpoint, backend, () => undefined, undefined, memoryBudget ? paged : undefined);
  const plan = recordModel(checkpoint, weights);
  const state = await firstState(backend, plan, { contextLength: 256, prefillBatch: BATCH, memoryBudget });
  const atFirst = expertsRead;
  const fail = (message?: string): void => void ([failure, copying] = [message, false]);
  return { state, backend, fail, fromFile: () => Math.round(expertsRead - atFirst) };
}

async function read(state: State, tokens: Uint32Array): Promise<Float32Array> {
  for (let at = 0; at < tokens.length; at += BATCH) await state.prefill(tokens.slice(at, at + BATCH));
  return state.logits();
}

/** Numbers of a conversation: a long prompt, draws, another state by turns, a copy, a rewind. */
async function converse({ state }: Opened): Promise<Float32Array[]> {
  const numbers = [await read(state, prompt)];
  const drawn = [state.decode(4, ALL_FILTERS_SAMPLING), state.decode(3, GREEDY_SAMPLING)]; // both at the same time
  for (const tokens of await Promise.all(drawn)) numbers.push(Float32Array.from(tokens));
  const other = await state.program.newState();
  numbers.push(await read(other, prompt.slice(3, 9)));
  numbers.push(Float32Array.from(await state.decode(3, GREEDY_SAMPLING)), await state.logits());
  const copy = await state.fork();
  state.rewind(131);
  numbers.push(await read(state, prompt.slice(0, 5)), await read(copy, prompt.slice(7, 8)), await other.logits());
  return numbers;
}

/** A read that fails, in a prompt and in an answer, and a call that is stopped: the state goes on afterwards. */
async function interrupt(all: Opened, few: Opened): Promise<string | undefined> {
  const signal = AbortSignal.abort();
  const failures: [RegExp, () => Promise<unknown>][] = [
    [/no such bytes/, () => (few.fail('no such bytes'), read(few.state, prompt.slice(40, 80)))],
    [/abort/i, () => (few.fail(), few.state.prefill(prompt.slice(40, 80), { signal }))],
  ];
  for (const [wanted, call] of failures) {
    const { position } = few.state;
    const got = await call().then(String, String);
    if (!wanted.test(got)) return `a call that fails: ${got}`;
    if (few.state.position !== position) return `the position after it: ${few.state.position}`;
  }
  few.fail();
  for (const { state } of [all, few]) state.rewind(state.rewindTarget(100));
  const [a, b] = [await read(all.state, prompt.slice(40, 80)), await read(few.state, prompt.slice(40, 80))];
  if (`${a}` !== `${b}`) return 'other logits after a call that failed';
  await all.state.decode(1, GREEDY_SAMPLING);
  await few.state.decode(1, GREEDY_SAMPLING);
  few.fail('gone');
  let failed = 0;
  for (let i = 0; i < 8; i++) {
    const [wanted] = await all.state.decode(1, GREEDY_SAMPLING);
    const got = await few.state.decode(1, GREEDY_SAMPLING).catch(async (error: unknown) => {
      failed++;
      if (!/gone/.test(String(error))) return [String(error)];
      few.fail();
      return few.state.decode(1, GREEDY_SAMPLING);
    });
    few.fail('gone');
    if (got[0] !== wanted) return `token ${i} of an answer: ${got[0]}, wanted ${wanted}`;
  }
  return failed ? undefined : 'no read of the answer failed: the case tests nothing';
}

/** @returns what is wrong. @param open a new backend */
export async function pagingCase(open: () => Promise<Backend>): Promise<string | undefined> {
  const [all, whole] = [await openPaged(await open()), await openPaged(await open(), 1e9)];
  const budget = whole.backend.memory() - 13.5 * EXPERT_BYTES;
  const few = await openPaged(await open(), budget);
  try {
    const taken = few.backend.memory();
    if (taken > budget) return `${taken} bytes are taken, the budget is ${budget}`;
    const wanted = await converse(all);
    for (const one of [whole, few]) {
      const different = (await converse(one)).findIndex((numbers, i) => `${numbers}` !== `${wanted[i]}`);
      if (different >= 0) return `other numbers in step ${different} of the conversation`;
    }
    const { experts, inMemory, misses, swapped, uses, bytesRead } = few.state.program.paging!()!;
    if (experts !== 32 || inMemory < 16 || inMemory > 20) return `${inMemory} of ${experts} experts are in memory`;
    if (misses <= inMemory || misses >= uses || !bytesRead) return `${misses} of ${uses} experts were missing`;
    if (!swapped || misses - swapped !== few.fromFile() || few.fromFile() > experts)
      return `${few.fromFile()} experts were read from the file, ${swapped} of ${misses} from copies`;
    if (whole.state.program.paging!()!.misses > 32) return 'experts were read twice';
    return await interrupt(all, few);
  } finally {
    for (const { backend } of [all, whole, few]) await backend.dispose();
  }
}
