/** How fast a checkpoint is on this GPU: prefill, decode, sampled decode, times by kernel, and the same with what the tuner finds. */
import type { TuneRow } from '../../src/backend/backend';
import { TYPICAL } from '../../src/backend/sampling';
import { openWebGpu, type WebGpuOptions } from '../../src/backend/webgpu/backend';
import type { Checkpoint } from '../../src/engine/checkpoint';
import { dispatchesOf, macsOf, profileAt, profileOf, profileTable, spread, time, tuneTable, weightBytesOf, type Profile, type Spread } from '../measure';
import { load, pieces, type Loaded } from './checks';

export interface SpeedOptions {
  gpu: WebGpuOptions;
  /** lengths of prompts; decode is timed after the first */
  prompts: number[];
  gen: number;
  runs: number;
  chunk: number;
  /** tokens of a decode call, of which two are under way */
  window: number;
  /** decode is timed here, and not after a prompt */
  position: number;
  /** a run before that does not count */
  warm: boolean;
  profile: boolean;
  /** milliseconds of tuning; 0 none */
  tuneMs: number;
  /** a prompt of so many tokens is read whole and token by token; 0 none */
  pieces: number;
  /** before the measurements */
  check?(loaded: Loaded): Promise<unknown>;
}

export interface Decoding {
  decodeTokensPerSecond: Spread;
  sampledTokensPerSecond: Spread;
  sampledOverGreedy: number;
  /** of the weights that a token reads, by the clock of a whole answer */
  gigabytesPerSecond: number;
  profile?: Profile;
}

export interface Speed extends Decoding {
  model: string;
  device: string;
  variant: string;
  notes: string[];
  loadSeconds: number;
  fileBytes: number;
  backendBytes: number;
  prefill: ({ tokens: number; tokensPerSecond: Spread })[];
  gen: number;
  position: number;
  bytesPerToken: number;
  macsPerToken: number;
  dispatchesPerToken?: number;
  pieces?: { maxAbsOverRms: number; nmse: number };
  tuned?: Decoding & { rows: TuneRow[] };
}

const rate = (tokens: number, ms: number): number => (1000 * tokens) / ms;

