/** The table of a result, and every number of one run. All texts of a result are set as text, never as markup. */
import { element } from '../chat/dom';
import { count } from '../chat/format';
import { MEASUREMENT_COLUMNS, measurementCells, rate, rooflineOf, runLabel, shareLabel } from './describe';
import type { Device, KernelTimes, Run } from './result';

export function tableOf(
  caption: string,
  head: string[],
  rows: (string | Node)[][],
  mark: (row: number) => boolean = () => false,
): HTMLElement {
  const body = rows.map((row, i) =>
    element(
      'tr',
      { className: mark(i) ? 'wrong' : '' },
      ...row.map((value, at) => (at === 0 ? element('th', { scope: 'row' }, value) : element('td', {}, value))),
    ),
  );
  const made = element(
    'table',
    {},
    element('thead', {}, element('tr', {}, ...head.map((name) => element('th', { scope: 'col', textContent: name })))),
    element('tbody', {}, ...body),
  );
  // the caption does not scroll sideways; a keyboard must be able to scroll the table
  return element(
    'div',
    {},
    element('p', { className: 'caption', textContent: caption }),
    element('div', { className: 'scroll', tabIndex: 0, role: 'region', ariaLabel: caption }, made),
  );
}

export function runDetails(run: Run, device: Device, label: string): HTMLElement {
  const roofline = rooflineOf(run, device);
  const title = label ? `${runLabel(run)}, ${label}` : runLabel(run);
  const facts = [
    run.processor,
    run.variant,
    run.check &&
      run.status !== 'wrong' &&
      `differs from known results by ${(100 * run.check.golden).toPrecision(2)} % of their power`,
    roofline && `${shareLabel(roofline)} (all of it: ${rate(roofline.tokensPerSecond)} tokens/s)`,
  ].filter((fact) => typeof fact === 'string');
  const parts: Node[] = [element('p', { className: 'quiet', textContent: facts.join(' · ') })];
  const problem = run.problem ?? (run.status === 'wrong' ? 'The result is wrong, so it has no speed.' : undefined);
  if (problem) parts.unshift(element('p', { className: 'wrong', textContent: problem }));
  if (run.measurements.length)
    parts.push(
      tableOf(
        `${title}: medians, with the smallest and the largest`,
        MEASUREMENT_COLUMNS,
        run.measurements.map(measurementCells),
      ),
    );
  if (run.kernels) parts.push(...kernelTables(title, run.kernels));
  if (run.notes.length)
    parts.push(element('ul', { className: 'notes' }, ...run.notes.map((note) => element('li', { textContent: note }))));
  return element(
    'details',
    { className: 'card w12', open: run.status === 'wrong' || run.status === 'failed' },
    element('summary', { textContent: `${title}: all measurements` }),
    ...parts,
  );
}

function kernelTables(
  title: string,
  { clock, copyGigabytesPerSecond, emptyDispatchMicros, kernels, tuned }: KernelTimes,
): Node[] {
  const micros = (value: number): string => `${value < 10 ? value.toFixed(1) : count(Math.round(value))} µs`;
  const how = clock === 'timestamp' ? 'timed by the GPU' : 'timed by the page around each submit';
  const rows = kernels.map((k) => [
    k.kernel,
    String(k.dispatches),
    micros(k.micros),
    k.gigabytesPerSecond.toFixed(1),
    k.shareOfCopy === undefined ? '–' : `${Math.round(100 * k.shareOfCopy)} %`,
  ]);
  return [
    tableOf(
      `${title}: kernels of one token, ${how}; a copy moves ${copyGigabytesPerSecond.toFixed(1)} GB/s, an empty dispatch takes ${micros(emptyDispatchMicros)}`,
      ['Kernel', 'Dispatches', 'Time', 'GB/s', 'Of a copy'],
      rows,
    ),
    ...(tuned.length
      ? [
          tableOf(
            `${title}: what the tuner chose`,
            ['Shape', 'Default', 'Chosen', 'Kernel'],
            tuned.map((t) => [t.shape, micros(t.defaultMicros), micros(t.micros), t.tuning]),
          ),
        ]
      : []),
  ];
}
