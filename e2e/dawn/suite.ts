/**
 * All checks and measurements of a GPU within a time limit, the most important first. It lists those that did not fit.
 */
import { recordPlan } from '../../src/backend/plan';
import { writeRandomMatrix } from '../../src/backend/random_weights';
import { openWebGpuBackend, type WebGpuOptions } from '../../src/backend/webgpu/backend';
import type { Dtype } from '../../src/tensor/dtype';
import { check, conformance, type Loaded } from './checks';
import type { Adapter } from './install_dawn';
import { randomCheckpoint } from './random_checkpoint';
import { speed, speedLines, type Speed } from './speed';

export interface SuiteOptions {
  gpu: WebGpuOptions;
  sizes: string[];
  quants: string[];
  prompts: number[];
  gen: number;
  runs: number;
  seconds: number;
  tuneMs: number;
  /** print a line of JSON for each item, else text */
  json: boolean;
}

/**
 * bound of the difference between a prompt read whole and token by token, as a share of the power: rounding grows
 * through random layers
 */
const PIECES_NMSE = 1e-2;
/** position of the measurements of long contexts */
const FAR_POSITION = 4096;
/** share of the time that the checks before the models may take */
const CHECKS_SHARE = 0.3;

/** @returns the bounds missed */
export async function suite(adapter: Adapter, o: SuiteOptions): Promise<string[]> {
  const start = performance.now();
  const end = start + 1000 * o.seconds;
  const misses: string[] = [];
  const seconds = (since: number): number => Number(((performance.now() - since) / 1000).toFixed(1));
  const emit = (item: string, result: object, lines: string[]): void => {
    if (o.json) console.log(JSON.stringify({ item, ...result }));
    else for (const line of lines) console.log(line);
  };
  /** Runs one item and reports its error, so that the others still run. */
  async function item(
    name: string,
    act: () => Promise<{ result: object; lines: string[]; missed?: string[] }>,
  ): Promise<void> {
    const begun = performance.now();
    console.error(`[${seconds(start)} s] ${name}`);
    try {
      const { result, lines, missed = [] } = await act();
      misses.push(...missed.map((what) => `${name}: ${what}`));
      emit(name, { ...result, seconds: seconds(begun) }, lines);
    } catch (error) {
      const what = (error as Error).stack ?? String(error);
      misses.push(`${name}: ${(error as Error).message}`);
      emit(name, { error: what, seconds: seconds(begun) }, [`${name}: ${what}`]);
    }
  }
  const skip = (name: string): void =>
    emit(name, { skipped: `no time left of ${o.seconds} s` }, [`${name}: skipped, no time left of ${o.seconds} s`]);
  const table = (name: string, gpu: WebGpuOptions, until: number): Promise<void> =>
    item(name, async () => {
      const result = await conformance(gpu, '', until);
      const { worst } = result;
      const left = result.left ? `, ${result.left} left out for lack of time` : '';
      return {
        result,
        missed: result.missed,
        lines: [
          `${name}: ${result.cases} cases${left}, ${result.missed.length} bounds missed; worst ${worst.maxAbsOverRms.toExponential(1)} of the rms (${worst.maxAbsOf}), ${worst.nmse.toExponential(1)} of the power (${worst.nmseOf})`,
        ],
      };
    });

  const { subgroups: [least, most], features, limits, node } = adapter; // prettier-ignore
  emit('adapter', adapter, [
    `${adapter.name}${adapter.software ? ' (computes on the CPU)' : ''}: subgroups of ${least} to ${most}, ${features.filter((name) => /f16|subgroup|timestamp/.test(name)).join(', ')}`,
    `  ${Object.entries(limits).map(([name, value]) => `${name} ${value}`).join(', ')}; Node ${node}`,
  ]); // prettier-ignore

  await item('self test', async () => {
    const ms = [await selfTest(o.gpu), await selfTest(o.gpu)];
    return {
      result: { ms },
      lines: [
        `self test of Q4_0 and Q6_K, with compilation: ${ms[0].toFixed(0)} ms, once more on a new device ${ms[1].toFixed(0)} ms`,
      ],
    };
  });
  for (const quant of o.quants)
    await item(`tiny ${quant} against the reference`, async () => {
      let result: Awaited<ReturnType<typeof check>> | undefined;
      const look = async (loaded: Loaded): Promise<void> => void (result = await check(checkpoint, loaded));
      const checkpoint = await randomCheckpoint('tiny', quant);
      await speed(`tiny ${quant}`, checkpoint, {
        ...o,
        prompts: [8],
        gen: 2,
        runs: 1,
        chunk: 256,
        window: 32,
        position: 0,
        warm: false,
        profile: false,
        tuneMs: 0,
        pieces: 0,
        check: look,
      });
      const { missed, maxAbs, nmse, greedy } = result!;
      return {
        result: result!,
        missed,
        lines: [
          `tiny ${quant} against the reference: logits off by ${maxAbs.toExponential(1)} at most, ${nmse.toExponential(1)} of the power; greedy tokens the same: ${greedy}`,
        ],
      };
    });
  const share = CHECKS_SHARE * (end - start);
  await table('conformance', o.gpu, Math.min(end, Math.max(start + share, performance.now() + share / 2)));

  const done: Speed[] = [];
  /** milliseconds per byte of weights of the last model */
  let msPerByte = 0;
  async function model(size: string, quant: string, position: number): Promise<void> {
    const name = `speed ${size} ${quant}${position ? ` at ${position}` : ''}`;
    const checkpoint = await randomCheckpoint(size, quant);
    if (performance.now() + msPerByte * checkpoint.bytes > end) return skip(name);
    const begun = performance.now();
    const further = position ? { tuneMs: 0, pieces: 0 } : { pieces: Math.min(64, o.prompts[0]) };
    await item(name, async () => {
      const result = await speed(`random ${size} ${quant}`, checkpoint, {
        ...o,
        chunk: 256,
        window: 32,
        position,
        warm: !adapter.software,
        profile: true,
        ...further,
      });
      done.push(result);
      const apart = result.pieces && !(result.pieces.nmse <= PIECES_NMSE);
      return {
        result,
        missed: apart
          ? [`a prompt read whole and token by token gives other logits: ${result.pieces!.nmse} of the power`]
          : [],
        lines: speedLines(result),
      };
    });
    msPerByte = (performance.now() - begun) / checkpoint.bytes;
  }
  for (const size of o.sizes) for (const quant of o.quants) await model(size, quant, 0);
  // attention at long contexts
  if (!adapter.software) for (const size of o.sizes) await model(size, o.quants[0], FAR_POSITION);

  for (const [name, gpu] of [
    ['conformance without subgroups, f32 cache', { ...o.gpu, subgroups: false, f16: false }],
    ['conformance with int8 activations', { ...o.gpu, tuning: { int8Activations: true } }],
  ] as [string, WebGpuOptions][]) {
    if (performance.now() < end) await table(name, gpu, end);
    else skip(name);
  }
  if (!o.json) for (const line of summary(done)) console.log(line);
  return misses;
}

