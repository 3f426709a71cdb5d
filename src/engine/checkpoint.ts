/** Opens a checkpoint: from a few ranged reads, where every weight lies and what the model is. GGUF or a Hugging Face directory. */
import { abortError, fail } from '../errors';
import type { HeadFile, Need } from '../format/cursor';
import { joinShards, parseGguf, type GgufHeader, type GgufMetadata } from '../format/gguf';
import { parseSafetensors } from '../format/safetensors';
import { configFromGguf, configFromJson, type Config } from '../model/config';
import type { Lfm2 } from '../model/lfm2';
import { mapWeights, nameTensors, wantTensor, weightTree, type MatrixSource, type VectorSource } from '../model/weights';
import type { ByteSource } from '../store/source';
import type { TensorInfo } from '../tensor/tensor';
import { skimHeader } from './skim';
import { checkTokenizer, tokenId, tokenizerFromGguf, type TokenizerFiles } from './vocabulary';

export interface Generation {
  /** tokens that end an answer */
  eosIds: number[];
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
}

/** What the headers say of a model, without its vocabulary. */
export interface Outline {
  config: Config;
  weights: Lfm2<MatrixSource, VectorSource>;
  /** the files that `TensorInfo.file` counts */
  files: ByteSource[];
  /** of all weights as stored, a tied head once */
  bytes: number;
  /** the dtype that most bytes have: 'Q4_0' */
  quantization: string;
}

export interface Checkpoint extends Outline {
  tokenizer: TokenizerFiles;
  generation: Generation;
}

/** Holds the header of a 65,536-token GGUF file, so that one read does. */
const FIRST_READ = 4 * 2 ** 20;
/** Holds the header of a .safetensors file of a small model. */
const FIRST_LOOK = 32 << 10;
const MAX_TEXT = 64 * 2 ** 20;
const GGUF = [0x47, 0x47, 0x55, 0x46];

/**
 * @param files of one model: a GGUF file or its shards, or the files of a Hugging Face directory; others beside them are left alone
 * @throws CheckpointError when they are no sound model of a supported architecture; SourceError when they cannot be read; AbortError
 */
export async function openCheckpoint(files: ByteSource[], signal?: AbortSignal): Promise<Checkpoint> {
  const found = await findModel(files, signal);
  return Array.isArray(found) ? openGguf(found, signal) : openDirectory(found, signal);
}

/**
 * As openCheckpoint, without the vocabulary: for a look at a file that is not here.
 * @param skim reads a few hundred KB of a GGUF file in many pieces, and gives undefined where those do not tell; else its whole header is read
 * @throws as openCheckpoint, but for what only the vocabulary shows
 */
export async function openOutline(files: ByteSource[], skim: boolean, signal?: AbortSignal): Promise<Outline | undefined> {
  const found = await findModel(files, signal);
  if (!Array.isArray(found)) return (await outlineDirectory(found, FIRST_LOOK, signal)).outline;
  if (!skim) return outlineGguf(found, await readHeaders(found, signal)).outline;
  const header = found.length === 1 ? await skimHeader(found[0], signal) : undefined;
  return header && outlineGguf(found, [header]).outline;
}

/** GGUF files, or those of a Hugging Face directory by their names within it. */
async function findModel(files: ByteSource[], signal?: AbortSignal): Promise<ByteSource[] | Map<string, ByteSource>> {
  const root = files.map(({ name }) => name).filter((name) => /(^|\/)config\.json$/.test(name)).sort((a, b) => a.length - b.length)[0];
  const directory = root === undefined ? undefined : root.slice(0, -'config.json'.length);
  if (directory !== undefined && files.some(({ name }) => inside(directory, name) && name.endsWith('.safetensors')))
    return new Map(files.filter(({ name }) => name.startsWith(directory)).map((file) => [file.name.slice(directory.length), file]));

  const gguf: ByteSource[] = [];
  for (const file of files) if (files.length === 1 || (await isGguf(file, signal))) gguf.push(file);
  if (gguf.length) return gguf;
  return fail('CheckpointError', {
    what: 'there is no model among the files',
    got: files.map(({ name }) => name).join(', ').slice(0, 200) || 'no files',
    wanted: 'a GGUF file, or config.json with its .safetensors',
    cure: 'Choose a model file, or the whole directory of a model.',
  });
}

const inside = (directory: string, name: string): boolean => name.startsWith(directory) && !name.slice(directory.length).includes('/');

