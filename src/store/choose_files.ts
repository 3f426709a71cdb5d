/** Chooses, by name, the files of a repository or directory that make up the requested model. No I/O. */
import { fail } from '../errors';
import { BESIDE_MODELS, refuseOtherFiles } from '../other_kinds';

/**
 * The order without a selector: 4 bits first, because a page can load them, then more bits, then fewer. Files of other
 * types, which cannot be read, come last. Q2_K is behind IQ3_M: its kernels are slow on the CPU.
 */
const PREFERRED = [
  'Q4_0', 'Q4_K_M', 'Q4_K_S', 'Q4_K', 'IQ4_NL', 'IQ4_XS', 'MXFP4', 'Q4_1', 'Q5_K_M', 'Q5_K_S', 'Q5_K', 'Q5_0', 'Q5_1',
  'Q6_K', 'Q8_0', 'Q8_K',
  'Q3_K_L', 'Q3_K_M', 'Q3_K_S', 'Q3_K', 'IQ3_M', 'IQ3_S', 'F16', 'BF16', 'F32', 'Q2_K',
]; // prettier-ignore
const QUANTIZATION = /(?:^|[-._/])([IT]?Q\d+(?:_[0-9A-Z]+)*|MXFP\d(?:_[A-Z]+)?|T?BF16|F16|F32)(?=[-._/]|$)/gi;
const SHARD = /-(\d{5})-of-(\d{5})(?=\.(?:gguf|safetensors)$)/;
/** read if they exist, besides config.json, tokenizer.json and the weights */
export const OPTIONAL_FILES = [
  'tokenizer_config.json',
  'generation_config.json',
  'chat_template.jinja',
  'chat_template.json',
  // of models that see
  'preprocessor_config.json',
  'processor_config.json',
  // of models for retrieval
  'modules.json',
  'config_sentence_transformers.json',
  'sentence_bert_config.json',
  '1_Dense/config.json',
  '1_Dense/model.safetensors',
  '1_Pooling/config.json',
];

const isGguf = (name: string): boolean => /\.gguf$/i.test(name);
const baseName = (name: string): string => name.slice(name.lastIndexOf('/') + 1);

/** 'LFM2-350M-Q4_K_M.gguf' → 'Q4_K_M'; the last one in the name counts. */
export const quantizationInName = (name: string): string | undefined =>
  [...name.replace(SHARD, '').matchAll(QUANTIZATION)].at(-1)?.[1].toUpperCase();

/**
 * All shards of the model that `name` belongs to, in order: '…-00001-of-00003.gguf' → three names; any other name →
 * itself.
 */
export function shardNames(name: string): string[] {
  const count = Number(SHARD.exec(name)?.[2] ?? 0);
  if (count < 1 || count > 999) return [name];
  return Array.from({ length: count }, (_, i) =>
    name.replace(SHARD, `-${String(i + 1).padStart(5, '0')}-of-${String(count).padStart(5, '0')}`),
  );
}

/**
 * @param names all available files
 * @param selector a quantisation ('Q4_0'), a part of a name that has one ('UD-Q4_K_XL'), a file name, a folder, or
 * nothing
 * @param where the repository or folder, for messages
 * @throws SourceError that lists the available models if none fits; CheckpointError if the files are known to be of
 * another kind
 */