/** Milliseconds of the self test of two formats: of a compilation whose plan has only a small table of both. */
async function selfTest(gpu: WebGpuOptions): Promise<number> {
  const backend = await openWebGpuBackend({ ...gpu, selfTest: 'always' });
  const segments = (['Q4_0', 'Q6_K'] as Dtype[]).map((dtype) => ({ name: dtype, rows: 32, dtype }));
  const table = await writeRandomMatrix(backend, { name: 'table', rows: 64, cols: 256, segments });
  const plan = recordPlan((op) => op.last(op.embed(table)));
  const start = performance.now();
  await backend.compile(plan, { contextLength: 64, prefillBatch: 1 });
  const ms = performance.now() - start;
  await backend.dispose();
  return ms;
}

/** A table of the tokens per second of all models, and of their limits. */
function summary(all: Speed[]): string[] {
  const head = [
    'model',
    ...(all[0]?.prefill.map(({ tokens }) => `prefill ${tokens}`) ?? []),
    'decode',
    'sampled',
    'tuned',
    'GB/s',
    '% of copy',
    'kernels %',
    'µs over roof',
  ];
  const rows = all.map(({ model, prefill, tuned, profile, ...s }) => [
    s.position ? `${model} at ${s.position}` : model,
    ...prefill.map(({ tokensPerSecond }) => tokensPerSecond.median.toFixed(0)),
    s.decodeTokensPerSecond.median.toFixed(1),
    s.sampledTokensPerSecond.median.toFixed(1),
    tuned?.decodeTokensPerSecond.median.toFixed(1) ?? '–',
    s.gigabytesPerSecond.toFixed(0),
    profile ? ((100 * s.gigabytesPerSecond) / profile.copyGigabytesPerSecond).toFixed(0) : '–',
    profile?.token.shareOfCopy ? (100 * profile.token.shareOfCopy).toFixed(0) : '–',
    profile ? profile.overheadMicrosEach.toFixed(2) : '–',
  ]);
  return [
    'tokens per second (medians); GB/s of weights from the time of an answer, its share of the copy bandwidth, the same share from the times of the kernels, and µs per dispatch over the roofline',
    ...[head, ...rows].map((row) => `| ${row.join(' | ')} |`),
  ];
}
