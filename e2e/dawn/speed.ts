/**
 * Measures a checkpoint on this GPU: prefill, greedy and sampled decode, times of kernels, and the same with tuned
 * kernels.
 */
import type { ShapeTuningResult } from '../../src/backend/backend';
import { ALL_FILTERS_SAMPLING } from '../../src/backend/sampling';
import { describeProgram } from '../../src/backend/describe_program';
import { openWebGpuBackend, type WebGpuOptions } from '../../src/backend/webgpu/backend';
import { profileAt } from '../../src/backend/webgpu/profile';
import type { Checkpoint } from '../../src/engine/checkpoint';
import {
  dispatchesOf,
  macsPerToken,
  profileOf,
  profileTable,
  spread,
  time,
  tuneTable,
  weightBytesOf,
  type Profile,
  type Spread,
} from '../measure';
import { load, comparePieces, type Loaded } from './checks';

export interface SpeedOptions {
  gpu: WebGpuOptions;
  /** lengths of prompts; decode is measured after the first */
  prompts: number[];
  gen: number;
  runs: number;
  chunk: number;
  /** tokens per decode call; two calls are in flight */
  window: number;
  /** if not 0, decode is measured at this position instead of after a prompt */
  position: number;
  /** one more run first, which does not count */
  warm: boolean;
  profile: boolean;
  /** time limit of the tuner in ms; 0: no tuning */
  tuneMs: number;
  /** length of a prompt to read whole and token by token; 0: none */
  pieces: number;
  /** called before the measurements */
  check?(loaded: Loaded): Promise<unknown>;
}

export interface Decoding {
  decodeTokensPerSecond: Spread;
  sampledTokensPerSecond: Spread;
  sampledOverGreedy: number;
  /** bytes of weights per token over the time per token of a whole answer */
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
  prefill: { tokens: number; tokensPerSecond: Spread }[];
  gen: number;
  position: number;
  bytesPerToken: number;
  macsPerToken: number;
  dispatchesPerToken?: number;
  pieces?: { maxAbsOverRms: number; nmse: number };
  tuned?: Decoding & { rows: ShapeTuningResult[] };
}

const rate = (tokens: number, ms: number): number => (1000 * tokens) / ms;

export async function speed(model: string, checkpoint: Checkpoint, o: SpeedOptions): Promise<Speed> {
  const { config, bytes } = checkpoint;
  const start = performance.now();
  const backend = await openWebGpuBackend(o.gpu);
  try {
    const loaded = await load(checkpoint, backend, {
      contextLength: Math.max(128, o.position + Math.max(...o.prompts) + o.gen + 8),
      prefillBatch: o.chunk,
    });
    const loadSeconds = (performance.now() - start) / 1000;
    const { state, plan } = loaded;
    const dispatchesPerToken = dispatchesOf(describeProgram(state.program));
    console.error(
      `${model}: loaded ${(bytes / 1e6).toFixed(0)} MB in ${loadSeconds.toFixed(1)} s, ${dispatchesPerToken} dispatches a token`,
    );
    await o.check?.(loaded);
    const bytesPerToken = weightBytesOf(plan);
    const before = o.position || o.prompts[0];

    async function decoding(): Promise<Decoding> {
      const rates = { greedy: [] as number[], sampled: [] as number[] };
      for (let run = o.warm ? -1 : 0; run < o.runs; run++) {
        const greedy = await time(state, config.vocabSize, before, o.gen, o.chunk, o.window);
        const sampled = await time(state, config.vocabSize, before, o.gen, o.chunk, o.window, ALL_FILTERS_SAMPLING);
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
        profile: o.profile ? profileOf(await profileAt(state, o.position, o.chunk)) : undefined,
      };
    }

    const prefill: Speed['prefill'] = [];
    for (const tokens of o.prompts) {
      const rates: number[] = [];
      for (let run = o.warm ? -1 : 0; run < o.runs; run++) {
        const { prefillMs } = await time(state, config.vocabSize, tokens, 0, o.chunk, o.window);
        if (run >= 0) rates.push(rate(tokens, prefillMs));
      }
      prefill.push({ tokens, tokensPerSecond: spread(rates) });
    }
    const untuned = await decoding();
    const agreement = o.pieces ? await comparePieces(loaded, config.vocabSize, o.pieces) : undefined;
    let tuned: Speed['tuned'];
    if (o.tuneMs) {
      const rows = await state.program.tune!({ budgetMs: o.tuneMs, allowSoftware: true });
      tuned = { ...(rows.some((row) => Object.keys(row.tuning).length) ? await decoding() : untuned), rows };
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
      ...untuned,
      gen: o.gen,
      position: o.position,
      bytesPerToken,
      macsPerToken: macsPerToken(plan),
      dispatchesPerToken,
      pieces: agreement,
      tuned,
    };
    for (const line of o.profile ? describeProgram(state.program).split('\n') : []) console.error(line);
    state.program.dispose();
    return result;
  } finally {
    await backend.dispose();
  }
}

const formatSpread = ({ median, min, max }: Spread): string => `${median} tok/s (${min} – ${max})`;

/** The result as text. */
export function speedLines(s: Speed): string[] {
  const decoding = (d: Decoding): string[] => {
    const share =
      d.profile && `, ${((100 * d.gigabytesPerSecond) / d.profile.copyGigabytesPerSecond).toFixed(0)} % of a copy's`;
    return [
      `  decode   ${formatSpread(d.decodeTokensPerSecond)}, ${d.gigabytesPerSecond} GB/s of weights${share ?? ''}`,
      `  sampled  ${formatSpread(d.sampledTokensPerSecond)}, ${d.sampledOverGreedy} of greedy`,
    ];
  };
  const indented = (lines: string[]): string[] => lines.map((line) => `    ${line}`);
  return [
    `${s.model} on ${s.device}: ${s.variant}`,
    ...s.notes.map((note) => `  ${note}`),
    `  load     ${s.loadSeconds} s with self test and compilation, weights ${(s.fileBytes / 1e6).toFixed(0)} MB, backend ${(s.backendBytes / 1e6).toFixed(0)} MB`,
    ...(s.position ? [`  decode at position ${s.position}`] : []),
    ...s.prefill.map(
      ({ tokens, tokensPerSecond }) =>
        `  prefill  ${String(tokens).padStart(4)} tokens: ${formatSpread(tokensPerSecond)}`,
    ),
    ...decoding(s),
    `  dispatches a token: ${s.dispatchesPerToken}`,
    ...(s.pieces
      ? [
          `  a prompt whole and token by token: logits differ by ${s.pieces.maxAbsOverRms.toExponential(1)} of the rms at most, ${s.pieces.nmse.toExponential(1)} of the power`,
        ]
      : []),
    ...(s.profile ? indented(profileTable(s.profile)) : []),
    ...(s.tuned
      ? [
          '  tuned',
          ...indented(tuneTable(s.tuned.rows)),
          ...decoding(s.tuned),
          ...(s.tuned.profile && s.tuned.profile !== s.profile ? indented(profileTable(s.tuned.profile)) : []),
        ]
      : []),
  ];
}
