/** Models with random weights for tests, of any configuration and on any backend. */
import type { Backend } from '../src/backend/backend';
import { madeUpWeights } from '../src/backend/made_up_weights';
import { recordModel } from '../src/backend/model_plan';
import type { Plan } from '../src/backend/plan';
import { seededRandom, writeRandomMatrix } from '../src/backend/random_weights';
import { LFM2 } from '../src/model/architecture';
import { LFM2MOE } from '../src/model/lfm2_moe';
import type { Config } from '../src/model/config';
import type { Matrix, Vector } from '../src/model/ops';
import { mapLeaves, rowsOf, type MatrixSource } from '../src/model/weights';
import type { Dtype } from '../src/tensor/dtype';

/**
 * Writes the weights into a backend, the same on each, and records the plan. Vectors are between 0.5 and 1.5.
 * @param dtype of a matrix, by its GGUF name
 * @param has true for a tensor, by its GGUF name, that is there although a model may lack it
 */
export async function randomModel(
  backend: Backend,
  config: Config,
  dtype: (gguf: string) => Dtype,
  has?: (gguf: string) => boolean,
): Promise<Plan> {
  const architecture = config.experts ? LFM2MOE : LFM2;
  const { weights } = madeUpWeights((read) => architecture.weights(config, read), dtype, has);
  const matrices = new Map<MatrixSource, Matrix | undefined>();
  mapLeaves(
    weights,
    (source) => void matrices.set(source, undefined),
    () => undefined,
  );
  for (const source of matrices.keys())
    matrices.set(source, await writeRandomMatrix(backend, { ...source, rows: rowsOf(source) }));
  const vector = (name: string, length: number): Vector => {
    const next = seededRandom(name);
    return backend.vector(
      name,
      Float32Array.from({ length }, () => 0.5 + next() / 2 ** 32),
    );
  };
  const loaded = mapLeaves(
    weights,
    (source) => matrices.get(source)!,
    ({ name, length }) => vector(name, length),
  );
  return recordModel({ architecture, config }, loaded);
}
