/** Measures the runs of a set one after the other. Each result is stored before the next step begins. */
import type { load as loadModel, LoadCallOptions, ModelSource } from '../../src/index';
import { isLow, readBattery, type TabWatch } from './conditions';
import { measureRun, stepName } from './measure';
import type { PlannedRun } from './plan';
import { randomGguf } from './random_gguf';
import type { KernelTimes, Run } from './result';
import { partialOf, type SetStore, type StoredSet } from './set_store';
import { stepsOf, TimeLeft, type Step } from './time_left';

export interface SetProgress {
  /** place of the run in the set, from 0 */
  run: number;
  runs: number;
  planned: PlannedRun;
  step: string;
  /** 0 to 1 */
  share: number;
  secondsLeft: number;
  /** the tab is hidden */
  waiting: boolean;
}

export interface SetOptions {
  signal: AbortSignal;
  tab: TabWatch;
  store: SetStore;
  load: typeof loadModel;
  loadOptions: Pick<LoadCallOptions, 'threads' | 'variant' | 'allowSoftware'>;
  /** the chosen file, by name */
  files: ReadonlyMap<string, File>;
  onProgress(progress: SetProgress): void;
  /** a run has ended */
  onResult(): void;
  kernelTimes?(source: ModelSource, signal: AbortSignal): Promise<KernelTimes>;
}

/** A run that ended the page this often is left out. */
const MAX_ATTEMPTS = 2;

/** @throws AbortError; the set can go on later */
export async function runSet(set: StoredSet, options: SetOptions): Promise<void> {
  const { plan, result, selection } = set;
  const { store, signal } = options;
  const timeLeft = new TimeLeft();
  const checked = new Map<string, number>();
  const steps = plan.map((planned) => stepsOf(planned, selection.repetitions));
  set.state = 'running';
  while (result.runs.length < plan.length) {
    const at = result.runs.length;
    const planned = plan[at];
    if (set.attempts >= MAX_ATTEMPTS) {
      await finish(
        failed(
          planned,
          `The page was closed or crashed ${set.attempts} times during this run, so the run was left out.`,
          set,
        ),
      );
      continue;
    }
    set.attempts++;
    await store.saveSet(set);
    const source = sourceOf(planned, options.files);
    if (typeof source === 'object' && 'missing' in source) {
      await finish(
        failed(
          planned,
          `A page cannot keep a file over a reload. Choose ${source.missing} again and start a new set.`,
          set,
        ),
      );
      continue;
    }
    const hidden = options.tab.count;
    const already = set.partial;
    const left = steps[at].filter(
      ({ name }) =>
        !already.measurements.some((m) => stepName(m) === name) && !(name === 'sustained' && already.sustained),
    );
    let step = { name: 'load', began: performance.now() };
    let waiting = false;
    const tell = (): void => {
      const rest = [left, ...steps.slice(at + 1)].map((list, i) => timeLeft.of(plan[at + i].backend, list));
      const all = steps.map((list, i) => timeLeft.of(plan[i].backend, list));
      const [secondsLeft, total] = [rest, all].map((list) => list.reduce((sum, s) => sum + s, 0));
      options.onProgress({
        run: at,
        runs: plan.length,
        planned,
        step: step.name,
        share: Math.min(1, Math.max(0, 1 - secondsLeft / total)),
        secondsLeft,
        waiting,
      });
    };
    const run = await measureRun(
      {
        source,
        name: planned.name,
        madeUp: 'shape' in planned.source,
        quantization: planned.quantization,
        backend: planned.backend,
        cases: [...planned.cases],
        sustainedSeconds: planned.sustained,
        kernels: planned.kernels,
        repetitions: selection.repetitions,
        load: options.loadOptions,
      },
      already,
      {
        signal,
        tab: options.tab,
        load: options.load,
        kernelTimes: options.kernelTimes,
        checked,
        onStep(name) {
          step = { name, began: performance.now() };
          waiting = false;
          tell();
        },
        async onDone(name, partial) {
          const index = left.findIndex((one) => one.name === name);
          const [done] = index < 0 ? [] : (left.splice(index, 1) as [Step]);
          if (done) timeLeft.done(planned.backend, done, (performance.now() - step.began) / 1000);
          tell();
          set.partial = partialOf(partial);
          await store.saveSet(set);
        },
        onWait(hidden) {
          waiting = hidden;
          tell();
        },
      },
    );
    if (options.tab.count !== hidden) run.notes.push('The tab was hidden during this run.');
    await finish(run);
  }
  set.state = 'done';
  await store.saveSet(set);

  async function finish(run: Run): Promise<void> {
    const battery = await readBattery();
    if (isLow(battery)) run.notes.push(`The battery was at ${battery.percent} % and not charging.`);
    result.runs.push(run);
    set.partial = partialOf();
    set.attempts = 0;
    await store.saveSet(set);
    options.onResult();
  }
}

const failed = (
  { name, quantization = '', backend, source }: PlannedRun,
  problem: string,
  { partial }: StoredSet,
): Run => ({
  model: { name, quantization, bytes: 0, madeUp: 'shape' in source },
  backend,
  status: 'failed',
  problem,
  ...partial,
  notes: [],
});

function sourceOf(
  { source, quantization }: PlannedRun,
  files: ReadonlyMap<string, File>,
): ModelSource | { missing: string } {
  if ('shape' in source) return randomGguf(source.shape, quantization!);
  if ('stored' in source) return source.stored;
  const file = files.get(source.file);
  return file ? { file } : { missing: source.file };
}
