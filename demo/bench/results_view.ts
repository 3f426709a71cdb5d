/**
 * Shows results: the figures that matter first, then plots, then every number. All texts of a result are set as text,
 * never as markup.
 */
import { element } from '../chat/dom';
import { count } from '../chat/format';
import {
  backendLabel,
  dateLabel,
  decodeAt,
  deviceLines,
  firstDecode,
  milliseconds,
  modelLabel,
  prefillAt,
  rate,
  rooflineOf,
  RUN_COLUMNS,
  runCells,
  runLabel,
  shareLabel,
  sustainedDrop,
} from './describe';
import { positionLabel } from './axis_labels';
import { COLOURS, createPlot, type Line } from './plot';
import { runDetails, tableOf } from './run_details';
import type { BenchmarkResult, Device, Run } from './result';

export interface ShownResult {
  result: BenchmarkResult;
  /** 'this device', or the other device */
  label: string;
  /** how it came here: 'From a link'; absent for this device's own result */
  origin?: string;
  /** takes it away; only of results to compare with */
  remove?(): void;
  /** keeps it over a reload; only of a result that came in a link */
  keep?(): void;
}

/** What must be freed before the next drawing. */
let plots: { end(): void }[] = [];

/** @param deviceCard stands beside the first plot */
export function showResults(holder: HTMLElement, shown: ShownResult[], deviceCard: HTMLElement): void {
  const putBack = placeIn(holder);
  for (const plot of plots) plot.end();
  plots = [];
  // the card outlives each drawing
  deviceCard.remove();
  holder.replaceChildren();
  const first = shown.find(({ result }) => result.runs.length);
  // outside the grid of the results its width would divide the page into columns
  deviceCard.classList.toggle('w4', first !== undefined && !first.origin);
  if (!first) return void holder.after(deviceCard);
  if (first.origin) {
    holder.append(
      originOf(first),
      ...headline(first),
      ...overContext(shown),
      card('w4', 'The device of this result', deviceList(first.result.device)),
    );
    holder.after(deviceCard);
  } else holder.append(...headline(first), ...overContext(shown), deviceCard);
  holder.append(allRuns(shown));
  for (const other of shown) if (other !== first) holder.append(comparison(first, other));
  holder.append(...sustained(shown));
  for (const one of shown) {
    const { result, label, origin } = one;
    if (one !== first)
      holder.append(
        element(
          'details',
          { className: 'card w12' },
          element('summary', { textContent: `${label}: the device` }),
          deviceList(result.device),
        ),
      );
    for (const run of result.runs) holder.append(runDetails(run, result.device, origin ? label : ''));
  }
  putBack();
}

/** Stands above figures that are not this device's. */
const originOf = ({ result, label, origin }: ShownResult): HTMLElement =>
  element(
    'div',
    { className: 'w12' },
    element('h2', { textContent: `${origin}: ${label}` }),
    element('p', {
      className: 'quiet',
      textContent: `Measured ${dateLabel(result.created)}. This device has no result yet.`,
    }),
  );

/** The facts of a device, for its card. */
export function deviceList(device: Device): HTMLElement {
  const facts = deviceLines(device).flatMap(([name, value]) => [
    element('dt', { textContent: name }),
    element('dd', { textContent: value }),
  ]);
  return element('dl', {}, ...facts);
}

/** What is opened and where the focus is, to be put back after a new drawing. */
function placeIn(holder: HTMLElement): () => void {
  const nameOf = (node: Element): string => `${node.tagName} ${node.ariaLabel ?? node.textContent}`;
  const summaries = (): [HTMLDetailsElement, string][] =>
    [...holder.querySelectorAll('details')].map((one) => [one, one.querySelector('summary')!.textContent]);
  const opened = new Map(summaries().map(([{ open }, name]) => [name, open]));
  const focused = holder.contains(document.activeElement) ? nameOf(document.activeElement!) : undefined;
  return () => {
    for (const [one, name] of summaries()) one.open = opened.get(name) ?? one.open;
    if (focused)
      [...holder.querySelectorAll<HTMLElement>('summary, button, [tabindex]')]
        .find((node) => nameOf(node) === focused)
        ?.focus({ preventScroll: true });
  };
}

const card = (width: string, title: string, ...children: (Node | string)[]): HTMLElement =>
  element(
    'section',
    { className: `card ${width}`, ariaLabel: title },
    element('h2', { textContent: title }),
    ...children,
  );

