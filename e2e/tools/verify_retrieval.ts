/**
 * Golden sets of models that encode texts: expected.json has `queries` and `documents` with the tokens and the kept
 * positions, and `files` with scores; or `texts`, and `files` with cosines. vectors.safetensors has the vectors of one
 * file. `base` names a directory whose files the model shares.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { maxSim } from '../../src/api/max_sim';
import type { EncodeTexts, RetrievedText } from '../retrieving';
import { difference, floats } from './golden_set';
import { readTensors } from './verify_vision';

interface ExpectedText {
  text: string;
  ids: number[];
}

interface Scored {
  scores?: number[][];
  scores_kept?: number[][];
  scores_zeroed?: number[][];
  cosine?: number[][];
  embeddings_file?: string;
}

export interface RetrievalSet {
  base?: string;
  /** the file whose vectors are known; by default model.safetensors */
  vectors_of?: string;
  default?: 'zeroed' | 'kept';
  queries?: (ExpectedText & { attention_mask: number[] })[];
  documents?: (ExpectedText & { kept: number[] })[];
  texts?: (ExpectedText & { kind: 'query' | 'document' })[];
  files: Record<string, Scored>;
}

export const isRetrievalSet = (set: object): set is RetrievalSet => 'queries' in set || 'texts' in set;

export interface RetrievalLine {
  file: string;
  text: string;
  maxAbs: number;
  /** of the vectors, the smallest */
  cosine: number;
}

/** What vectors may differ by; scores and cosines are sums of products of them. */
export type RetrievalBounds = { maxAbs: number } | { cosine: number };

/** The files of a model of a set, by their names in its directory. */
export function retrievalFiles(directory: string, name: string, { base }: RetrievalSet): Map<string, string> {
  if (name.endsWith('.gguf')) return new Map([[name, join('gguf', name)]]);
  const own = [base, 'model'].flatMap((root) =>
    root === undefined ? [] : filesIn(join(directory, root)).map((file) => [file, join(root, file)] as const),
  );
  return new Map(own);
}

const filesIn = (root: string, prefix = ''): string[] =>
  readdirSync(join(root, prefix)).flatMap((name) => {
    const path = prefix + name;
    return statSync(join(root, path)).isDirectory() ? filesIn(root, `${path}/`) : [path];
  });

const cosineOf = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  const dot = (x: ArrayLike<number>, y: ArrayLike<number>): number => {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
    return sum;
  };
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
};

interface Run {
  directory: string;
  set: RetrievalSet;
  file: string;
  encode: EncodeTexts;
  bounds: RetrievalBounds;
  emit: (line: RetrievalLine) => void;
}

/** Compares, and collects what is missed. */
function createChecker({ file, bounds, emit }: Run) {
  const missed: string[] = [];
  const miss = (what: string): void => void missed.push(`${file}, ${what}`);

  function compare(text: string, got: readonly number[], wanted: Float32Array | undefined, size: number): void {
    if (!wanted) return;
    const rows = Array.from({ length: wanted.length / size }, (_, i) =>
      cosineOf(got.slice(i * size, (i + 1) * size), wanted.subarray(i * size, (i + 1) * size)),
    );
    const line = { file, text, maxAbs: difference(got, wanted).maxAbs, cosine: Math.min(...rows) };
    emit(line);
    if (got.length !== wanted.length) miss(`${text}: ${got.length} numbers, wanted ${wanted.length}`);
    if ('maxAbs' in bounds && !(line.maxAbs <= bounds.maxAbs)) miss(`${text}: max |Δ| ${line.maxAbs}`);
    if ('cosine' in bounds && !(line.cosine >= bounds.cosine)) miss(`${text}: cosine ${line.cosine}`);
  }

  const same = (text: string, what: string, got: readonly number[], wanted: readonly number[]): void => {
    if (got.join() !== wanted.join()) miss(`${text}: other ${what}: ${got.join()}, wanted ${wanted.join()}`);
  };

  /** A table of scores, and the order of the documents of each query. */
  function compareTable(what: string, got: number[][], wanted: number[][] | undefined): void {
    if (!wanted) return;
    const { maxAbs } = difference(got.flat(), Float32Array.from(wanted.flat()));
    const vectorsOf = what === 'cosine' ? 1 : 32;
    // a score adds up products of vectors of length 1
    const room = 'maxAbs' in bounds ? vectorsOf * 2 * bounds.maxAbs : vectorsOf * Math.sqrt(2 - 2 * bounds.cosine);
    emit({ file, text: what, maxAbs, cosine: cosineOf(got.flat(), wanted.flat()) });
    if (!(maxAbs <= room)) miss(`${what}: max |Δ| ${maxAbs} > ${room}`);
    wanted.forEach((row, i) =>
      row.forEach((a, j) =>
        row.forEach((b, k) => {
          if (a - b > 2 * maxAbs && !(got[i][j] > got[i][k])) miss(`${what}: query ${i} ranks ${k} before ${j}`);
        }),
      ),
    );
  }

  return { missed, same, compare, compareTable };
}

