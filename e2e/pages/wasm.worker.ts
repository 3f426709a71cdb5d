/** The WASM backend in a worker, for e2e/wasm.spec.ts: hashes of conformance cases, and the backend's info. */
import '../../src/modules/experts';
import { expose } from 'comlink';
import { firstState, type BackendInfo } from '../../src/backend/backend';
import { CONFORMANCE_CASES, runConformanceCase } from '../../src/backend/conformance';
import type { ConformanceCase } from '../../src/backend/conformance_case';
import { recordPlan } from '../../src/backend/plan';
import { writeRandomMatrix } from '../../src/backend/random_weights';
import { GREEDY_SAMPLING } from '../../src/backend/sampling';
import { openWasmBackend, type WasmOptions } from '../../src/backend/wasm/backend';
import { checkAbove4GiB, openAbove4GiB } from './memory64';

async function hashesOf(
  options: WasmOptions & { memory64?: boolean },
  cases: ConformanceCase[],
): Promise<Record<string, number>> {
  const hashes: Record<string, number> = {};
  for (const one of cases) {
    const backend = await (options.memory64 ? openAbove4GiB : openWasmBackend)(options);
    const outcomes = await runConformanceCase(one, backend);
    checkAbove4GiB(backend);
    await backend.dispose();
    for (const { run, values } of outcomes) {
      let hash = 2166136261;
      for (const word of new Uint32Array(values.buffer, values.byteOffset, values.length))
        hash = Math.imul(hash ^ word, 16777619);
      hashes[`${one.name}: ${run}`] = hash >>> 0;
    }
  }
  return hashes;
}

const page = {
  /** FNV-1a hashes of the bits of every output of one case, or of all cases. */
  async bits(options: WasmOptions & { memory64?: boolean }, name?: string): Promise<Record<string, number>> {
    return hashesOf(options, name ? CONFORMANCE_CASES.filter((c) => c.name === name) : CONFORMANCE_CASES);
  },

  /** The same of cases of encoders whose rows are given. */
  async bitsOfGivenRows(options: WasmOptions & { memory64?: boolean }): Promise<Record<string, number>> {
    await import('../../src/modules/encoders');
    const { ENCODER_CASES } = await import('../../src/backend/conformance_encoders');
    return hashesOf(
      options,
      ENCODER_CASES.filter(({ rows }) => rows),
    );
  },

  /** The backend's info after it has decoded `steps` tokens of a plan with one large linear map. */
  async info(
    options: WasmOptions,
    { steps = 1, workers = true } = {},
  ): Promise<BackendInfo & { tokens: number[]; isolated: boolean }> {
    const { Worker } = globalThis;
    if (!workers)
      globalThis.Worker = class {
        constructor() {
          throw new Error('no workers today');
        }
      } as never;
    const backend = await openWasmBackend(options);
    const matrix = (name: string, dtype: 'F32' | 'Q4_0', rows: number, cols: number) =>
      writeRandomMatrix(backend, { name, rows, cols, segments: [{ name, rows, dtype }] });
    const table = await matrix('table', 'F32', 128, 2048);
    const head = await matrix('head', 'Q4_0', 4096, 2048);
    const narrow = await matrix('narrow', 'Q4_0', 128, 4096);
    const plan = recordPlan((op) => op.linear(narrow, op.last(op.linear(head, op.embed(table)))));
    const state = await firstState(backend, plan, { contextLength: 1024, prefillBatch: 64 });
    globalThis.Worker = Worker;
    await state.prefill(Uint32Array.of(1, 2, 3));
    const tokens = [...(await state.decode(steps, GREEDY_SAMPLING))];
    const info = { ...backend.info, tokens, isolated: globalThis.crossOriginIsolated };
    await backend.dispose();
    return info;
  },
};

export type WasmPage = typeof page;
expose(page);