function big(value: string, unit: string): HTMLElement {
  return element('p', { className: 'big' }, `${value} `, element('small', { textContent: unit }));
}

/** The best run of the first model, and what the other backend gives. */
function headline({ result: { runs, device }, label, origin }: ShownResult): HTMLElement[] {
  const done = runs.filter((run) => firstDecode(run) || run.measurements.some(({ prefill }) => prefill));
  const wrong = runs.filter(({ status }) => status === 'wrong');
  if (!done.length)
    return wrong.length
      ? [
          card(
            'w12',
            'No speed: the result is wrong',
            ...wrong.map((run) => element('p', { className: 'wrong', textContent: runLabel(run) })),
          ),
        ]
      : [];
  const model = modelLabel(done[0]);
  const same = done.filter((run) => modelLabel(run) === model);
  const prefillOf = (run: Run) => prefillAt(run, 512) ?? run.measurements.find(({ prefill }) => prefill);
  const best = [...same].sort(
    (a, b) => (firstDecode(b)?.decode?.median ?? 0) - (firstDecode(a)?.decode?.median ?? 0),
  )[0];
  const others = (value: (run: Run) => number | undefined): string =>
    [
      ...same
        .filter((run) => run !== best && value(run))
        .map((run) => `${rate(value(run))} on the ${backendLabel(run)}`),
      ...wrong.filter((run) => modelLabel(run) === model).map((run) => `wrong result on the ${backendLabel(run)}`),
    ].join(', ');
  const where = best.backend === 'webgpu' ? 'GPU' : 'CPU';
  const cards: HTMLElement[] = [];
  const quiet = (...parts: string[]): HTMLElement =>
    element('p', { className: 'quiet', textContent: [...parts, origin ? label : ''].filter(Boolean).join(' · ') });
  const prefill = prefillOf(best);
  if (prefill?.prefill)
    cards.push(
      card(
        'w4',
        'Reading a prompt',
        big(rate(prefill.prefill.median), `tokens/s · ${where}`),
        quiet(
          others((run) => prefillOf(run)?.prefill?.median),
          `${count(prefill.prompt)} tokens, ${model}`,
        ),
      ),
    );
  const decode = firstDecode(best);
  if (decode?.decode)
    cards.push(
      card(
        'w4',
        'Writing an answer',
        big(rate(decode.decode.median), `tokens/s · ${where}`),
        quiet(
          others((run) => firstDecode(run)?.decode?.median),
          decode.gapMs ? `p99 between tokens ${milliseconds(decode.gapMs.p99)}` : '',
        ),
      ),
    );
  if (prefill) {
    const roofline = rooflineOf(best, device);
    cards.push(
      card(
        'w4',
        'First word after',
        big(milliseconds(prefill.firstTokenMs.median), `· ${count(prefill.prompt)}-token prompt`),
        quiet(roofline ? `Writing: ${shareLabel(roofline)}` : ''),
      ),
    );
  }
  return cards;
}

/** The lines of a plot, and how many runs it leaves out: more lines than colours say nothing. */
function linesOf(shown: ShownResult[], pointsOf: (run: Run) => Line['points']): { lines: Line[]; left: number } {
  const measured = new Set<string>();
  let left = 0;
  const lines = shown.flatMap(({ result, label, origin }, device) =>
    result.runs.flatMap((run): Line[] => {
      const [points, key] = [pointsOf(run), runKey(run)];
      if (!points.length) return [];
      if (measured.size === COLOURS && !measured.has(key)) return left++, []; // prettier-ignore
      measured.add(key);
      return [
        {
          label: origin ? `${runLabel(run)}, ${label}` : runLabel(run),
          points: [...points].sort((p, q) => p[0] - q[0]),
          key,
          device,
        },
      ];
    }),
  );
  return { lines, left };
}

/** The same model on the same kind of processor, on whatever device. */
const runKey = (run: Run): string => `${modelLabel(run)} ${run.backend}`;
const leftOut = (left: number): Node[] =>
  left
    ? [
        element('p', {
          className: 'quiet',
          textContent: `${left} more ${left === 1 ? 'run is' : 'runs are'} in the table.`,
        }),
      ]
    : [];

