/** Line plots. Their numbers stand in tables, too: to a screen reader a plot is one image with a sentence. */
import './valid_language'; // before uplot
import UPlot from 'uplot';
import { element } from '../chat/dom';
import { withoutOverlap } from './axis_labels';
import { rate } from './describe';

export interface Line {
  label: string;
  points: [x: number, y: number][];
  /** what is measured; lines of the same thing have the same colour */
  key: string;
  /** 0: this device, from 1: others */
  device: number;
}

export interface PlotOptions {
  /** the sentence for a screen reader */
  summary: string;
  /** doubling distances on the x axis */
  logarithmic?: boolean;
  showX(x: number): string;
}

/** as many as lines of one device */
export const COLOURS = 8;
const DASHES = [undefined, [6, 5], [2, 4], [12, 4, 2, 4]];
const HEIGHT = 240;

/** A colour of the style sheet as the canvas takes it. */
function resolved(variable: string): string {
  const probe = document.body.appendChild(element('i', { hidden: true }));
  probe.style.color = `var(${variable})`;
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** @returns the plot with its key, and a function that frees it */
export function createPlot(
  lines: Line[],
  { summary, logarithmic, showX }: PlotOptions,
): { node: HTMLElement; end(): void } {
  const measured = [...new Set(lines.map(({ key }) => key))];
  const colour = ({ key }: Line): string => `--plot-${(measured.indexOf(key) % COLOURS) + 1}`;
  const keys = lines.map((line) => {
    const sign = element('i');
    sign.style.color = `var(${colour(line)})`;
    return element(
      'li',
      { className: ['', 'dashed', 'dotted', 'dashed'][line.device % DASHES.length] },
      sign,
      line.label,
    );
  });
  const holder = element('div', { className: 'plot', role: 'img', ariaLabel: summary });
  const node = element('div', {}, element('ul', { className: 'keys' }, ...keys), holder);
  const [quiet, grid] = [resolved('--quiet'), resolved('--line')];
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const xs = [...new Set(lines.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
  const rows = lines.map(({ points }) => xs.map((x) => points.find(([at]) => at === x)?.[1] ?? null));
  const axis = { stroke: quiet, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  const plot = new UPlot(
    {
      width: 480,
      height: HEIGHT,
      cursor: { show: false },
      legend: { show: false },
      scales: {
        x: logarithmic ? { time: false, distr: 3, log: 2 } : { time: false },
        y: { range: (_, __, max) => [0, (max || 1) * 1.1] },
      },
      axes: [
        {
          ...axis,
          size: 32,
          grid: { show: false },
          values: (self, splits) =>
            withoutOverlap(
              splits.map(showX),
              splits.map((x) => self.valToPos(x, 'x')),
            ),
          // the positions that were measured; uPlot's own filter leaves out powers of two, not labels without room
          ...(logarithmic && { splits: () => xs, filter: (_: UPlot, splits: number[]) => splits }),
        },
        { ...axis, size: 56, values: (_, splits) => splits.map((y) => rate(y)) },
      ],
      series: [
        {},
        ...lines.map((line) => ({
          stroke: resolved(colour(line)),
          width: 2.5,
          spanGaps: true,
          points: { show: logarithmic === true, size: 7 },
          dash: DASHES[line.device % DASHES.length],
        })),
      ],
    },
    [xs, ...rows] as UPlot.AlignedData,
    holder,
  );
  const observer = new ResizeObserver(([{ contentRect }]) =>
    plot.setSize({ width: Math.max(200, Math.floor(contentRect.width)), height: HEIGHT }),
  );
  observer.observe(holder);
  return {
    node,
    end() {
      observer.disconnect();
      plot.destroy();
    },
  };
}
