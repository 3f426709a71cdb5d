/** Σ over the vectors of a query of the largest product with a vector of the document. [n, size], [m, size]. */
export function maxSim(query: Float32Array, document: Float32Array, size: number): number {
  let sum = 0;
  for (let q = 0; q < query.length; q += size) {
    let best = -Infinity;
    for (let d = 0; d < document.length; d += size) {
      let dot = 0;
      for (let i = 0; i < size; i++) dot += query[q + i] * document[d + i];
      if (dot > best) best = dot;
    }
    sum += best;
  }
  return sum;
}