async function isGguf(file: ByteSource, signal?: AbortSignal): Promise<boolean> {
  if (file.name.endsWith('.gguf')) return true;
  if (/\.(json|txt|md|jinja|safetensors)$/.test(file.name) || file.size < 4) return false;
  return (await file.read(0, 4, signal)).every((byte, i) => byte === GGUF[i]);
}

/** Reads the head of a file until the parser has enough of it. */
async function readHeader<T extends object>(
  file: ByteSource,
  index: number,
  parse: (head: Uint8Array, file: HeadFile, index: number) => T | Need,
  signal?: AbortSignal,
  first = FIRST_READ,
): Promise<T> {
  for (let length = first; ; ) {
    if (signal?.aborted) throw abortError();
    const head = await file.read(0, Math.min(length, file.size), signal);
    const header = parse(head, file, index);
    file.release?.(head);
    if (!('need' in header)) return header;
    length = Math.max(header.need, 2 * length); // parsers never want more than the file has
  }
}

async function readHeaders(files: ByteSource[], signal?: AbortSignal): Promise<GgufHeader[]> {
  const headers = [];
  for (const [index, file] of files.entries()) headers.push(await readHeader(file, index, parseGguf, signal));
  return headers;
}

async function openGguf(files: ByteSource[], signal?: AbortSignal): Promise<Checkpoint> {
  const { outline, metadata } = outlineGguf(files, await readHeaders(files, signal));
  const tokenizer = tokenizerFromGguf(metadata, outline.config.vocabSize);
  const generation = generationFromGguf(metadata, ends(tokenizer, outline.config));
  return { ...outline, tokenizer, generation };
}

function outlineGguf(files: ByteSource[], headers: GgufHeader[]): { outline: Outline; metadata: GgufMetadata } {
  const { metadata, tensors } = joinShards(headers);
  const named = nameTensors(tensors);
  const config = configFromGguf(metadata, named);
  const weights = weightTree(config, named);
  return { outline: { config, weights, files, ...sizes(weights) }, metadata };
}

type Json = (name: string) => Promise<Record<string, unknown>>;

const reading = (files: Map<string, ByteSource>, signal?: AbortSignal): { json: Json; optional: Json } => {
  const json: Json = async (name) => parseObject(name, await readText(files, name, signal));
  return { json, optional: async (name) => (files.has(name) ? json(name) : {}) };
};

async function outlineDirectory(files: Map<string, ByteSource>, first: number, signal?: AbortSignal): Promise<{ outline: Outline; settings: Record<string, unknown> }> {
  const { json, optional } = reading(files, signal);
  const settings = await json('config.json');
  const shards = await listShards(files, optional);
  const tensors: TensorInfo[] = [];
  for (const [index, shard] of shards.entries()) for (const tensor of await readHeader(shard, index, parseSafetensors, signal, first)) tensors.push(tensor);
  const named = nameTensors(tensors);
  const config = configFromJson(settings, named);
  // a tied head may be written out all the same; an untied one must be
  if ((settings.tie_embedding ?? settings.tie_word_embeddings) !== false) named.delete('lm_head.weight');
  else wantTensor(named, 'lm_head.weight');
  const weights = weightTree(config, named);
  return { outline: { config, weights, files: shards, ...sizes(weights) }, settings };
}

async function openDirectory(files: Map<string, ByteSource>, signal?: AbortSignal): Promise<Checkpoint> {
  const { json, optional } = reading(files, signal);
  const { outline, settings } = await outlineDirectory(files, FIRST_READ, signal);
  const { config } = outline;
  const vocabulary = await json('tokenizer.json');
  checkTokenizer(vocabulary, config.vocabSize);
  const tokenizer = { json: vocabulary, config: await optional('tokenizer_config.json') };
  if (files.has('chat_template.jinja')) tokenizer.config.chat_template = await readText(files, 'chat_template.jinja', signal);
  const said = await optional('generation_config.json');
  const generation = generationFromJson({ eos_token_id: settings.eos_token_id, ...said }, ends(tokenizer, config));
  return { ...outline, tokenizer, generation };
}

/** The weight files: those that the index names, or the only one. */
async function listShards(files: Map<string, ByteSource>, optional: (name: string) => Promise<Record<string, unknown>>): Promise<ByteSource[]> {
  const map = (await optional('model.safetensors.index.json')).weight_map;
  const present = [...files.keys()].filter((name) => name.endsWith('.safetensors') && !name.includes('/'));
  const names =
    typeof map === 'object' && map !== null
      ? [...new Set(Object.values(map).filter((name) => typeof name === 'string'))].sort()
      : present.includes('model.safetensors')
        ? ['model.safetensors']
        : present;
  const missing = names.filter((name) => !files.has(name));
  if (missing.length || names.length === 0 || (names.length > 1 && !map))
    fail('CheckpointError', {
      what: missing.length ? 'weight files are missing' : 'it is not clear which files hold the weights',
      got: present.join(', ').slice(0, 200) || 'none',
      wanted: missing.join(', ').slice(0, 200) || 'model.safetensors, or model.safetensors.index.json and its shards',
      cure: 'Choose the whole directory of the model.',
    });
  return names.map((name) => files.get(name)!);
}

