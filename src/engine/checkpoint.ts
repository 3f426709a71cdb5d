/**
 * Opens a checkpoint, GGUF or a Hugging Face directory: a few ranged reads tell what the model is and where each weight
 * lies.
 */
import { abortError, fail } from '../errors';
// before the formats: their code then lies in rivulet.js where gzip finds it again, as in src/index.ts
import { architectureOfGguf, architectureOfJson, type Architecture, type Weights } from '../model/architecture';
import type { Config } from '../model/config';
import { refuseQuantized } from '../model/read_config';
import { indexTensors, mapLeaves } from '../model/weights';
import type { NamedFile, NeedMoreBytes } from '../format/header_cursor';
import { joinShards, parseGguf, type GgufHeader, type GgufMetadata } from '../format/gguf';
import { parseSafetensors } from '../format/safetensors';
import { refuseOtherFiles } from '../other_kinds';
import type { ByteSource } from '../store/byte_source';
import { simpleRowBytes } from '../tensor/nibbles';
import type { TensorInfo } from '../tensor/tensor';
import { endTokens, generationFromGguf, generationFromJson, type GenerationConfig } from './generation_config';
import { checkTokenizerJson, findTokenId, tokenizerFilesFromGguf, type TokenizerFiles } from './tokenizer_files';

/** A model as its headers describe it, without the vocabulary. */
export interface CheckpointOutline {
  architecture: Architecture;
  config: Config;
  weights: Weights;
  /** `TensorInfo.file` is an index into this list */
  files: ByteSource[];
  /** size of all weights as stored; a tied head counts once */
  bytes: number;
  /** the same in memory, where some formats are larger */
  memoryBytes: number;
  /** the dtype of most bytes: 'Q4_0' */
  quantization: string;
  /** a tensor of numbers that the configuration gets (openGguf) */
  ropeFactors?: TensorInfo;
  /** for the user: what the files leave open or state wrongly */
  notes: string[];
}

export interface Checkpoint extends CheckpointOutline {
  tokenizer: TokenizerFiles;
  generationConfig: GenerationConfig;
}

/** Enough for the header of a GGUF file with 65,536 tokens. */
const FIRST_READ = 4 * 2 ** 20;
const MAX_TEXT = 64 * 2 ** 20;
const MAX_PYTHON_JSON = 2 ** 20; // far above any configuration
const GGUF = [0x47, 0x47, 0x55, 0x46];

/**
 * @param files a GGUF file or its shards, or the files of a Hugging Face directory; files that do not belong to the
 * model are ignored
 * @throws CheckpointError if they are not a valid model of a supported architecture; SourceError if they cannot be
 * read; AbortError
 */
export async function openCheckpoint(files: ByteSource[], signal?: AbortSignal): Promise<Checkpoint> {
  const found = await findModel(files, signal);
  const checkpoint = await (Array.isArray(found) ? openGguf(found, signal) : openDirectory(found, signal));
  const { architecture, tokenizer, notes } = checkpoint;
  const { turnToken, source } = architecture.text.template;
  const settings = tokenizer.config as { chat_template?: unknown };
  const template = settings.chat_template ?? '';
  // some converters lose it
  if (typeof template === 'string' && !template.trim() && findTokenId(tokenizer, turnToken) !== undefined) {
    settings.chat_template = source;
    notes.push('The model has no chat template: messages are written as LFM2.5 models read them.');
  }
  return checkpoint;
}

/** @returns a list of GGUF files, or a map of the files of a Hugging Face directory by their names in it */
export async function findModel(
  files: ByteSource[],
  signal?: AbortSignal,
): Promise<ByteSource[] | Map<string, ByteSource>> {
  const root = files
    .map(({ name }) => name)
    .filter((name) => /(^|\/)config\.json$/.test(name))
    .sort((a, b) => a.length - b.length)[0];
  const directory = root === undefined ? undefined : root.slice(0, -'config.json'.length);
  if (directory !== undefined && files.some(({ name }) => inside(directory, name) && name.endsWith('.safetensors')))
    return new Map(
      files.filter(({ name }) => name.startsWith(directory)).map((file) => [file.name.slice(directory.length), file]),
    );

  const gguf: ByteSource[] = [];
  for (const file of files) if (await isGguf(file, signal)) gguf.push(file);
  if (gguf.length) return gguf;
  const names = files.map(({ name }) => name);
  refuseOtherFiles(names);
  if (files.length === 1) return files; // the parser tells what it begins with
  return fail('CheckpointError', {
    what: 'There is no model among the files',
    got: names.join(', ').slice(0, 200) || 'no files',
    wanted: 'a GGUF file, or config.json with its .safetensors',
    cure: 'Choose a model file, or the whole directory of a model.',
  });
}

const inside = (directory: string, name: string): boolean =>
  name.startsWith(directory) && !name.slice(directory.length).includes('/');

