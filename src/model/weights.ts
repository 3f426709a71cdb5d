/** Finds the weights of a model among the tensors of its files, and walks the tree that a model's own function makes of them (lfm2.ts). */
import { fail } from '../errors';
import { refuseArchitecture } from '../other_kinds';
import type { Dtype } from '../tensor/dtype';
import type { TensorInfo } from '../tensor/tensor';
import type { Matrix, Vector } from './ops';

export interface MatrixSource {
  /** the Hugging Face module: 'model.layers.3.conv.in_proj' */
  name: string;
  cols: number;
  segments: { name: string; rows: number; dtype: Dtype; tensor: TensorInfo }[];
}

export interface VectorSource {
  name: string;
  length: number;
  tensor: TensorInfo;
}

/** The names of a module: in Hugging Face files, in GGUF files, and how else converters spell it. */
export type ModuleNames = readonly [hf: string, gguf: string, ...others: string[]];

type Kind = 'weight' | 'bias';

/** Makes the leaves of a tree of weights. @throws CheckpointError that names a tensor that is missing or has a wrong shape */
export interface WeightReader {
  /** @param parts what lies one below the other in files that have no tensor of the whole */
  matrix(names: ModuleNames, shape: [rows: number, cols: number], parts?: [ModuleNames, rows: number][]): MatrixSource;
  optionalMatrix(names: ModuleNames, shape: [rows: number, cols: number]): MatrixSource | undefined;
  /** @param shapes those in which files keep the same numbers */
  vector(names: ModuleNames, ...shapes: number[][]): VectorSource;
  optionalBias(names: ModuleNames, length: number): VectorSource | undefined;
}

/** What a reader looks for: a tensor in one of the shapes. */
export interface WantedTensor {
  names: ModuleNames;
  kind: Kind;
  shapes: number[][];
  leaf: 'matrix' | 'vector';
  /** the model may lack it */
  optional: boolean;
}

export function createWeightReader(find: (wanted: WantedTensor) => TensorInfo | undefined): WeightReader {
  const matrix = (names: ModuleNames, [rows, cols]: [number, number], optional: boolean): MatrixSource | undefined => {
    const tensor = find({ names, kind: 'weight', shapes: [[rows, cols]], leaf: 'matrix', optional });
    return tensor && { name: names[0], cols, segments: [{ name: names[0], rows, dtype: tensor.dtype, tensor }] };
  };
  const vector = (names: ModuleNames, kind: Kind, shapes: number[][], optional: boolean): VectorSource | undefined => {
    const tensor = find({ names, kind, shapes, leaf: 'vector', optional });
    return tensor && { name: `${names[0]}.${kind}`, length: shapes[0].reduce((a, b) => a * b), tensor };
  };
  const reader: WeightReader = {
    matrix(names, [rows, cols], parts) {
      const whole = matrix(names, [rows, cols], !!parts);
      if (whole) return whole;
      if (!parts) return failMissing(names, 'weight');
      return { name: names[0], cols, segments: parts.flatMap(([part, height]) => reader.matrix(part, [height, cols]).segments) };
    },
    optionalMatrix: (names, shape) => matrix(names, shape, true),
    vector: (names, ...shapes) => vector(names, 'weight', shapes, false) ?? failMissing(names, 'weight'),
    optionalBias: (names, length) => vector(names, 'bias', [[length]], true),
  };
  return reader;
}

function failMissing([hf, gguf]: ModuleNames, kind: Kind): never {
  return fail('CheckpointError', {
    what: 'The checkpoint lacks a tensor',
    wanted: `${hf}.${kind} (GGUF: ${gguf}.${kind})`,
    cure: 'The file is incomplete, or the model has another architecture.',
  });
}

/** The tensors of a checkpoint by the names of their modules, in files of either format. */
export interface TensorIndex {
  /** @throws CheckpointError if it is there twice */
  find(names: ModuleNames, kind?: Kind): TensorInfo | undefined;
  /** @throws CheckpointError if it is not there, or twice */
  require(names: ModuleNames, kind?: Kind): TensorInfo;
  /** Forgets a weight that the model does not use. */
  remove(names: ModuleNames): void;
  /**
   * @param build makes the tree of the weights
   * @throws CheckpointError that names a tensor that is missing, has a wrong shape, or does not belong to the model
   */
  read<T>(build: (read: WeightReader) => T): T;
}