async function readText(files: Map<string, ByteSource>, name: string, signal?: AbortSignal): Promise<string> {
  const file = files.get(name);
  if (!file) return fail('CheckpointError', { what: 'the model directory is incomplete', wanted: name, cure: 'Choose the whole directory of the model.' });
  if (file.size > MAX_TEXT) fail('CheckpointError', { what: `${name} is too long`, got: `${file.size} bytes`, wanted: `at most ${MAX_TEXT}` });
  const bytes = await file.read(0, file.size, signal);
  const text = new TextDecoder().decode(bytes);
  file.release?.(bytes);
  return text;
}

function parseObject(name: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    fail('CheckpointError', { what: `${name} is not JSON`, got: String(cause), cure: 'Get the file again.' }, cause);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return fail('CheckpointError', { what: `${name} makes no sense`, got: text.slice(0, 40), wanted: 'a JSON object', cure: 'Get the file again.' });
}

/** Bytes of all weights, and the dtype of most of them. */
function sizes(weights: Lfm2<MatrixSource, VectorSource>): { bytes: number; quantization: string } {
  const tensors = new Set<TensorInfo>();
  mapWeights(
    weights,
    ({ segments }) => segments.forEach(({ tensor }) => tensors.add(tensor)),
    ({ tensor }) => void tensors.add(tensor),
  );
  const byDtype = new Map<string, number>();
  for (const { dtype, byteLength } of tensors) byDtype.set(dtype, (byDtype.get(dtype) ?? 0) + byteLength);
  const [[quantization]] = [...byDtype].sort(([, a], [, b]) => b - a);
  return { bytes: [...byDtype.values()].reduce((a, b) => a + b), quantization };
}

/** The tokens that end a turn or a text in every LFM2 vocabulary, if it has them (spec section 7). */
const ENDS = ['<|im_end|>', '<|endoftext|>'];

/** Completes the ids that a checkpoint states as ends by those that its vocabulary names so. */
function ends(tokenizer: TokenizerFiles, { vocabSize }: Config): (said: unknown) => number[] {
  const isToken = (id: unknown): id is number => Number.isInteger(id) && Number(id) >= 0 && Number(id) < vocabSize;
  return (said) => [...new Set([...(Array.isArray(said) ? said : [said]).filter(isToken), ...ENDS.flatMap((text) => tokenId(tokenizer, text) ?? [])])];
}

type Sampling = Omit<Generation, 'eosIds'>;

const RANGES: Record<keyof Sampling, [number, number]> = { temperature: [0, 100], topK: [0, 2 ** 22], topP: [0, 1], minP: [0, 1], repetitionPenalty: [0.01, 100] };

/** The numbers within their range; others count as not said. */
function sampling(said: Record<keyof Sampling, unknown>): Sampling {
  const good = Object.entries(RANGES).filter(([key, [low, high]]) => {
    const value = said[key as keyof Sampling];
    return typeof value === 'number' && value >= low && value <= high && (key !== 'topK' || Number.isInteger(value));
  });
  return Object.fromEntries(good.map(([key]) => [key, said[key as keyof Sampling]]));
}

function generationFromJson(json: Record<string, unknown>, eosIds: (said: unknown) => number[]): Generation {
  const { top_k: topK, top_p: topP, min_p: minP, repetition_penalty: repetitionPenalty } = json;
  const temperature = json.do_sample === false ? 0 : json.temperature;
  return { eosIds: eosIds(json.eos_token_id), ...sampling({ temperature, topK, topP, minP, repetitionPenalty }) };
}

/** The keys that converters write from generation_config.json (gguf-py, general.sampling.*). */
function generationFromGguf(metadata: GgufMetadata, eosIds: (said: unknown) => number[]): Generation {
  const get = (key: string): unknown => metadata.get(`general.sampling.${key}`);
  return {
    eosIds: eosIds(metadata.get('tokenizer.ggml.eos_token_id')),
    ...sampling({ temperature: get('temp'), topK: get('top_k'), topP: get('top_p'), minP: get('min_p'), repetitionPenalty: get('penalty_repeat') }),
  };
}