async function isGguf(file: ByteSource, signal?: AbortSignal): Promise<boolean> {
  if (file.name.endsWith('.gguf')) return true;
  if (/\.(json|txt|md|jinja|safetensors)$/.test(file.name) || file.size < 4) return false;
  return (await file.read(0, 4, signal)).every((byte, i) => byte === GGUF[i]);
}

/** Reads more and more of the start of a file until the parser has enough. */
async function readHeader<T extends object>(
  file: ByteSource,
  index: number,
  parse: (head: Uint8Array, file: NamedFile, index: number) => T | NeedMoreBytes,
  signal?: AbortSignal,
  first = FIRST_READ,
): Promise<T> {
  for (let length = first; ;) {
    if (signal?.aborted) throw abortError();
    const head = await file.read(0, Math.min(length, file.size), signal);
    const header = parse(head, file, index);
    file.release?.(head);
    if (!('need' in header)) return header;
    length = Math.max(header.need, 2 * length); // parsers never need more than the file has
  }
}

export async function readHeaders(files: ByteSource[], signal?: AbortSignal): Promise<GgufHeader[]> {
  const headers = [];
  for (const [index, file] of files.entries()) headers.push(await readHeader(file, index, parseGguf, signal));
  return headers;
}

async function openGguf(files: ByteSource[], signal?: AbortSignal): Promise<Checkpoint> {
  const { outline, metadata } = outlineOfGguf(files, await readHeaders(files, signal));
  if (outline.ropeFactors)
    outline.config.ropeFactors = await readRopeFactors(files, outline.ropeFactors, outline.config.headDim, signal);
  const tokenizer = tokenizerFilesFromGguf(
    metadata,
    outline.config,
    outline.architecture.text.preTokenizers,
    outline.notes,
  );
  const generationConfig = generationFromGguf(metadata, endTokens(tokenizer, outline));
  return { ...outline, tokenizer, generationConfig };
}

export function outlineOfGguf(
  files: ByteSource[],
  headers: GgufHeader[],
): { outline: CheckpointOutline; metadata: GgufMetadata } {
  const text = headers.filter((one) => one.metadata.get('general.architecture') !== 'clip');
  const beside = headers.filter((one) => !text.includes(one));
  const { metadata, tensors } = joinShards(text.length ? text : headers);
  const encoder = text.length && beside.length ? joinShards(beside) : undefined;
  const index = indexTensors([...tensors, ...(encoder?.tensors ?? [])]);
  const architecture = architectureOfGguf(metadata, !!encoder);
  const notes: string[] = [];
  const config = architecture.configFromGguf(metadata, index, notes, encoder?.metadata);
  const ropeFactors = architecture.ropeFactors && index.require(architecture.ropeFactors);
  if (ropeFactors) index.remove(architecture.ropeFactors!);
  const weights = index.read((read) => architecture.weights(config, read));
  return {
    outline: {
      architecture,
      config,
      weights,
      ropeFactors,
      files,
      notes,
      ...sizes(weights, metadata.get('general.parameter_count'), notes),
    },
    metadata,
  };
}

/** @throws CheckpointError unless it holds d/2 positive numbers */
async function readRopeFactors(
  files: ByteSource[],
  { name, dtype, shape, file, offset, byteLength }: TensorInfo,
  headDim: number,
  signal?: AbortSignal,
): Promise<number[]> {
  const invalid = (got: string): never =>
    fail('CheckpointError', {
      what: `Tensor ${name} is not valid`,
      got,
      wanted: `${headDim / 2} positive numbers, as F32`,
      cure: 'The file is damaged: get it again.',
    });
  if (dtype !== 'F32' || shape.join() !== `${headDim / 2}`) invalid(`${dtype} [${shape.join(', ')}]`);
  const bytes = await files[file].read(offset, byteLength, signal);
  const factors = [...new Float32Array(bytes.slice().buffer)];
  files[file].release?.(bytes);
  const wrong = factors.find((factor) => !(factor > 0));
  return wrong === undefined ? factors : invalid(String(wrong));
}

type Json = (name: string) => Promise<Record<string, unknown>>;

const jsonReaders = (files: Map<string, ByteSource>, signal?: AbortSignal): { json: Json; optional: Json } => {
  const json: Json = async (name) => parseObject(name, await readText(files, name, signal));
  return { json, optional: async (name) => (files.has(name) ? json(name) : {}) };
};

export async function outlineOfDirectory(
  files: Map<string, ByteSource>,
  first: number,
  signal?: AbortSignal,
): Promise<{ outline: CheckpointOutline; settings: Record<string, unknown> }> {
  const { json, optional } = jsonReaders(files, signal);
  const settings = await json('config.json');
  const architecture = architectureOfJson(settings, files.has('modules.json'));
  refuseQuantized(settings);
  for (const name of architecture.settings ?? []) settings[name] = await optional(name);
  const list = await optional('model.safetensors.index.json');
  const shards = listShards(files, list);
  const more = files.get(architecture.moreWeights!);
  if (more) shards.push(more);
  const tensors: TensorInfo[] = [];
  for (const [i, shard] of shards.entries())
    for (const tensor of await readHeader(shard, i, parseSafetensors, signal, first)) tensors.push(tensor);
  const index = indexTensors(tensors);
  const notes: string[] = [];
  const config = architecture.configFromJson(settings, index, notes);
  const weights = index.read((read) => architecture.weights(config, read));
  const stated = (list.metadata as { total_parameters?: unknown } | null | undefined)?.total_parameters;
  return {
    outline: { architecture, config, weights, files: shards, notes, ...sizes(weights, stated, notes) },
    settings,
  };
}

