/**
 * npm run drill:download -- --seed S --runs N
 *
 * Each run: a hub that breaks at random, a model loaded again and again with interruptions, then once more with the hub
 * in order. Every load must end with the right bytes or a named error; after each, every stored chunk must be what the
 * server has; what is stored is not fetched again. One JSON line per run, the sum at the end; exit status 1 if anything
 * was wrong.
 */
import 'fake-indexeddb/auto';
import { IDBFactory } from 'fake-indexeddb';
import { openModelCache, type ModelManifest } from '../../src/store/model_cache';
import { openModel, type OpenOptions } from '../../src/store/open_model';
import { createHub, FAULTS, modelBytes, seeded, sha256Of, type Fault, type Hub, type Request } from '../hub';
import { startTool, whole } from './options';

const CHUNK = 16 << 10;
const BROKEN = 4; // loads from a hub that breaks
const LONGEST = 30_000; // milliseconds a load may take
const NAMES = ['SourceError', 'StorageError', 'AbortError'];

const { seed: first, runs } = startTool(
  'npm run drill:download --',
  'Downloads models from a server that fails at random, and checks what is stored.',
  {
    seed: whole('the first seed', 1),
    runs: whole('how many runs, each with the next seed', 200, 1),
  },
);

interface Outcome {
  loads: number;
  right: number;
  errors: Record<string, number>;
  faults: Record<string, number>;
  wrong: string[];
}

