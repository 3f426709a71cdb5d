/** Keeps the set that is measured, and results to compare with, over a reload or a crash. Where the browser refuses storage they live as long as the page. */
import { createStore, get, set, type UseStore } from 'idb-keyval';
import { NotAResult, parseResult, type BenchmarkResult, type Measurement } from './result';
import type { PlannedRun, Selection } from './plan';

/** A set of runs. `result.runs` are those that have ended; the next of `plan` is under way or comes next. */
export interface StoredSet {
  selection: Selection;
  plan: PlannedRun[];
  result: BenchmarkResult;
  /** of the run under way */
  partial: Measurement[];
  /** how often the run under way was begun */
  attempts: number;
  state: 'running' | 'stopped' | 'done';
}

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

  /** The last set, with every value checked as if it came from a file. */
  async set(): Promise<StoredSet | undefined> {
    const stored = (await this.read(SET)) as StoredSet | undefined;
    if (!stored || !Array.isArray(stored.plan)) return undefined;
    const result = checked(stored.result);
    return result && { ...stored, result };
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