function overContext(shown: ShownResult[]): HTMLElement[] {
  // a logarithmic axis has no zero
  const { lines, left } = linesOf(shown, (run) =>
    run.measurements
      .filter((m) => m.prompt > 0 && m.cached && m.decode && decodeAt(run, m.prompt) === m)
      .map((m) => [m.prompt, m.decode!.median]),
  );
  if (!lines.length) return [];
  const summary = `Tokens a second while writing, by position. ${lines.map(({ label, points }) => `${label}: ${points.map(([x, y]) => `${rate(y)} at ${count(x)}`).join(', ')}`).join('. ')}.`;
  const plot = createPlot(lines, { summary, logarithmic: true, showX: positionLabel });
  plots.push(plot);
  return [card('w8', 'Writing speed over context, tokens/s', plot.node, ...leftOut(left))];
}

function allRuns(shown: ShownResult[]): HTMLElement {
  const several = shown.length > 1;
  const whose = several || !shown[0].origin ? '' : ` of ${shown[0].label}`;
  const all = shown.flatMap(({ result, label }) => result.runs.map((run) => ({ run, label })));
  const head = several ? ['Model', 'Device', ...RUN_COLUMNS.slice(1)] : RUN_COLUMNS;
  const rows = all.map(({ run, label }) => {
    const [name, ...cells] = runCells(run);
    return several ? [name, element('span', { className: 'device' }, label), ...cells] : [name, ...cells];
  });
  const buttons = shown.flatMap(({ label, keep, remove }) =>
    Object.entries({ Keep: keep, Remove: remove }).flatMap(([word, act]) => {
      if (!act) return [];
      const button = element('button', { type: 'button', textContent: `${word} ${label}` });
      button.addEventListener('click', act);
      return [button];
    }),
  );
  return element(
    'div',
    { className: 'card w12' },
    tableOf(`All runs${whose}, prefill and decode in tokens/s`, head, rows, (i) => all[i].run.status === 'wrong'),
    ...(buttons.length ? [element('p', { className: 'actions' }, ...buttons)] : []),
  );
}

function comparison(here: ShownResult, there: ShownResult): HTMLElement {
  const speed = (run: Run, tokensPerSecond?: number): string =>
    run.status === 'wrong' ? 'wrong result' : rate(tokensPerSecond);
  const ratio = (a?: number, b?: number): string => (a && b ? `× ${(a / b).toPrecision(3)}` : '–');
  const rows = here.result.runs.flatMap((run) => {
    const other = there.result.runs.find((one) => runKey(one) === runKey(run));
    if (!other) return [];
    const prompt = [512, 128, 2048].find((n) => prefillAt(run, n) && prefillAt(other, n));
    const [p, q] = prompt ? [run, other].map((one) => prefillAt(one, prompt)?.prefill?.median) : [];
    const [d, e] = [run, other].map((one) => firstDecode(one)?.decode?.median);
    return [
      [
        modelLabel(run),
        run.backend === 'webgpu' ? 'GPU' : 'CPU',
        speed(run, p),
        speed(other, q),
        ratio(p, q),
        speed(run, d),
        speed(other, e),
        ratio(d, e),
      ],
    ];
  });
  const title = `${here.label[0].toUpperCase()}${here.label.slice(1)} beside ${there.label}`;
  if (!rows.length)
    return card(
      'w12',
      title,
      element('p', {
        className: 'quiet',
        textContent: 'They have no model in common that runs on the same kind of processor.',
      }),
    );
  return element(
    'div',
    { className: 'card w12' },
    tableOf(title, ['Model', 'Runs on', 'Prefill', 'other', 'ratio', 'Decode', 'other', 'ratio'], rows),
  );
}

function sustained(shown: ShownResult[]): HTMLElement[] {
  const { lines, left } = linesOf(shown, (run) => run.sustained?.points ?? []);
  if (!lines.length) return [];
  const seconds = Math.max(...shown.flatMap(({ result }) => result.runs.map((run) => run.sustained?.seconds ?? 0)));
  const told = lines.map(({ label, points }) => {
    const drop = sustainedDrop(points);
    if (drop === undefined) return label;
    return `${label}: ${Math.abs(drop) < 0.03 ? 'as fast at the end as at the beginning' : `${Math.round(100 * Math.abs(drop))} % ${drop > 0 ? 'slower' : 'faster'} at the end`}`;
  });
  const plot = createPlot(lines, {
    summary: `Writing without a pause, tokens a second. ${told.join('. ')}.`,
    showX: (x) => `${x} s`,
  });
  plots.push(plot);
  return [
    card(
      'w12',
      `${seconds === 60 ? 'One minute' : `${seconds} s`} without a pause, tokens/s`,
      plot.node,
      element('p', { className: 'quiet', textContent: `${told.join('. ')}.` }),
      ...leftOut(left),
    ),
  ];
}
