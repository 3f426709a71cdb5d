/**
 * Finds the weights of a model among the tensors of its files, and walks the tree that a model's own function makes of
 * them (lfm2.ts).
 */
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
  /** the segments are matrices of experts, of which a token needs a few */
  experts?: true;
}

export interface VectorSource {
  name: string;
  length: number;
  tensor: TensorInfo;
  /** those that follow it, as the biases of k and v follow that of q */
  rest?: TensorInfo[];
}

/** The names of a module: in Hugging Face files, in GGUF files, and how else converters spell it. */
export type ModuleNames = readonly [hf: string, gguf: string, ...others: string[]];

type Kind = 'weight' | 'bias';

/** Makes the leaves of a tree of weights. */
export interface WeightReader {
  has(names: ModuleNames): boolean;
  /** @param parts what lies one below the other in files that have no tensor of the whole */
  matrix(names: ModuleNames, shape: [rows: number, cols: number], parts?: [ModuleNames, rows: number][]): MatrixSource;
  /** @param shapes those in which files keep the same numbers */
  vector(names: ModuleNames, ...shapes: number[][]): VectorSource;
  /** a tensor from which others make matrices */
  tensor(names: ModuleNames, shape: number[]): TensorInfo;
  /** undefined if the module has none */
  bias(names: ModuleNames, length: number): VectorSource | undefined;
}

/** A file's tensors, or those that a test makes up. `take` gives a tensor in one of the shapes. */
export interface TensorSupply {
  has(names: ModuleNames, kind: Kind): boolean;
  take(names: ModuleNames, kind: Kind, shapes: number[][], leaf: 'matrix' | 'vector'): TensorInfo;
}

export function createWeightReader({ has, take }: TensorSupply): WeightReader {
  const vector = (names: ModuleNames, kind: Kind, shapes: number[][]): VectorSource => ({
    name: `${names[0]}.${kind}`,
    length: shapes[0].reduce((a, b) => a * b),
    tensor: take(names, kind, shapes, 'vector'),
  });
  const reader: WeightReader = {
    has: (names) => has(names, 'weight'),
    matrix(names, [rows, cols], parts) {
      const [name] = names;
      if (parts && !reader.has(names))
        return {
          name,
          cols,
          segments: parts.flatMap(([part, height]) => reader.matrix(part, [height, cols]).segments),
        };
      const tensor = take(names, 'weight', [[rows, cols]], 'matrix');
      return { name, cols, segments: [{ name, rows, dtype: tensor.dtype, tensor }] };
    },
    tensor: (names, shape) => take(names, 'weight', [shape], 'matrix'),
    vector: (names, ...shapes) => vector(names, 'weight', shapes),
    bias: (names, length) => (has(names, 'bias') ? vector(names, 'bias', [[length]]) : undefined),
  };
  return reader;
}

/** The tensors of a checkpoint by the names of their modules, in files of either format. */
export interface TensorIndex {
  has(names: ModuleNames, kind?: Kind): boolean;
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

/**
 * Parts of a name that only say what a module is wrapped in: by a model, torch.compile, DistributedDataParallel, FSDP,
 * activation checkpoints, PEFT.
 */
const WRAPPERS = /^(_\w+|module|base_\w+|(language_|text_)?model|lfm)$/;

/** Parameters of modules whose names are no names of modules. */
const PARAMETERS = /expert_bias$|experts\.\w+_proj$/;
const tensorName = (name: string, kind: Kind): string => (PARAMETERS.test(name) ? name : `${name}.${kind}`);

/** 'lfm.layers.3._orig_mod.conv.in_proj.weight' → 'layers.3.conv.in_proj.weight' */
const unwrapped = (name: string): string =>
  name
    .split('.')
    .filter((part) => !WRAPPERS.test(part))
    .join('.');

/** @throws CheckpointError if the tensors are those of an adapter */
export function indexTensors(tensors: readonly TensorInfo[]): TensorIndex {
  const byName = new Map<string, TensorInfo[]>();
  for (const tensor of tensors) {
    if (tensor.name.endsWith('rotary_emb.inv_freq')) continue; // computed from the configuration
    if (/\.lora_/i.test(tensor.name)) refuseArchitecture('adapter', tensor.name);
    const name = unwrapped(tensor.name);
    const same = byName.get(name);
    if (same) same.push(tensor);
    else byName.set(name, [tensor]);
  }
  const all = (names: ModuleNames, kind: Kind): TensorInfo[] =>
    [...new Set(names.map((name) => unwrapped(tensorName(name, kind))))].flatMap((name) => byName.get(name) ?? []);
  const index: TensorIndex = {
    has: (names, kind = 'weight') => all(names, kind).length > 0,
    require(names, kind = 'weight') {
      const [tensor, other] = all(names, kind);
      const [hf, gguf] = names.map((name) => tensorName(name, kind));
      if (other)
        fail('CheckpointError', {
          what: `The checkpoint has ${hf} twice`,
          got: `${tensor.name} and ${other.name}`,
          cure: 'Remove one.',
        });
      return (
        tensor ??
        fail('CheckpointError', {
          what: 'The checkpoint lacks a tensor',
          wanted: `${hf} (GGUF: ${gguf})`,
          cure: 'The file is incomplete, or the model has another architecture.',
        })
      );
    },
    remove: (names) => names.forEach((name) => byName.delete(unwrapped(`${name}.weight`))),
    read(build) {
      const left = new Set([...byName.values()].flat());
      const take: TensorSupply['take'] = (names, kind, shapes) => {
        const tensor = index.require(names, kind);
        const [got, ...wanted] = [tensor.shape, ...shapes].map((shape) => `[${shape.join(', ')}]`);
        if (!wanted.includes(got))
          fail('CheckpointError', {
            what: `Tensor ${tensor.name} has a wrong shape`,
            got,
            wanted: wanted.join(' or '),
            cure: 'The configuration belongs to other weights.',
          });
        left.delete(tensor);
        return tensor;
      };
      const tree = build(createWeightReader({ has: index.has, take }));
      for (const { name: got } of left)
        fail('CheckpointError', {
          what: 'The checkpoint has a tensor that does not fit its configuration',
          got,
          cure: 'It is another kind of model, or the configuration belongs to other weights.',
        });
      return tree;
    },
  };
  return index;
}

/** A tree of weights with other leaves: those of a backend, unless said otherwise. */
export type Loaded<T, M = Matrix, V = Vector> = T extends MatrixSource
  ? M
  : T extends VectorSource
    ? V
    : T extends object
      ? { [K in keyof T]: Loaded<T[K], M, V> }
      : T;

/**
 * The same tree with other leaves. A leaf that stands in several places, as a tied head does, is mapped once and stays
 * one object.
 */
export function mapLeaves<T, M, V>(
  tree: T,
  matrix: (source: MatrixSource) => M,
  vector: (source: VectorSource) => V,
): Loaded<T, M, V> {
  const mapped = new Map<object, unknown>();
  const mapLeaf = (leaf: object): unknown =>
    'segments' in leaf ? matrix(leaf as MatrixSource) : vector(leaf as VectorSource);
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
