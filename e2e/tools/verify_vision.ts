/**
 * Golden sets of models that see, as verify.ts reads the others: expected.json has `cases` with input ids and pictures
 * in place of `prompts`, and features.safetensors rows of the projector: all of a case, or `.tiles`, the first four of
 * each tile and thumbnail.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSafetensors } from '../../src/format/safetensors';
import type { ExpectedFile, ExpectedSet } from './golden_set';

interface VisionCase {
  input_ids: number[];
  /** patches of each tile, rows and columns */
  spatial_shapes: [number, number][];
  images: { image: string }[];
}

export interface VisionSet {
  cases: Record<string, VisionCase>;
  files: Record<string, VisionFile>;
  tensor_types?: Record<string, Record<string, string>>;
}

interface VisionFile extends Pick<ExpectedFile, 'logits_file' | 'logits_shape'> {
  cases: Record<string, { greedy?: number[]; greedy_margins?: number[] }>;
}

/** The pictures of a case, and by file what is known of their features. */
export interface SeenCase {
  pictures: string[];
  features: Record<string, { rows?: number[]; values: Float32Array }>;
}

/** Continuations of these sets are compared up to the first margin below this. */
const MARGIN = 0.1;

/** The set in the form of the others; those stay as they are. */
export function plainSet(
  set: ExpectedSet | VisionSet,
  directory: string,
): ExpectedSet & { pictures?: Record<string, SeenCase> } {
  if (!('cases' in set)) return set;
  const { cases, files, tensor_types: types = {} } = set;
  const byCase = <T>(of: (one: VisionCase, name: string) => T): Record<string, T> =>
    Object.fromEntries(Object.entries(cases).map(([name, one]) => [name, of(one, name)]));
  const known = readTensors(join(directory, 'features.safetensors'));
  return {
    prompts: byCase(({ input_ids }) => input_ids),
    files: Object.fromEntries(
      Object.entries(files).map(([name, file]) => [name, plainFile(file, typesOf(name, types))]),
    ),
    pictures: byCase(({ images, spatial_shapes }, name) => ({
      pictures: images.map(({ image }) => image),
      features: Object.fromEntries(
        Object.keys(files).flatMap((file) => {
          const encoder = file.split('+')[1];
          const tensor = `projector.${name}${encoder ? `.${encoder}` : ''}`;
          const rows = known.has(tensor) ? undefined : firstRows(spatial_shapes);
          const values = known.get(rows ? `${tensor}.tiles` : tensor);
          return values ? [[file, { rows, values }]] : [];
        }),
      ),
    })),
  };
}

function plainFile({ logits_file, logits_shape, cases }: VisionFile, types: Record<string, string>): ExpectedFile {
  const greedy = Object.entries(cases).flatMap(([name, { greedy: tokens, greedy_margins: margins }]) =>
    tokens && margins ? [[name, { tokens, margins, margin: MARGIN }]] : [],
  );
  return { logits_file, logits_shape, greedy: Object.fromEntries(greedy), tensor_types: types };
}

/** Of the files of 'text+encoder'; one that has none stated is not quantised. */
const typesOf = (name: string, types: Record<string, Record<string, string>>): Record<string, string> =>
  Object.assign({}, ...name.split('+').map((file) => types[file] ?? types[`${file}.gguf`]));

/** The tensors of a safetensors file in F32; none if it is not there. */
export function readTensors(path: string): Map<string, Float32Array> {
  if (!existsSync(path)) return new Map();
  const bytes = readFileSync(path);
  const tensors = parseSafetensors(bytes, { name: path, size: bytes.length }, 0);
  if ('need' in tensors) throw new Error(`${path} is damaged`);
  return new Map(
    tensors.map(({ name, offset, byteLength }) => [
      name,
      new Float32Array(bytes.buffer.slice(bytes.byteOffset + offset, bytes.byteOffset + offset + byteLength)),
    ]),
  );
}

/** The first four rows of each tile; four patches are a row. */
function firstRows(shapes: [number, number][]): number[] {
  let begin = 0;
  return shapes.flatMap(([height, width]) => {
    const rows = [0, 1, 2, 3].map((i) => begin + i);
    begin += (height * width) / 4;
    return rows;
  });
}
