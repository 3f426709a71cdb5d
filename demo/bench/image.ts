/** A result as a picture: what people post. */
import {
  backendLabel,
  deviceLabel,
  firstDecode,
  milliseconds,
  modelLabel,
  prefillAt,
  rate,
  statusLabel,
} from './describe';
import type { BenchmarkResult, Run } from './result';

const [WIDTH, MARGIN, ROW] = [1200, 60, 52];
const MOST_ROWS = 8;
const HEAD = ['Model', 'Runs on', 'Prefill', 'Decode', 'First token', 'p99'];
const STOPS = [MARGIN, 420, 740, 850, 1010, 1140];
const COLOURS = {
  ground: '#fcfbf9',
  ink: '#1c2024',
  quiet: '#585f67',
  accent: '#0f6466',
  line: '#e3dfd7',
  bad: '#a3261d',
};

/** @throws Error if the browser gives no canvas */
export async function toImage(result: BenchmarkResult): Promise<Blob> {
  const runs = result.runs.slice(0, MOST_ROWS);
  const canvas = document.createElement('canvas');
  canvas.width = WIDTH;
  canvas.height = 250 + ROW * (runs.length + 1);
  const context = canvas.getContext('2d');
  if (!context) throw new Error('This browser gives the page no canvas.');
  const family = getComputedStyle(document.body).fontFamily;
  const write = (
    text: string,
    x: number,
    y: number,
    {
      size = 24,
      weight = 400,
      colour = COLOURS.ink,
      align = 'left' as CanvasTextAlign,
      most = WIDTH - 2 * MARGIN,
    } = {},
  ): void => {
    Object.assign(context, { font: `${weight} ${size}px ${family}`, fillStyle: colour, textAlign: align });
    context.fillText(text, x, y, most);
  };
  context.fillStyle = COLOURS.ground;
  context.fillRect(0, 0, canvas.width, canvas.height);
  write('LFM2 in the browser: tokens a second', MARGIN, 90, { size: 40, weight: 650 });
  write(deviceLabel(result.device), MARGIN, 132, { colour: COLOURS.quiet });

  const rule = (y: number): void => {
    context.fillStyle = COLOURS.line;
    context.fillRect(MARGIN, y, WIDTH - 2 * MARGIN, 2);
  };
  const row = (cells: string[], y: number, colour: string, weight: number): void =>
    cells.forEach((text, i) =>
      write(text, STOPS[i], y, { colour, weight, align: i < 2 ? 'left' : 'right', most: i ? 330 : 360 }),
    );
  let y = 200;
  row(HEAD, y, COLOURS.quiet, 400);
  for (const run of runs) {
    rule(y + 16);
    y += ROW;
    row(cellsOf(run), y, run.status === 'wrong' ? COLOURS.bad : COLOURS.ink, 400);
  }
  rule(y + 16);
  const more = result.runs.length - runs.length;
  write(
    `Rivulet benchmark ${result.build.version}, ${result.created.slice(0, 10)}${more > 0 ? `, ${more} more runs in the result` : ''}`,
    MARGIN,
    canvas.height - 40,
    { size: 20, colour: COLOURS.quiet },
  );
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('This browser makes no PNG.'))), 'image/png'),
  );
}

function cellsOf(run: Run): string[] {
  const prefill = prefillAt(run, 512) ?? run.measurements.find((m) => m.prefill);
  const decode = firstDecode(run);
  if (run.status === 'wrong' || !(prefill ?? decode))
    return [modelLabel(run), `${backendLabel(run)}: ${statusLabel(run)}`, '', '', '', ''];
  return [
    modelLabel(run),
    backendLabel(run),
    rate(prefill?.prefill?.median),
    rate(decode?.decode?.median),
    milliseconds(prefill?.firstTokenMs.median),
    milliseconds(decode?.gapMs?.p99),
  ];
}