/** Checks a file of a set. `emit` gets a line for each text whose vectors are known, and for each table. */
export const verifyRetrieval = (run: Run): Promise<string[]> =>
  run.set.texts ? verifyTextVectors(run) : verifyTokenVectors(run);

function knownVectors({ directory, set, file }: Run): Map<string, Float32Array> {
  const known = (set.vectors_of ?? 'model.safetensors') === file;
  return known ? readTensors(join(directory, 'vectors.safetensors')) : new Map<string, Float32Array>();
}

async function verifyTextVectors(run: Run): Promise<string[]> {
  const { directory, set, file, encode } = run;
  const { missed, same, compare, compareTable } = createChecker(run);
  const vectors = knownVectors(run);
  const texts = set.texts!;
  const kinds = { query: [] as RetrievedText[], document: [] as RetrievedText[] };
  for (const kind of ['query', 'document'] as const) {
    const own = texts.filter((one) => one.kind === kind);
    const got = await encode(own.map(({ text }) => text), { kind }); // prettier-ignore
    own.forEach(({ ids }, i) => same(`${kind} ${i}`, 'tokens', got[i].ids, ids));
    kinds[kind] = got;
  }
  const got = [...kinds.query, ...kinds.document].map((one) => one.vectors);
  const size = got[0].length;
  const path = set.files[file].embeddings_file;
  const wanted = path ? floats(join(directory, path)) : vectors.get('embeddings');
  got.forEach((vector, i) => compare(`text ${i}`, vector, wanted?.subarray(i * size, (i + 1) * size), size));
  const cosines = kinds.query.map((q) => kinds.document.map((d) => cosineOf(q.vectors, d.vectors)));
  compareTable('cosine', cosines, set.files[file].cosine);
  return missed;
}

async function verifyTokenVectors(run: Run): Promise<string[]> {
  const { set, file, encode } = run;
  const { missed, same, compare, compareTable } = createChecker(run);
  const vectors = knownVectors(run);
  const { queries = [], documents = [] } = set;
  const encoded = await encode(documents.map(({ text }) => text), { kind: 'document' }); // prettier-ignore
  const size = encoded[0].vectors.length / encoded[0].kept.length;
  documents.forEach(({ ids, kept }, i) => {
    same(`document ${i}`, 'tokens', encoded[i].ids, ids);
    same(`document ${i}`, 'kept positions', encoded[i].kept, kept);
    compare(`document ${i}`, encoded[i].vectors, vectors.get(`d${i}`), size);
  });
  for (const padding of [undefined, 'zeroed', 'kept'] as const) {
    const got = await encode(queries.map(({ text }) => text), { kind: 'query', padding }); // prettier-ignore
    queries.forEach(({ ids, attention_mask: mask }, i) => {
      same(`query ${i}`, 'tokens', got[i].ids, ids);
      same(`query ${i}`, 'number of attended tokens', [got[i].attended], [mask.reduce((a, b) => a + b)]);
      compare(`query ${i} ${padding ?? ''}`, got[i].vectors, vectors.get(`q${i}.${padding ?? set.default}`), size);
    });
    const scores = got.map((q) =>
      encoded.map((d) => maxSim(Float32Array.from(q.vectors), Float32Array.from(d.vectors), size)),
    );
    const entry = set.files[file];
    const table = padding === undefined ? 'scores' : (`scores_${padding}` as const);
    compareTable(table, scores, entry[table]);
  }
  return missed;
}

export const readRetrievalSet = (directory: string): RetrievalSet | undefined => {
  const path = join(directory, 'expected.json');
  const set = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as object) : {};
  return isRetrievalSet(set) ? set : undefined;
};