/** Parts of a name that only say what a module is wrapped in: by a model, torch.compile, DistributedDataParallel, FSDP, activation checkpoints, PEFT. */
const WRAPPERS = /^(_\w+|module|base_\w+|(language_|text_)?model|lfm)$/;

/** 'lfm.layers.3._orig_mod.conv.in_proj.weight' → 'layers.3.conv.in_proj.weight' */
const unwrapped = (name: string): string => name.split('.').filter((part) => !WRAPPERS.test(part)).join('.');

/** @throws CheckpointError if the tensors are those of an adapter */
export function indexTensors(tensors: readonly TensorInfo[]): TensorIndex {
  const byName = new Map<string, TensorInfo[]>();
  for (const tensor of tensors) {
    if (tensor.name.endsWith('rotary_emb.inv_freq')) continue; // computed from the configuration
    if (/\.lora_/i.test(tensor.name)) refuseArchitecture('adapter', tensor.name);
    const name = unwrapped(tensor.name);
    byName.set(name, [...(byName.get(name) ?? []), tensor]);
  }
  const keys = (names: ModuleNames, kind: Kind): string[] => names.map((name) => unwrapped(`${name}.${kind}`));
  const index: TensorIndex = {
    find(names, kind = 'weight') {
      const [tensor, other] = keys(names, kind).flatMap((key) => byName.get(key) ?? []);
      if (other) fail('CheckpointError', { what: `The checkpoint has ${names[0]}.${kind} twice`, got: `${tensor.name} and ${other.name}`, cure: 'Remove one.' });
      return tensor;
    },
    require: (names, kind = 'weight') => index.find(names, kind) ?? failMissing(names, kind),
    remove: (names) => keys(names, 'weight').forEach((key) => byName.delete(key)),
    read(build) {
      const used = new Set<TensorInfo>();
      const tree = build(
        createWeightReader(({ names, kind, shapes }) => {
          const tensor = index.find(names, kind);
          if (tensor) used.add(checkShape(tensor, shapes));
          return tensor;
        }),
      );
      for (const tensor of [...byName.values()].flat())
        if (!used.has(tensor))
          fail('CheckpointError', {
            what: 'The checkpoint has a tensor that does not fit its configuration',
            got: tensor.name,
            cure: 'It is another kind of model, or the configuration belongs to other weights.',
          });
      return tree;
    },
  };
  return index;
}

function checkShape(tensor: TensorInfo, shapes: number[][]): TensorInfo {
  const got = tensor.shape.join(', ');
  if (shapes.some((shape) => shape.join(', ') === got)) return tensor;
  return fail('CheckpointError', {
    what: `Tensor ${tensor.name} has a wrong shape`,
    got: `[${got}]`,
    wanted: shapes.map((shape) => `[${shape.join(', ')}]`).join(' or '),
    cure: 'The configuration belongs to other weights.',
  });
}

/** A tree of weights with other leaves: those of a backend, unless said otherwise. */
export type Loaded<T, M = Matrix, V = Vector> = T extends MatrixSource ? M : T extends VectorSource ? V : T extends object ? { [K in keyof T]: Loaded<T[K], M, V> } : T;

/** The same tree with other leaves. A leaf that stands in several places, as a tied head does, is mapped once and stays one object. */
export function mapLeaves<T, M, V>(tree: T, matrix: (source: MatrixSource) => M, vector: (source: VectorSource) => V): Loaded<T, M, V> {
  const mapped = new Map<object, unknown>();
  const mapLeaf = (leaf: object): unknown => ('segments' in leaf ? matrix(leaf as MatrixSource) : vector(leaf as VectorSource));
  function walk(node: unknown): unknown {
    if (Array.isArray(node)) return node.map(walk);
    if (typeof node !== 'object' || node === null) return node;
    if (!('name' in node)) return Object.fromEntries(Object.entries(node).map(([key, child]) => [key, walk(child)]));
    if (!mapped.has(node)) mapped.set(node, mapLeaf(node));
    return mapped.get(node);
  }
  return walk(tree) as Loaded<T, M, V>;
}

export const rowsOf = ({ segments }: MatrixSource): number => segments.reduce((sum, { rows }) => sum + rows, 0);

/** The same tree with the names, shapes and dtypes that a plan needs. */
export const shapesOf = <T>(tree: T): Loaded<T> =>
  mapLeaves(
    tree,
    (source): Matrix => ({ ...source, rows: rowsOf(source) }),
    ({ name, length }): Vector => ({ name, length }),
  );
