/** The benchmark page: its state and its wiring. */
import { version } from '../../package.json';
import { load } from '../../src/index';
import { leaveWithOthers } from '../chat/delete_all/leave';
import { announce, find } from '../chat/dom';
import { hasMemory64 } from '../chat/models/memory64';
import { readBandwidth } from './bandwidth';
import { isLow, readBattery, TabWatch } from './conditions';
import { dateLabel, deviceLabel, toMarkdown } from './describe';
import { readDevice } from './device';
import { describeTooLarge, tooLarge } from './fits';
import { createForm } from './form';
import { toImage } from './image';
import { kernelTimes } from './kernel_times';
import { ask, button, say, takeQuestionBack } from './messages';
import { obstacleOf, planRuns, SUSTAINED_SECONDS, type PlannedRun, type Selection } from './plan';
import { showPreparation, showProgress } from './progress_view';
import {
  fromFragment,
  holdsResult,
  MAX_RESULT_BYTES,
  NotAResult,
  parseResult,
  toFragment,
  type BenchmarkResult,
} from './result';
import { deviceList, showResults, type ShownResult } from './results_view';
import { randomGguf } from './random_gguf';
import { runSet } from './run_set';
import { partialOf, SetStore, type StoredSet } from './set_store';
import { copy, fileName, save } from './share';
import { rounded } from './stats';

const options = new URLSearchParams(location.search);
const software = options.get('software') === '1';

/** What the address says, if it is a number from 1. */
function numberOf(name: string, most: number): number | undefined {
  const given = Number(options.get(name));
  return Number.isInteger(given) && given >= 1 && given <= most ? given : undefined;
}
const threads = numberOf('threads', 99);
const sustainedSeconds = numberOf('sustained', 3600) ?? SUSTAINED_SECONDS;

/** as many threads as the CPU backend takes at most */
const MAX_READERS = 8;
const MOST_COMPARED = 8;
const COMPARED_FULL = `There are ${MOST_COMPARED} results to compare with already, which is the most. Remove one and try again.`;
const TUNE_MS = 10_000;
/** held while a set is measured */
const LOCK = 'rivulet-bench';
const BUSY =
  'The benchmark is running in another tab. Two at once would slow each other down. Wait until it has ended, then reload this page.';

const store = new SetStore();
leaveWithOthers();
const tab = new TabWatch();

const device = await readDevice();
const memoryFacts = { ...device, memory64: hasMemory64() };
const form = createForm(memoryFacts, { software, seconds: sustainedSeconds });
let set = await store.set();
let compared = await store.compared();
/** of the link that opened the page */
let linked: BenchmarkResult | undefined;
let running: AbortController | undefined;
/** files by name, as long as the page lives */
const files = new Map<string, File>();

function show(): void {
  const other = (result: BenchmarkResult, more: Pick<ShownResult, 'origin' | 'remove' | 'keep'>): ShownResult => ({
    result,
    label: deviceLabel(result.device),
    ...more,
  });
  const shown: ShownResult[] = [
    ...(set?.result.runs.length ? [{ result: set.result, label: 'this device' }] : []),
    ...(linked ? [other(linked, { origin: 'From a link', remove: forgetLink, keep: keepLink })] : []),
    ...compared.map((result) => other(result, { origin: 'Kept to compare', remove: () => removeCompared(result) })),
  ];
  // two devices of one kind
  for (const [i, one] of shown.entries())
    if (shown.slice(0, i).some(({ label }) => label === one.label)) one.label += ` (${i + 1})`;
  showResults(find('results', HTMLElement), shown, find('device', HTMLElement));
  find('fleeting', HTMLElement).hidden = !store.fleeting;
  find('share', HTMLElement).hidden = !set?.result.runs.length;
  find('device-list', HTMLElement).replaceChildren(deviceList(set?.result.device ?? device));
  // while it runs, a wider button would move the one beside it
  if (!running) button('run').textContent = set?.result.runs.length ? 'Run again' : 'Run';
}

function forgetLink(): void {
  linked = undefined;
  history.replaceState(null, '', location.pathname + location.search);
  show();
  button('compare').focus();
}

function keepLink(): void {
  if (linked && !compare(linked)) return say(`The result was not kept. ${COMPARED_FULL}`);
  forgetLink();
}

/** @returns false if there is no room */
function compare(result: BenchmarkResult): boolean {
  const others = compared.filter((one) => JSON.stringify(one) !== JSON.stringify(result));
  if (others.length >= MOST_COMPARED) return false;
  compared = [...others, result];
  void store.saveCompared(compared);
  return true;
}

function removeCompared(result: BenchmarkResult): void {
  compared = compared.filter((one) => one !== result);
  void store.saveCompared(compared);
  show();
  button('compare').focus();
}

// ---- running