export async function speed(model: string, checkpoint: Checkpoint, o: SpeedOptions): Promise<Speed> {
  const { config, bytes } = checkpoint;
  const start = performance.now();
  const backend = await openWebGpu(o.gpu);
  try {
    const loaded = await load(checkpoint, backend, { contextLength: Math.max(128, o.position + Math.max(...o.prompts) + o.gen + 8), chunk: o.chunk });
    const loadSeconds = (performance.now() - start) / 1000;
    const { runner, plan } = loaded;
    const dispatchesPerToken = dispatchesOf(runner.describe());
    console.error(`${model}: loaded ${(bytes / 1e6).toFixed(0)} MB in ${loadSeconds.toFixed(1)} s, ${dispatchesPerToken} dispatches a token`);
    await o.check?.(loaded);
    const bytesPerToken = weightBytesOf(plan);
    const before = o.position || o.prompts[0];

    async function decoding(): Promise<Decoding> {
      const rates = { greedy: [] as number[], sampled: [] as number[] };
      for (let run = o.warm ? -1 : 0; run < o.runs; run++) {
        const greedy = await time(runner, config.vocabSize, before, o.gen, o.chunk, o.window);
        const sampled = await time(runner, config.vocabSize, before, o.gen, o.chunk, o.window, TYPICAL);
        if (run < 0) continue;
        rates.greedy.push(rate(o.gen, greedy.decodeMs));
        rates.sampled.push(rate(o.gen, sampled.decodeMs));
      }
      const [decodeTokensPerSecond, sampledTokensPerSecond] = [spread(rates.greedy), spread(rates.sampled)];
      return {
        decodeTokensPerSecond,
        sampledTokensPerSecond,
        sampledOverGreedy: Number((sampledTokensPerSecond.median / decodeTokensPerSecond.median).toFixed(3)),
        gigabytesPerSecond: Number(((bytesPerToken * decodeTokensPerSecond.median) / 1e9).toFixed(2)),
        profile: o.profile ? profileOf(await profileAt(runner, o.position, o.chunk)) : undefined,
      };
    }

    const prefill: Speed['prefill'] = [];
    for (const tokens of o.prompts) {
      const rates: number[] = [];
      for (let run = o.warm ? -1 : 0; run < o.runs; run++) {
        const { prefillMs } = await time(runner, config.vocabSize, tokens, 0, o.chunk, o.window);
        if (run >= 0) rates.push(rate(tokens, prefillMs));
      }
      prefill.push({ tokens, tokensPerSecond: spread(rates) });
    }
    const usual = await decoding();
    const agreement = o.pieces ? await pieces(loaded, config.vocabSize, o.pieces) : undefined;
    let tuned: Speed['tuned'];
    if (o.tuneMs) {
      const rows = await runner.tune!({ budgetMs: o.tuneMs, software: true });
      tuned = { ...(rows.some((row) => Object.keys(row.tuning).length) ? await decoding() : usual), rows };
    }
    const result: Speed = {
      model,
      device: backend.info.device,
      variant: backend.info.variant,
      notes: backend.info.notes,
      loadSeconds: Number(loadSeconds.toFixed(2)),
      fileBytes: bytes,
      backendBytes: backend.memory(),
      prefill,
      ...usual,
      gen: o.gen,
      position: o.position,
      bytesPerToken,
      macsPerToken: macsOf(plan),
      dispatchesPerToken,
      pieces: agreement,
      tuned,
    };
    for (const line of o.profile ? runner.describe().split('\n') : []) console.error(line);
    runner.dispose();
    return result;
  } finally {
    await backend.dispose();
  }
}

const told = ({ median, min, max }: Spread): string => `${median} tok/s (${min} – ${max})`;

/** For people. */
export function speedLines(s: Speed): string[] {
  const decoding = (d: Decoding): string[] => {
    const share = d.profile && `, ${((100 * d.gigabytesPerSecond) / d.profile.copyGigabytesPerSecond).toFixed(0)} % of a copy's`;
    return [`  decode   ${told(d.decodeTokensPerSecond)}, ${d.gigabytesPerSecond} GB/s of weights${share ?? ''}`, `  sampled  ${told(d.sampledTokensPerSecond)}, ${d.sampledOverGreedy} of greedy`];
  };
  const indented = (lines: string[]): string[] => lines.map((line) => `    ${line}`);
  return [
    `${s.model} on ${s.device}: ${s.variant}`,
    ...s.notes.map((note) => `  ${note}`),
    `  load     ${s.loadSeconds} s with self test and compilation, weights ${(s.fileBytes / 1e6).toFixed(0)} MB, backend ${(s.backendBytes / 1e6).toFixed(0)} MB`,
    ...(s.position ? [`  decode at position ${s.position}`] : []),
    ...s.prefill.map(({ tokens, tokensPerSecond }) => `  prefill  ${String(tokens).padStart(4)} tokens: ${told(tokensPerSecond)}`),
    ...decoding(s),
    `  dispatches a token: ${s.dispatchesPerToken}`,
    ...(s.pieces ? [`  a prompt whole and token by token: logits differ by ${s.pieces.maxAbsOverRms.toExponential(1)} of the rms at most, ${s.pieces.nmse.toExponential(1)} of the power`] : []),
    ...(s.profile ? indented(profileTable(s.profile)) : []),
    ...(s.tuned ? ['  tuned', ...indented(tuneTable(s.tuned.rows)), ...decoding(s.tuned), ...(s.tuned.profile && s.tuned.profile !== s.profile ? indented(profileTable(s.tuned.profile)) : [])] : []),
  ];
}