async function drill(seed: number): Promise<Outcome> {
  const random = seeded(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)];
  const chance = (p: number): boolean => random() < p;
  globalThis.indexedDB = new IDBFactory();
  const files: Record<string, Uint8Array> = {};
  const count = chance(0.7) ? 1 : 3;
  for (let i = 1; i <= count; i++) {
    const name = count === 1 ? 'M-Q4_0.gguf' : `M-Q4_0-0000${i}-of-0000${count}.gguf`;
    files[name] = modelBytes(Math.floor(random() * 24 * CHUNK) + 4, seed * 10 + i);
  }
  const plain = chance(0.3);
  const rate = pick([0.05, 0.15, 0.4]);
  // at a plain address there is no hash to find a flipped bit by
  const usual = FAULTS.filter((fault) => !(plain && fault === 'flip') && chance(0.7));
  let broken = true;
  const faults: Record<string, number> = {};
  const outcome: Outcome = { loads: 0, right: 0, errors: {}, faults, wrong: [] };
  const hub: Hub = await createHub({
    repos: { 'a/b': files },
    exposed: chance(0.8),
    lfsFrom: CHUNK,
    signedUses: chance(0.4) ? 1 + Math.floor(random() * 6) : Infinity,
    fault: ({ kind }: Request) => {
      if (!broken || !chance(rate)) return undefined;
      const fault = pick<Fault>(FAULTS);
      if (!usual.includes(fault) || (kind === 'api' && fault === '416')) return undefined;
      faults[fault] = (faults[fault] ?? 0) + 1;
      return fault;
    },
  });
  const source = plain ? { url: Object.keys(files).map((name) => `${hub.origin}/plain/a/b/${name}`) } : 'a/b';
  const options: OpenOptions = {
    hub: hub.origin,
    policy: { backoff: 1, stall: 200, attempts: 6, chunkBytes: CHUNK, connections: 1 + Math.floor(random() * 5) },
  };

  let reason = '';
  const load = async (cache: boolean, interrupt: boolean): Promise<string> => {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), interrupt ? Math.floor(random() * 120) : LONGEST);
    const began = Date.now();
    try {
      const model = await openModel(source, { ...options, cache, signal: controller.signal });
      try {
        if (chance(0.3)) await model.finish();
        for (const file of model.files) {
          const bytes = new Uint8Array(file.size);
          const piece = 1 + Math.floor(random() * 3 * CHUNK);
          if (chance(0.3)) await file.read(Math.floor(random() * file.size), 1);
          for (let at = 0; at < file.size; at += piece) {
            const length = Math.min(piece, file.size - at);
            const part = await file.read(at, length);
            bytes.set(part, at);
            if (chance(0.8)) file.release?.(part);
          }
          if (sha256Of(bytes) !== sha256Of(files[file.name])) outcome.wrong.push(`wrong bytes of ${file.name}`);
        }
        await model.finish();
        return 'right';
      } finally {
        model.close();
      }
    } catch (error) {
      const { name, message } = error as Error;
      if (!NAMES.includes(name)) outcome.wrong.push(`unnamed error ${name}: ${message}`);
      if (name === 'AbortError' && !interrupt) outcome.wrong.push(`no end after ${Date.now() - began} ms`);
      reason = message;
      return name;
    } finally {
      clearTimeout(timer);
    }
  };

  /** Everything in the cache is what the server has. */
  const audit = async (): Promise<Set<string>> => {
    const cache = (await openModelCache())!;
    const stored = new Set<string>();
    for (const manifest of (await cache.manifests()) as ModelManifest[]) {
      const hashes = await cache.checksums(manifest.id);
      for (const { name, size } of manifest.files) {
        for (const index of hashes.get(name)?.keys() ?? []) {
          const data = new Uint8Array((await cache.chunk(manifest.id, name, index))!);
          const real = files[name].subarray(index * CHUNK, (index + 1) * CHUNK);
          const known = manifest.files.find((file) => file.name === name)?.sha256;
          // a flipped chunk may lie there until its file is whole and compared; in a model that is whole it may not
          if (sha256Of(data) !== sha256Of(real) && (manifest.state === 'complete' || !known || !faults.flip))
            outcome.wrong.push(`poisoned chunk ${name} ${index}`);
          stored.add(`${name} ${index}`);
        }
        if (manifest.state === 'complete' && (hashes.get(name)?.size ?? 0) !== Math.ceil(size / CHUNK))
          outcome.wrong.push(`a whole model lacks chunks of ${name}`);
      }
    }
    return stored;
  };

  /** Ranges asked for whose chunk was stored before. */
  const twice = (stored: Set<string>, requests: Request[]): number =>
    requests.filter(({ kind, range, path }) => {
      if (kind !== 'file' || !range || range.last - range.first < 16) return false;
      const name = decodeURIComponent(path.split('?')[0].split('/').at(-1)!);
      return stored.has(`${name} ${Math.floor(range.first / CHUNK)}`);
    }).length;
  // after these, what is stored is rightly thrown away
  const dropping: Fault[] = plain ? ['416', 'etag', 'size'] : ['flip'];

  const loads = BROKEN + 1 + count;
  for (let i = 0; i < loads; i++) {
    broken = i < BROKEN;
    const cache = !broken || chance(0.85);
    const stored = await audit();
    const from = hub.log.length;
    const result = await load(cache, broken && chance(0.6));
    await new Promise((go) => setTimeout(go, 20)); // an aborted connection may still be writing
    outcome.loads++;
    if (result === 'right') outcome.right++;
    else outcome.errors[result] = (outcome.errors[result] ?? 0) + 1;
    if (cache && !dropping.some((fault) => faults[fault]) && twice(stored, hub.log.slice(from)) > 0)
      outcome.wrong.push('stored chunks were fetched again');
    // a load from a hub in order may find, at the end of a file, what was flipped before; with one for each file the
    // last has no excuse
    if (i === loads - 1 && result !== 'right') outcome.wrong.push(`from a hub in order: ${reason}`);
  }
  await audit();
  await hub.close();
  return outcome;
}

const total: Outcome = { loads: 0, right: 0, errors: {}, faults: {}, wrong: [] };
const add = (into: Record<string, number>, more: Record<string, number>): void => {
  for (const [name, n] of Object.entries(more)) into[name] = (into[name] ?? 0) + n;
};
for (let seed = first; seed < first + runs; seed++) {
  const outcome = await drill(seed);
  console.log(JSON.stringify({ seed, ...outcome }));
  total.loads += outcome.loads;
  total.right += outcome.right;
  add(total.errors, outcome.errors);
  add(total.faults, outcome.faults);
  total.wrong.push(...outcome.wrong.map((what) => `seed ${seed}: ${what}`));
}
console.log(JSON.stringify({ runs, ...total }));
process.exit(total.wrong.length > 0 ? 1 : 0);
