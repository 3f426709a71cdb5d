/**
 * Keeps the set that is measured, and results to compare with, over a reload or a crash. Where the browser refuses
 * storage they live as long as the page.
 */
import { createStore, get, set, type UseStore } from 'idb-keyval';
import resultSchema from '../../docs/benchmark.schema.json';
import { schemaError, type Schema } from './check_schema';
import { PRESETS, type PlannedRun, type Selection } from './plan';
import { NotAResult, parseResult, type BenchmarkResult, type PartialRun } from './result';
import { QUANTIZATIONS, SHAPE_LABELS } from './shapes';

/** A set of runs. `result.runs` are those that have ended; the next of `plan` is under way or comes next. */
export interface StoredSet {
  selection: Selection;
  plan: PlannedRun[];
  result: BenchmarkResult;
  /** of the run under way */
  partial: PartialRun;
  /** how often the run under way was begun */
  attempts: number;
  state: 'running' | 'stopped' | 'done';
}

export const partialOf = ({ measurements = [], sustained }: Partial<PartialRun> = {}): PartialRun => ({
  measurements: [...measurements],
  ...(sustained && { sustained }),
});

/** All properties must be there but those named as optional. */
const object = (properties: Record<string, Schema>, optional: string[] = []): Schema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
});
const list = (items: Schema): Schema => ({ type: 'array', items });
const [text, flag, whole]: Schema[] = [{ type: 'string' }, { type: 'boolean' }, { type: 'integer', minimum: 0 }];
const backend: Schema = { enum: ['wasm', 'webgpu'] };
const quantization: Schema = { enum: Object.keys(QUANTIZATIONS) };

const SELECTION = object(
  { shapes: list(text), quantizations: list(text), stored: list(text), file: text, backends: list(backend),
    prefill: list(whole), decode: list(whole), classes: flag, sustained: flag, kernels: flag, repetitions: whole },
  ['file'],
); // prettier-ignore
const PLANNED = object(
  {
    source: object({ shape: { enum: Object.keys(SHAPE_LABELS) }, stored: text, file: text }, [
      'shape',
      'stored',
      'file',
    ]),
    name: text,
    quantization,
    backend,
    cases: list(object({ prompt: whole, generate: whole, cached: flag })),
    sustained: whole,
    kernels: flag,
  },
  ['quantization'],
);
const { measurements, sustained } = resultSchema.$defs.run.properties;
/** of a stored set; its result has the schema of results */
const SET_SCHEMA = {
  ...object({
    selection: SELECTION,
    plan: list(PLANNED),
    partial: object({ measurements, sustained }, ['sustained']),
    attempts: whole,
    state: { enum: ['running', 'stopped', 'done'] },
  }),
  $defs: resultSchema.$defs,
} as Schema;

const SET = 'set';
const COMPARED = 'compared';

export class SetStore {
  /** true where nothing outlives the page */
  fleeting = false;
  private readonly store: UseStore | undefined;

  constructor() {
    try {
      this.store = createStore('rivulet-bench', 'results');
    } catch {
      this.fleeting = true;
    }
  }

  private async read(key: string): Promise<unknown> {
    try {
      return this.store && (await get(key, this.store));
    } catch {
      this.fleeting = true;
      return undefined;
    }
  }

  private async write(key: string, value: unknown): Promise<void> {
    try {
      if (this.store) await set(key, value, this.store);
    } catch {
      this.fleeting = true;
    }
  }

  /**
   * The last set. What is stored is checked as if it came from a file: a set that cannot go on still has its result.
   */
  async set(): Promise<StoredSet | undefined> {
    const stored = await this.read(SET);
    const result = checked((stored as StoredSet | undefined)?.result);
    if (!result) return undefined;
    if (schemaError(SET_SCHEMA, stored) === undefined) return { ...(stored as StoredSet), result };
    return {
      selection: { stored: [], backends: ['wasm'], ...PRESETS.standard },
      plan: [],
      result,
      partial: partialOf(),
      attempts: 0,
      state: 'done',
    };
  }

  async saveSet(value: StoredSet | undefined): Promise<void> {
    await this.write(SET, value);
  }

  async compared(): Promise<BenchmarkResult[]> {
    const stored = await this.read(COMPARED);
    return Array.isArray(stored) ? stored.flatMap((one) => checked(one) ?? []) : [];
  }

  async saveCompared(results: BenchmarkResult[]): Promise<void> {
    await this.write(COMPARED, results);
  }
}

/** An earlier version of the page may have stored another form. */
function checked(value: unknown): BenchmarkResult | undefined {
  try {
    return parseResult(JSON.stringify(value));
  } catch (error) {
    if (error instanceof NotAResult || error instanceof TypeError) return undefined;
    throw error;
  }
}
