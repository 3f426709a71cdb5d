/** Models and files of other kinds than Rivulet runs: how each is recognised, and what to take instead. */
import { fail, show } from './errors';

const OTHER_MODEL = 'Choose one of these.';
const OTHER_FORMAT = 'Take the model as GGUF or .safetensors.';

/**
 * How architectures begin, in small letters and digits; names of files, if they tell it; message; cure. The first row
 * that fits counts.
 */
const KINDS: readonly [architectures: readonly string[], files: RegExp | undefined, what: string, cure: string][] = [
  [
    ['lfm2vl', 'lfm2audio', 'lfm3vl', 'lfm3audio', 'lfm3omni'],
    undefined,
    'Audio models and other vision models are not supported yet',
    OTHER_MODEL,
  ],
  [['lfm3directory'], undefined, 'LFM3 as a Hugging Face directory is not supported yet', 'Take the model as GGUF.'],
  [['lfm3'], undefined, 'Other kinds of LFM3 than its text models are not supported yet', OTHER_MODEL],
  [['lfm2bidir'], undefined, 'Bidirectional models without modules.json are not supported yet', OTHER_MODEL],
  [
    ['adapter'],
    /^adapter_(config\.json|model\.)/,
    'LoRA adapters are not supported yet',
    'Merge it into its base model.',
  ],
  [
    ['clip'],
    /mmproj/i,
    'This is the vision or audio part of a model (mmproj)',
    'Choose the file of the text model, too.',
  ],
  [[], /\.onnx(_data)?$/i, 'ONNX models are not supported yet', OTHER_FORMAT],
  [[], /\.(bin|pth?|ckpt)$/i, 'Weights in .bin or .pt files are not supported yet', OTHER_FORMAT],
  [
    [],
    /\.safetensors$/i,
    'Weights without config.json and tokenizer.json are not supported yet',
    'Choose the whole directory of the model.',
  ],
];

/** Names of GGUF files that stand beside a model and are none. */
export const BESIDE_MODELS = /mmproj|imatrix|vocab-only/i;

/**
 * @param architecture of a model that is not run here, as its file states it
 * @throws CheckpointError, always
 */
export function refuseArchitecture(architecture: unknown, got: string = show(architecture)): never {
  // 'Lfm2MoeForCausalLM', 'lfm2_moe' and 'lfm2moe' are one
  const name = typeof architecture === 'string' ? architecture.toLowerCase().replace(/[^a-z0-9]/g, '') : '';
  const kind = KINDS.find(([architectures]) => architectures.some((start) => name.startsWith(start)));
  const what = kind?.[2] ?? 'The architecture of the model is not supported';
  fail('CheckpointError', {
    what,
    got,
    wanted: 'lfm2, lfm2moe, lfm2vl or lfm3',
    cure: kind?.[3] ?? OTHER_MODEL,
  });
}

/**
 * For files among which is no model that can be read.
 * @throws CheckpointError if their names tell what they are
 */
export function refuseOtherFiles(paths: readonly string[]): undefined {
  for (const [, files, what, cure] of KINDS) {
    const got = paths.find((path) => files?.test(path.slice(path.lastIndexOf('/') + 1)));
    if (got)
      fail('CheckpointError', {
        what,
        got,
        wanted: 'a .gguf file, or config.json, tokenizer.json and .safetensors files',
        cure,
      });
  }
  return undefined;
}
