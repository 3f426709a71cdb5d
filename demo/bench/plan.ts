/** What is measured: the choices of the form, the runs that follow from them, and how long they take. */
import type { Case } from './measure';
import { QUANTIZATIONS, SHAPE_LABELS, type ShapeName } from './shapes';

export type BackendChoice = 'wasm' | 'webgpu';

export interface Selection {
  shapes: string[];
  quantizations: string[];
  /** ids of stored models */
  stored: string[];
  /** name of a chosen file */
  file?: string;
  backends: BackendChoice[];
  /** lengths of prompts to read */
  prefill: number[];
  /** positions at which to generate */
  decode: number[];
  /** the settings that vendors publish */
  classes: boolean;
  sustained: boolean;
  kernels: boolean;
  repetitions: number;
}

export type Preset = 'quick' | 'standard' | 'full';

export const PREFILL = [128, 512, 2048];
export const DECODE = [128, 1024, 4096, 16384];
export const DECODED = 64;
export const SUSTAINED_SECONDS = 60;
/** as many as a result holds */
const MOST_RUNS = 200;

/** Prompt and answer as vendors publish them. */
export const CLASSES: Case[] = [
  { prompt: 1024, generate: 100, cached: false },
  { prompt: 4096, generate: 128, cached: false },
  { prompt: 256, generate: 64, cached: false },
  { prompt: 1024, generate: 64, cached: true },
];

export const PRESETS: Record<Preset, Omit<Selection, 'stored' | 'backends'>> = {
  quick: {
    shapes: ['demo'],
    quantizations: ['Q4_0', 'Q8_0'],
    prefill: [128, 512],
    decode: [128, 1024],
    classes: false,
    sustained: false,
    kernels: false,
    repetitions: 3,
  },
  standard: {
    shapes: ['350m'],
    quantizations: ['Q4_0'],
    prefill: PREFILL,
    decode: [128, 1024, 4096],
    classes: false,
    sustained: false,
    kernels: false,
    repetitions: 3,
  },
  full: {
    shapes: ['350m', '1.2b'],
    quantizations: ['Q4_0', 'Q8_0'],
    prefill: PREFILL,
    decode: DECODE,
    classes: true,
    sustained: true,
    kernels: true,
    repetitions: 5,
  },
};

/** A run before it is measured. It is stored, so it holds no file. */
export interface PlannedRun {
  source: { shape: string } | { stored: string } | { file: string };
  name: string;
  /** of made-up weights */
  quantization?: string;
  backend: BackendChoice;
  cases: Case[];
  /** seconds of a run without a pause; 0: none */
  sustained: number;
  kernels: boolean;
}

/** Short cases first: a longer one goes on from what is read already. */
export function casesOf({ prefill, decode, classes }: Selection): Case[] {
  const cases: Case[] = [
    ...prefill.map((prompt) => ({ prompt, generate: 1, cached: false })),
    ...decode.map((prompt) => ({ prompt, generate: DECODED, cached: true })),
    ...(classes ? CLASSES : []),
  ];
  const unique = new Map(cases.map((one) => [JSON.stringify(one), one]));
  return [...unique.values()].sort(
    (a, b) => Number(a.cached) - Number(b.cached) || a.prompt - b.prompt || a.generate - b.generate,
  );
}

/** The smallest model first, and the backends of a model one after the other. */
export function planRuns(selection: Selection, seconds = SUSTAINED_SECONDS): PlannedRun[] {
  const { shapes, quantizations, stored, file, backends } = selection;
  const sustained = selection.sustained ? seconds : 0;
  const cases = casesOf(selection);
  const models: Pick<PlannedRun, 'source' | 'name' | 'quantization'>[] = [
    ...Object.keys(SHAPE_LABELS)
      .filter((shape) => shapes.includes(shape))
      .flatMap((shape) =>
        Object.keys(QUANTIZATIONS)
          .filter((q) => quantizations.includes(q))
          .map((quantization) => ({ source: { shape }, name: SHAPE_LABELS[shape as ShapeName]!, quantization })),
      ),
    ...stored.map((id) => ({ source: { stored: id }, name: id.slice(id.lastIndexOf('/') + 1) })),
    ...(file === undefined ? [] : [{ source: { file }, name: file }]),
  ];
  return models.flatMap((model) =>
    backends.map((backend) => ({
      ...model,
      backend,
      cases,
      sustained,
      kernels: selection.kernels && backend === 'webgpu',
    })),
  );
}

/** What keeps a set from being measured, in a sentence. */
export function obstacleOf(selection: Selection): string | undefined {
  const { shapes, quantizations, stored, file, backends, sustained, kernels } = selection;
  const madeUp = shapes.length && quantizations.length;
  if (!madeUp && !stored.length && file === undefined)
    return shapes.length ? 'Choose at least one quantisation.' : 'Choose at least one model.';
  if (!backends.length) return 'Choose the CPU, the GPU or both.';
  if (!casesOf(selection).length && !sustained && !kernels) return 'Choose at least one measurement.';
  const runs = planRuns(selection).length;
  return runs > MOST_RUNS
    ? `Choose fewer models: these are ${runs} runs, and a result holds at most ${MOST_RUNS}.`
    : undefined;
}