async function start(): Promise<void> {
  say('');
  const selection = form.read();
  const obstacle = obstacleOf(selection);
  if (obstacle) return say(obstacle);
  // before the questions, which would be of no use
  if (!here && (await runsElsewhere())) return say(BUSY);
  const plan = await fittingRuns(planRuns(selection, sustainedSeconds));
  if (plan.length && (await batteryAllows()) && (await mayReplace())) await alone(() => begin(selection, plan));
}

/** The runs to make: where some need more memory than there is, those that the user wants. */
async function fittingRuns(plan: PlannedRun[]): Promise<PlannedRun[]> {
  const unfit = tooLarge(plan, form.sizes(), memoryFacts);
  if (!unfit.length) return plan;
  const others = plan.filter((run) => !unfit.includes(run));
  const [without, all] = ['Leave out what does not fit', 'Run anyway'];
  const text = `${describeTooLarge(unfit, form.sizes(), memoryFacts)} The browser may end this page.`;
  const word = await ask(text, [...(others.length ? [without] : []), all, 'Cancel']);
  return word === without ? others : word === all ? plan : [];
}

/** A new set takes the place of the last, which may be another tab's. */
async function mayReplace(): Promise<boolean> {
  const last = (await store.set()) ?? set;
  if (!last?.result.runs.length) return true;
  const [keep, replace] = ['Keep it to compare', 'Replace it'];
  const word = await ask(`A new run replaces the result of ${dateLabel(last.result.created)}.`, [
    keep,
    replace,
    'Cancel',
  ]);
  if (word === keep && !compare(last.result)) {
    say(`The run was not started. ${COMPARED_FULL}`);
    return false;
  }
  if (word === 'Cancel' && set) offerToGoOn(set);
  return word === keep || word === replace;
}

/** Many devices slow down to save power. */
async function batteryAllows(): Promise<boolean> {
  const battery = await readBattery();
  return (
    !isLow(battery) ||
    (await ask(
      `The battery is at ${battery.percent} % and not charging. Many devices are slower then, so the result may be too low.`,
      ['Run anyway', 'Cancel'],
    )) === 'Run anyway'
  );
}

/**
 * Two tabs at once would slow each other down, and store their sets in the same place. An insecure page has no locks.
 */
let here = false;
async function alone(work: () => Promise<void>): Promise<void> {
  if (here) return; // a second press
  here = true;
  try {
    if (navigator.locks)
      await navigator.locks.request(LOCK, { ifAvailable: true }, (lock) => (lock ? work() : say(BUSY)));
    else await work();
  } finally {
    here = false;
  }
}

const runsElsewhere = async (): Promise<boolean> =>
  (await navigator.locks?.query())?.held?.some(({ name }) => name === LOCK) ?? false;

async function begin(selection: Selection, plan: PlannedRun[]): Promise<void> {
  const file = form.file();
  if (file) files.set(file.name, file);
  const site = document.querySelector<HTMLMetaElement>('meta[name=rivulet-version]')?.content;
  set = {
    selection,
    plan,
    result: {
      format: 'rivulet-benchmark',
      version: 1,
      created: new Date().toISOString(),
      build: { version, ...(site && { site }) },
      method: { repetitions: selection.repetitions },
      device: await readDevice(),
      runs: [],
    },
    partial: partialOf(),
    attempts: 0,
    state: 'running',
  };
  await measure(set);
}

async function measure(going: StoredSet): Promise<void> {
  takeQuestionBack();
  say('');
  running = new AbortController();
  setRunning(true);
  // a screen that goes off hides the tab
  const lock = await navigator.wakeLock?.request('screen').catch(() => undefined);
  try {
    if (!going.result.device.bandwidth) await measureBandwidth(going, running.signal);
    await runSet(going, {
      signal: running.signal,
      tab,
      store,
      load,
      loadOptions: { ...(threads && { threads }), ...(software && { allowSoftware: true }) },
      files,
      onProgress: showProgress,
      onResult: show,
      kernelTimes: (source, signal) => kernelTimes(source, { allowSoftware: software, tuneMs: TUNE_MS }, signal),
    });
    announce('The benchmark has ended.');
  } catch (error) {
    if ((error as Error).name !== 'AbortError') say(`The benchmark ended with an error: ${(error as Error).message}`);
    going.state = 'stopped';
    // a stop is no crash
    going.attempts = 0;
    await store.saveSet(going);
  } finally {
    running = undefined;
    setRunning(false);
    await lock?.release().catch(() => undefined);
  }
  show();
  if (going.state === 'stopped') offerToGoOn(going);
  const focused = document.activeElement;
  if (focused === document.body || find('progress', HTMLElement).contains(focused))
    (find('question', HTMLElement).querySelector<HTMLElement>(':scope:not([hidden]) button') ?? button('run')).focus({
      preventScroll: true,
    });
}