export function chooseFiles(names: string[], selector: string | undefined, where: string): string[] {
  const models = names.filter(
    (name) =>
      isGguf(name) && !BESIDE_MODELS.test(baseName(name)) && (!SHARD.test(name) || SHARD.exec(name)![1] === '00001'),
  );
  const withAllShards = (first: string): string[] => {
    const all = shardNames(first);
    const missing = all.filter((name) => !names.includes(name));
    if (missing.length > 0)
      fail('SourceError', {
        what: `${where} has only some parts of a split model`,
        got: `no ${missing.join(', ')}`,
        wanted: `${all.length} parts`,
      });
    // one model with the text model: its vision encoder
    const folder = first.slice(0, first.lastIndexOf('/') + 1);
    const [encoder = first] = names
      .filter((name) => name === folder + baseName(name) && /mmproj.*\.gguf$/i.test(name))
      .sort(byRank);
    return [...new Set([...all, encoder])];
  };
  if (selector) {
    const named = names.find((name) => name === selector && isGguf(name));
    if (named) return withAllShards(shardNames(named)[0]);
    const tag = spaced(selector);
    const tagged = [
      (name: string) => quantizationInName(name) === selector.toUpperCase(),
      (name: string) => quantizationInName(selector) && spaced(name).includes(tag),
    ];
    const [quant] = tagged.flatMap((fits) => models.filter(fits).sort(byLengthThenName));
    if (quant) return withAllShards(quant);
    const folder = selector.replace(/\/$/, '');
    const inside = checkpointFiles(names, folder);
    if (inside) return inside;
    const [best] = models.filter((name) => name.startsWith(`${folder}/`)).sort(byRank);
    if (best) return withAllShards(best);
    const available = [...new Set(models.map((name) => quantizationInName(name) ?? name))];
    fail('SourceError', {
      what: `${where} has no model '${selector}'`,
      got: available.join(', ') || listNames(names),
      wanted: selector,
      cure: 'Choose one of the available models.',
    });
  }
  const [best] = [...models].sort(byRank);
  const directory = best && rank(best) <= PREFERRED.length ? undefined : checkpointFiles(names, '');
  if (best && !directory) return withAllShards(best);
  return (
    directory ??
    refuseOtherFiles(names) ??
    fail('SourceError', {
      what: `${where} has no model in a supported format`,
      got: listNames(names),
      wanted: 'a .gguf file, or config.json, tokenizer.json and .safetensors files',
    })
  );
}

/**
 * The place in the order of preference; 'Q4_K_L' stands where 'Q4_K' does, and a name without a type before those that
 * cannot be read.
 */
function rank(name: string): number {
  const quant = quantizationInName(name);
  if (!quant) return PREFERRED.length;
  return (
    [quant, quant.replace(/_[A-Z]+$/, '')].map((type) => PREFERRED.indexOf(type)).find((index) => index >= 0) ??
    PREFERRED.length + 1
  );
}

/** 'M-UD-Q4_K_XL.gguf' → ' M UD Q4_K_XL GGUF ' */
const spaced = (name: string): string => ` ${name.toUpperCase().replace(/[-./]/g, ' ')} `;

const byRank = (a: string, b: string): number => rank(a) - rank(b) || byLengthThenName(a, b);
const byLengthThenName = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : 1);
const listNames = (names: string[]): string =>
  names.length > 0 ? names.slice(0, 8).join(', ') + (names.length > 8 ? ', …' : '') : 'no files';

/** The files of a Hugging Face checkpoint in `folder`. */
function checkpointFiles(names: string[], folder: string): string[] | undefined {
  const prefix = folder ? `${folder}/` : '';
  const has = (name: string): boolean => names.includes(prefix + name);
  if (!has('config.json') || !has('tokenizer.json')) return undefined;
  const inside = names.filter((name) => name.startsWith(prefix) && !name.slice(prefix.length).includes('/'));
  const tensors = inside.filter((name) => /\.safetensors$/.test(name) && !name.startsWith(`${prefix}adapter_`)).sort();
  if (tensors.length === 0) return undefined;
  const index = 'model.safetensors.index.json';
  const parts = tensors.filter((name) => SHARD.test(name));
  const weights = has('model.safetensors')
    ? [`${prefix}model.safetensors`]
    : has(index)
      ? [prefix + index, ...(parts.length > 0 ? parts : tensors)]
      : tensors;
  return [
    prefix + 'config.json',
    prefix + 'tokenizer.json',
    ...OPTIONAL_FILES.filter(has).map((name) => prefix + name),
    ...weights,
  ];
}
