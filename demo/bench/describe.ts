/** Results in words: lines of the device card, cells of the tables, Markdown. */
import { bytes, count, duration } from '../chat/format';
import { stepName } from './measure';
import type { BenchmarkResult, Device, Measurement, Run } from './result';

/** Tokens a second: three digits are enough. */
export const rate = (tokensPerSecond: number | undefined): string =>
  tokensPerSecond === undefined
    ? '–'
    : count(tokensPerSecond < 10 ? Number(tokensPerSecond.toFixed(1)) : Math.round(tokensPerSecond));
export const milliseconds = (ms: number | undefined): string =>
  ms === undefined ? '–' : ms < 10 ? `${ms.toFixed(ms < 1 ? 2 : 1)}\u00a0ms` : duration(ms / 1000);

/** In the reader's language. */
export const dateLabel = (created: string): string =>
  new Date(created).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });

export const backendLabel = ({ backend, threads }: Pick<Run, 'backend' | 'threads'>): string =>
  backend === 'webgpu' ? 'GPU' : threads ? `CPU, ${threads} ${threads === 1 ? 'thread' : 'threads'}` : 'CPU';
export const modelLabel = ({ model }: Pick<Run, 'model'>): string =>
  model.quantization ? `${model.name} ${model.quantization}` : model.name;
export const runLabel = (run: Run): string => `${modelLabel(run)} · ${backendLabel(run)}`;

export const prefillAt = ({ measurements }: Run, prompt: number): Measurement | undefined =>
  measurements.find((m) => m.prompt === prompt && m.prefill && m.generate <= 1) ??
  measurements.find((m) => m.prompt === prompt && m.prefill);
/** The measurement at a position of a conversation that goes on. */
export const decodeAt = ({ measurements }: Run, position: number): Measurement | undefined =>
  measurements.find((m) => m.cached && m.prompt === position && m.decode);
/** The decode measurement with the shortest context, which is what vendors publish. */
export const firstDecode = ({ measurements }: Run): Measurement | undefined =>
  [...measurements].filter((m) => m.decode).sort((a, b) => a.prompt - b.prompt)[0];

/**
 * The speed at which reading the weights of a token would take all of the measured bandwidth, and the share of it that
 * a run reaches.
 */
export function rooflineOf(run: Run, { bandwidth }: Device): { tokensPerSecond: number; share: number } | undefined {
  const speed = firstDecode(run)?.decode?.median;
  // a copy on the GPU counts each byte twice, and reads are about as fast as both together
  const roof = run.backend === 'webgpu' ? bandwidth?.gpuCopy : bandwidth?.cpuRead;
  const { bytes: all, activeBytes = all } = run.model;
  if (!speed || !roof || !activeBytes) return undefined;
  const tokensPerSecond = (roof * 1e9) / activeBytes;
  return { tokensPerSecond, share: speed / tokensPerSecond };
}

/** A small model stays in the caches, which are faster than the memory. */
export function shareLabel({ share }: { share: number }): string {
  return share > 1
    ? 'faster than the memory: the weights fit into caches'
    : `${Math.round(100 * share)}\u00a0% of the measured memory bandwidth`;
}

/** 'Chrome 156 on Linux, 8 cores': tells one result from another. */
export const deviceLabel = ({ browser, platform, cores, gpu }: Device): string =>
  `${browser} on ${platform}, ${gpu && !gpu.software ? gpu.name : `${cores} ${cores === 1 ? 'core' : 'cores'}`}`;

