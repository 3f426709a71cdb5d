/** Exact search over int8 vectors against brute force in floats. */
import { describe, expect, it } from 'vitest';
import { maxSim } from '../api/max_sim';
import { createVectorStore, packVectors } from './vector_store';

/** mulberry32 */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Vectors of length 1 around a few centres, as those of a model. */
function clustered(next: () => number, n: number, size: number, centres: Float32Array[]): Float32Array {
  const all = new Float32Array(n * size);
  for (let v = 0; v < n; v++) {
    const centre = centres[Math.floor(next() * centres.length)];
    const own = all.subarray(v * size, (v + 1) * size);
    own.forEach((_, i) => (own[i] = centre[i] + 0.9 * (next() + next() + next() - 1.5)));
    const length = Math.hypot(...own);
    own.forEach((value, i) => (own[i] = value / length));
  }
  return all;
}

const top = (scores: ArrayLike<number>, k: number): number[] =>
  Array.from(scores, (_, i) => i)
    .sort((a, b) => scores[b] - scores[a] || a - b)
    .slice(0, k);

describe('exact search', () => {
  it('finds what brute force finds, but for scores closer than the rounding: 200 sets', async () => {
    let [found, wanted, worst] = [0, 0, 0];
    for (let seed = 0; seed < 200; seed++) {
      const next = random(seed);
      const size = [128, 64, 96, 20, 256][seed % 5];
      const centres = Array.from({ length: 12 }, () => Float32Array.from({ length: size }, () => next() * 2 - 1));
      const store = await createVectorStore(size);
      const documents = Array.from({ length: 60 }, (_, i) => clustered(next, 1 + ((seed + i) % 9), size, centres));
      documents.forEach((one, i) => store.set(`d${i}`, packVectors(one, size)));
      const query = clustered(next, 1 + (seed % 32), size, centres);
      const exact = documents.map((one) => maxSim(query, one, size));
      const ids = documents.map((_, i) => `d${i}`);
      const got = store.scores(query, ids);
      const error = Math.max(...exact.map((score, i) => Math.abs(score - got[i])));
      worst = Math.max(worst, error / (query.length / size));
      const best = top(exact, 10);
      const ours = top(got, 10);
      // the last of the ten may only differ by what rounding explains
      for (const one of ours) expect(exact[one]).toBeGreaterThanOrEqual(exact[best[9]] - 2 * error);
      for (const [place, one] of ours.entries())
        expect(Math.abs(exact[one] - exact[best[place]])).toBeLessThanOrEqual(2 * error);
      found += ours.filter((one) => best.includes(one)).length;
      wanted += 10;
    }
    expect(found / wanted).toBeGreaterThanOrEqual(0.99);
    expect(worst).toBeLessThan(0.01); // of a vector of the query
  });

  it('changes nothing when documents go, come back and are packed together', async () => {
    const next = random(7);
    const size = 32;
    const centres = [Float32Array.from({ length: size }, () => next())];
    const store = await createVectorStore(size);
    const documents = new Map<string, Float32Array>();
    const query = clustered(next, 5, size, centres);
    for (let step = 0; step < 1500; step++) {
      const id = `d${Math.floor(next() * 40)}`;
      if (next() < 0.4) {
        store.delete(id);
        documents.delete(id);
      } else {
        const vectors = clustered(next, 1 + Math.floor(next() * 60), size, centres);
        store.set(id, packVectors(vectors, size));
        documents.set(id, vectors);
      }
      if (step % 50) continue;
      const ids = [...documents.keys()];
      expect([...store.ids()].sort()).toEqual([...ids].sort());
      expect(store.vectors).toBe([...documents.values()].reduce((sum, one) => sum + one.length / size, 0));
      const got = store.scores(query, ids);
      ids.forEach((one, i) => expect(Math.abs(got[i] - maxSim(query, documents.get(one)!, size))).toBeLessThan(0.03));
      for (const one of ids.slice(0, 3)) expect(store.packed(one)).toEqual(packVectors(documents.get(one)!, size));
    }
  });

  it('takes documents without vectors, and numbers that are none', async () => {
    const store = await createVectorStore(16);
    store.set('empty', packVectors(new Float32Array(), 16));
    store.set('bad', packVectors(new Float32Array(16).fill(NaN), 16));
    const query = new Float32Array(16).fill(0.25);
    expect([...store.scores(query, ['empty', 'bad'])]).toEqual([-Infinity, 0]);
    expect([...store.scores(query, [])]).toEqual([]);
  });
});
