/** Which files of a repository or directory make up the model that was asked for. Names only, no I/O. */
import { fail } from '../errors';

/** Without a wish: 4 bits first, for that is what a page can afford to load, then the nearest better, then whatever there is. */
const PREFERRED = ['Q4_0', 'Q4_K_M', 'Q4_K_S', 'Q4_K', 'Q4_1', 'Q5_K_M', 'Q5_K_S', 'Q5_K', 'Q5_0', 'Q5_1', 'Q6_K', 'Q8_0', 'F16', 'BF16', 'F32'];
const QUANT = /(?:^|[-._/])(I?Q\d+(?:_[0-9A-Z]+)*|T?BF16|F16|F32)(?=[-._/]|$)/gi;
const SHARD = /-(\d{5})-of-(\d{5})(?=\.(?:gguf|safetensors)$)/;
/** read if present, beside config.json, tokenizer.json and the weights */
export const OPTIONAL = ['tokenizer_config.json', 'generation_config.json', 'chat_template.jinja'];

const isGguf = (name: string): boolean => /\.gguf$/i.test(name);
const base = (name: string): string => name.slice(name.lastIndexOf('/') + 1);

/** 'LFM2-350M-Q4_K_M.gguf' → 'Q4_K_M'; the last one in the name counts. */
export const quantOf = (name: string): string | undefined => [...name.replace(SHARD, '').matchAll(QUANT)].at(-1)?.[1].toUpperCase();

/** All shards of the file `name` is one of, in order: '…-00001-of-00003.gguf' → three names; any other name → itself. */
export function shards(name: string): string[] {
  const count = Number(SHARD.exec(name)?.[2] ?? 0);
  if (count < 1 || count > 999) return [name];
  return Array.from({ length: count }, (_, i) => name.replace(SHARD, `-${String(i + 1).padStart(5, '0')}-of-${String(count).padStart(5, '0')}`));
}

/**
 * @param names all files there are
 * @param wish a quantisation ('Q4_0'), a file name, a folder, or nothing
 * @param where for messages: the repository or folder
 * @throws SourceError when nothing fits, with what there is
 */
export function chooseFiles(names: string[], wish: string | undefined, where: string): string[] {
  const models = names.filter((name) => isGguf(name) && !/mmproj|imatrix|vocab-only/i.test(base(name)) && (!SHARD.test(name) || SHARD.exec(name)![1] === '00001'));
  const whole = (first: string): string[] => {
    const all = shards(first);
    const missing = all.filter((name) => !names.includes(name));
    if (missing.length > 0) fail('SourceError', { what: `${where} lacks parts of a split model`, got: `no ${missing.join(', ')}`, wanted: `${all.length} parts` });
    return all;
  };
  if (wish) {
    const named = names.find((name) => name === wish && isGguf(name));
    if (named) return whole(shards(named)[0]);
    const quant = models.filter((name) => quantOf(name) === wish.toUpperCase()).sort(simplest)[0];
    if (quant) return whole(quant);
    const inside = directory(names, wish.replace(/\/$/, ''));
    if (inside) return inside;
    const there = [...new Set(models.map((name) => quantOf(name) ?? name))];
    fail('SourceError', { what: `${where} has no model '${wish}'`, got: there.join(', ') || listing(names), wanted: wish, cure: 'Ask for one of these.' });
  }
  for (const quant of PREFERRED) {
    const found = models.filter((name) => quantOf(name) === quant).sort(simplest)[0];
    if (found) return whole(found);
  }
  if (models.length > 0) return whole([...models].sort(simplest)[0]);
  return (
    directory(names, '') ??
    fail('SourceError', {
      what: `${where} holds no model that can be read here`,
      got: listing(names),
      wanted: 'a .gguf file, or config.json, tokenizer.json and .safetensors files',
    })
  );
}

const simplest = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : 1);
const listing = (names: string[]): string => (names.length > 0 ? names.slice(0, 8).join(', ') + (names.length > 8 ? ', …' : '') : 'no files');

/** The files of a Hugging Face checkpoint in `folder`. */
function directory(names: string[], folder: string): string[] | undefined {
  const prefix = folder ? `${folder}/` : '';
  const has = (name: string): boolean => names.includes(prefix + name);
  if (!has('config.json') || !has('tokenizer.json')) return undefined;
  const inside = names.filter((name) => name.startsWith(prefix) && !name.slice(prefix.length).includes('/'));
  const tensors = inside.filter((name) => /\.safetensors$/.test(name)).sort();
  if (tensors.length === 0) return undefined;
  const index = 'model.safetensors.index.json';
  const parts = tensors.filter((name) => SHARD.test(name));
  const weights = has('model.safetensors') ? [`${prefix}model.safetensors`] : has(index) ? [prefix + index, ...(parts.length > 0 ? parts : tensors)] : tensors;
  return [prefix + 'config.json', prefix + 'tokenizer.json', ...OPTIONAL.filter(has).map((name) => prefix + name), ...weights];
}