async function openDirectory(files: Map<string, ByteSource>, signal?: AbortSignal): Promise<Checkpoint> {
  const { json, optional } = jsonReaders(files, signal);
  const { outline, settings } = await outlineOfDirectory(files, FIRST_READ, signal);
  const vocabulary = await json('tokenizer.json');
  checkTokenizerJson(vocabulary, outline.config.vocabSize);
  const tokenizer = { json: vocabulary, config: await optional('tokenizer_config.json') };
  if (files.has('chat_template.json'))
    tokenizer.config.chat_template = (await json('chat_template.json')).chat_template;
  if (files.has('chat_template.jinja'))
    tokenizer.config.chat_template = await readText(files, 'chat_template.jinja', signal);
  const stated = await optional('generation_config.json');
  const generationConfig = generationFromJson(
    { eos_token_id: settings.eos_token_id, ...stated },
    endTokens(tokenizer, outline),
  );
  return { ...outline, tokenizer, generationConfig };
}

/** The weight files: the ones that the index names, or the only one. */
function listShards(files: Map<string, ByteSource>, { weight_map: map }: Record<string, unknown>): ByteSource[] {
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
      what: missing.length ? 'Weight files are missing' : 'It is not clear which files hold the weights',
      got: present.join(', ').slice(0, 200) || 'none',
      wanted: missing.join(', ').slice(0, 200) || 'model.safetensors, or model.safetensors.index.json and its shards',
      cure: 'Choose the whole directory of the model.',
    });
  return names.map((name) => files.get(name)!);
}

async function readText(files: Map<string, ByteSource>, name: string, signal?: AbortSignal): Promise<string> {
  const file = files.get(name);
  if (!file)
    return fail('CheckpointError', {
      what: 'A file of the model is missing',
      wanted: name,
      cure: 'Choose the whole directory of the model.',
    });
  if (file.size > MAX_TEXT)
    fail('CheckpointError', { what: `${name} is too long`, got: `${file.size} bytes`, wanted: `at most ${MAX_TEXT}` });
  const bytes = await file.read(0, file.size, signal);
  const text = new TextDecoder().decode(bytes);
  file.release?.(bytes);
  return text;
}

/** JSON as Python writes it, too: NaN and the infinities, none of which is read, become null. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (text.length > MAX_PYTHON_JSON) throw error;
    return JSON.parse(
      text.replace(/"[^"\\]*(?:\\[^][^"\\]*)*"?|-?\b(?:Infinity|NaN)\b/g, (part) => (part[0] === '"' ? part : 'null')),
    );
  }
}

function parseObject(name: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    fail('CheckpointError', { what: `${name} is not JSON`, got: String(cause), cure: 'Get the file again.' }, cause);
  }
  const list = name === 'modules.json';
  if (typeof value === 'object' && value !== null && Array.isArray(value) === list)
    return value as Record<string, unknown>;
  return fail('CheckpointError', {
    what: `${name} is not valid`,
    got: text.slice(0, 40),
    wanted: list ? 'a list in JSON' : 'a JSON object',
    cure: 'Get the file again.',
  });
}

/**
 * The size of all weights, and the dtype of most bytes.
 * @param stated the number of parameters that the files state, if they do: a larger one is a note. Training on many
 * devices states a smaller one
 */
function sizes(
  weights: Weights,
  stated: unknown,
  notes: string[],
): Pick<CheckpointOutline, 'bytes' | 'memoryBytes' | 'quantization'> {
  const tensors = new Set<TensorInfo>();
  mapLeaves(
    weights,
    ({ segments }) => segments.forEach(({ tensor }) => tensors.add(tensor)),
    ({ tensor, rest = [] }) => [tensor, ...rest].forEach((one) => tensors.add(one)),
  );
  let [count, memoryBytes] = [0, 0];
  for (const { shape, dtype } of tensors) {
    const values = shape.reduce((a, b) => a * b);
    count += values;
    memoryBytes += simpleRowBytes(dtype, values);
  }
  if (typeof stated === 'number' && stated > count)
    notes.push(`The model states ${stated} parameters and has ${count}: weights may be missing.`);
  const byDtype = new Map<string, number>();
  for (const { dtype, byteLength } of tensors) byDtype.set(dtype, (byDtype.get(dtype) ?? 0) + byteLength);
  const [[quantization]] = [...byDtype].sort(([, a], [, b]) => b - a);
  return { bytes: [...byDtype.values()].reduce((a, b) => a + b), memoryBytes, quantization };
}