export function deviceLines(device: Device): [string, string][] {
  const { gpu, battery, bandwidth } = device;
  const gbps = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0GB/s`;
  return [
    ['Browser', `${device.browser} on ${device.platform}${device.mobile ? ', mobile' : ''}`],
    [
      'Processor',
      `${device.cores} ${device.cores === 1 ? 'core' : 'cores'}, ${device.isolated ? 'threads allowed' : 'one thread: the page is not cross-origin isolated'}`,
    ],
    ['SIMD', { relaxed: 'relaxed SIMD', simd: 'plain SIMD', none: 'none' }[device.simd]],
    [
      'Memory',
      device.memoryGB ? `${device.memoryGB}\u00a0GB or more, as the browser says` : 'the browser does not tell',
    ],
    ['GPU', gpu ? `${gpu.name}${gpu.software ? ' (emulated on the processor)' : ''}` : 'no WebGPU'],
    ...(gpu
      ? ([['GPU features', [...gpu.features, `buffers up to ${bytes(gpu.maxBufferBytes)}`].join(', ')]] as [
          string,
          string,
        ][])
      : []),
    ...(bandwidth?.cpuRead
      ? ([
          [
            'Memory reads',
            `${gbps(bandwidth.cpuRead)}, ${bandwidth.cpuThreads} ${bandwidth.cpuThreads === 1 ? 'thread' : 'threads'}`,
          ],
        ] as [string, string][])
      : []),
    ...(bandwidth?.gpuCopy ? ([['GPU copies', gbps(bandwidth.gpuCopy)]] as [string, string][]) : []),
    ...(battery
      ? ([['Battery', `${battery.percent}\u00a0%, ${battery.charging ? 'charging' : 'not charging'}`]] as [
          string,
          string,
        ][])
      : []),
    ['Clock', `steps of ${device.clockMs}\u00a0ms`],
  ];
}

const STATUS: Record<Run['status'], string> = { done: 'done', wrong: 'wrong result', failed: 'failed' };
export const statusLabel = ({ status }: Run): string => STATUS[status];

/** The cells of the table of all runs. */
export const RUN_COLUMNS = [
  'Model',
  'Runs on',
  'Prefill 128',
  '512',
  '2,048',
  'Decode',
  'p50',
  'p95',
  'p99',
  'First token',
  'Load',
  'Memory',
  'Check',
];
export function runCells(run: Run): string[] {
  const decode = firstDecode(run);
  const [short, middle, long] = [128, 512, 2048].map((prompt) => prefillAt(run, prompt));
  const speed = (tokensPerSecond?: number): string => (run.status === 'wrong' ? 'wrong' : rate(tokensPerSecond));
  return [
    modelLabel(run),
    backendLabel(run),
    ...[short, middle, long].map((m) => speed(m?.prefill?.median)),
    speed(decode?.decode?.median),
    ...(['p50', 'p95', 'p99'] as const).map((p) => milliseconds(decode?.gapMs?.[p])),
    milliseconds((middle ?? short ?? long ?? run.measurements[0])?.firstTokenMs.median),
    milliseconds(run.loadMs),
    run.memoryBytes ? bytes(run.memoryBytes) : '–',
    run.check && run.status !== 'wrong' ? 'right' : statusLabel(run),
  ];
}

export const MEASUREMENT_COLUMNS = [
  'Measurement',
  'Prefill, tok/s',
  'First token',
  'Decode, tok/s',
  'p50',
  'p95',
  'p99',
  'Repetitions',
];
export function measurementCells(m: Measurement): string[] {
  const spread = (value: Measurement['prefill'], show: (n: number) => string): string =>
    value ? `${show(value.median)} (${show(value.min)}–${show(value.max)})` : '–';
  const name = stepName(m);
  return [
    name[0].toUpperCase() + name.slice(1),
    spread(m.prefill, rate),
    spread(m.firstTokenMs, milliseconds),
    spread(m.decode, rate),
    ...(['p50', 'p95', 'p99'] as const).map((p) => milliseconds(m.gapMs?.[p])),
    String(m.repetitions),
  ];
}

/** The share of speed that is lost between the first and the last sixth of the time: of a minute, ten seconds. */
export function sustainedDrop(points: [second: number, tokensPerSecond: number][]): number | undefined {
  const median = (part: number[]): number => [...part].sort((a, b) => a - b)[part.length >> 1];
  const end = points.at(-1)?.[0] ?? 0;
  const first = points.filter(([at]) => at <= end / 6).map(([, speed]) => speed);
  const last = points.filter(([at]) => at >= (5 * end) / 6).map(([, speed]) => speed);
  return first.length && last.length ? 1 - median(last) / median(first) : undefined;
}

/** A cell of a Markdown table: nothing in it ends the cell or begins markup. */
const cell = (text: string): string => text.replace(/[\\|<>`*_[\]]/g, '\\$&').replace(/\s+/g, ' ');
const line = (cells: string[]): string => `| ${cells.join(' | ')} |`;
const table = (head: string[], rows: string[][]): string =>
  [head.map(cell), head.map((_, i) => (i < 2 ? '---' : '--:')), ...rows.map((row) => row.map(cell))]
    .map(line)
    .join('\n');

export function toMarkdown(result: BenchmarkResult): string {
  const { device, runs, created, build } = result;
  const head = `## Rivulet benchmark, ${created.slice(0, 10)}`;
  const facts = deviceLines(device).map(([name, value]) => `- ${name}: ${cell(value)}`);
  const problems = runs.flatMap((run) =>
    [...(run.problem ? [run.problem] : []), ...run.notes].map((note) => `- ${cell(runLabel(run))}: ${cell(note)}`),
  );
  return (
    [
      head,
      `Tokens a second, medians. Version ${cell(build.version)}${build.site ? `, build ${cell(build.site)}` : ''}.`,
      facts.join('\n'),
      table(RUN_COLUMNS, runs.map(runCells)),
      ...runs
        .filter(({ measurements }) => measurements.length)
        .map(
          (run) =>
            `### ${cell(runLabel(run))}\n\n${table(MEASUREMENT_COLUMNS, run.measurements.map(measurementCells))}`,
        ),
      ...(problems.length ? [`### Notes\n\n${problems.join('\n')}`] : []),
    ].join('\n\n') + '\n'
  );
}