/** How fast memory is read bounds the speed of a token. */
async function measureBandwidth({ result, plan }: StoredSet, signal: AbortSignal): Promise<void> {
  showPreparation('Measuring the memory bandwidth');
  const used = (backend: 'wasm' | 'webgpu'): boolean => plan.some((planned) => planned.backend === backend);
  const readers = crossOriginIsolated ? Math.min(threads ?? navigator.hardwareConcurrency ?? 1, MAX_READERS) : 1;
  const cpuRead = used('wasm') ? await readBandwidth(readers, signal) : undefined;
  // a GPU that refuses this is told about by its runs
  const gpu = used('webgpu')
    ? await kernelTimes({ file: randomGguf('check', 'Q4_0') }, { allowSoftware: software, tuneMs: 0 }, signal).catch(
        rethrowAbort,
      )
    : undefined;
  result.device.bandwidth = {
    ...(cpuRead && { cpuRead: rounded(cpuRead), cpuThreads: readers }),
    ...(gpu && { gpuCopy: rounded(gpu.copyGigabytesPerSecond) }),
  };
}

function rethrowAbort(error: Error): undefined {
  if (error.name === 'AbortError') throw error;
}

function setRunning(yes: boolean): void {
  find('progress', HTMLElement).hidden = !yes;
  button('run').disabled = yes;
  find('choices', HTMLFormElement).hidden = yes;
  if (yes) {
    show();
    button('stop').focus({ preventScroll: true });
  }
}

function offerToGoOn(stopped: StoredSet): void {
  const { result, plan, state, partial } = stopped;
  const next = plan[result.runs.length];
  if (state === 'done' || !next) return;
  const under = [next.name, next.quantization].filter(Boolean).join(' ');
  const done = `${result.runs.length} of ${plan.length} runs are done${partial.measurements.length ? `, and ${partial.measurements.length} ${partial.measurements.length === 1 ? 'measurement' : 'measurements'} of ${under}` : ''}`;
  const text =
    state === 'running'
      ? `The page was closed or crashed while it measured ${under}. ${done}.`
      : `The benchmark was stopped. ${done}.`;
  void ask(text, ['Continue', 'End it here']).then(async (word) => {
    if (word === 'Continue') return (await batteryAllows()) ? alone(() => measure(stopped)) : offerToGoOn(stopped);
    if (word !== 'End it here') return;
    stopped.state = 'done';
    stopped.plan = stopped.plan.slice(0, result.runs.length);
    await store.saveSet(stopped);
  });
}

// ---- what comes from elsewhere

async function importFiles(chosen: File[]): Promise<void> {
  const refused: string[] = [];
  for (const file of chosen) {
    try {
      if (file.size > 4 * MAX_RESULT_BYTES)
        throw new NotAResult(`It is too large: got ${file.size} bytes, wanted at most ${MAX_RESULT_BYTES}.`);
      if (!compare(parseResult(await file.text()))) refused.push(`${file.name} was not added. ${COMPARED_FULL}`);
    } catch (error) {
      refused.push(`${file.name} holds no result of this benchmark. ${(error as Error).message}`);
    }
  }
  say(refused.join(' '));
  show();
}

async function readLink(): Promise<void> {
  if (!holdsResult(location.hash)) return;
  try {
    linked = await fromFragment(location.hash);
    // one's own link
    if (set && linked.created === set.result.created && JSON.stringify(linked) === JSON.stringify(set.result))
      linked = undefined;
  } catch (error) {
    linked = undefined;
    say(`The link holds no result that can be read. ${(error as Error).message}`);
  }
  show();
}

button('run').addEventListener('click', () => void start());
button('stop').addEventListener('click', () => running?.abort());
button('compare').addEventListener('click', () => find('import', HTMLInputElement).click());
find('import', HTMLInputElement).addEventListener('change', async ({ target }) => {
  const input = target as HTMLInputElement;
  await importFiles([...(input.files ?? [])]);
  input.value = '';
});
button('copy-link').addEventListener('click', async () => {
  try {
    if (set) await copy('The link', `${location.origin}${location.pathname}${await toFragment(set.result)}`);
  } catch (error) {
    say((error as Error).message);
  }
});
button('copy-markdown').addEventListener('click', () => set && void copy('The table', toMarkdown(set.result)));
button('save-json').addEventListener(
  'click',
  () =>
    set &&
    save(
      new Blob([`${JSON.stringify(set.result, undefined, 1)}\n`], { type: 'application/json' }),
      fileName(set.result, 'json'),
    ),
);
button('save-image').addEventListener('click', async () => {
  try {
    if (set) save(await toImage(set.result), fileName(set.result, 'png'));
  } catch (error) {
    say(`The image could not be made. ${(error as Error).message}`);
  }
});
addEventListener('hashchange', () => void readLink());
// the plots take their colours when they are drawn
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', show);

if (set) form.write(set.selection);
show();
await readLink();
if (set && set.state !== 'done') {
  if (await runsElsewhere()) say(BUSY);
  else offerToGoOn(set);
}
document.body.dataset.ready = 'true';
