/** The plan of the self test's case `experts`. */
import type { Matrix } from '../../model/ops';
import { recordPlan, type Plan } from '../plan';
import type { RandomTensors } from './self_test';

const EXPERTS = [' 0', ' 1', ' 2', ' 3', ' 4'];
const I = 80;

export async function planOfExperts({ matrix, vector, norm }: RandomTensors, table: Matrix): Promise<Plan> {
  const [E, D] = [EXPERTS.length, table.cols];
  const router = await matrix('router', E, D);
  const [w1, w3] = [await matrix('w1', E * I, D, EXPERTS), await matrix('w3', E * I, D, EXPERTS)];
  const w2 = await matrix('w2', E * D, I, EXPERTS);
  const options = { norm: norm('norm', D), bias: vector('b', E), top: 2, normalise: true, scale: 1 };
  return recordPlan((op) => {
    const x = op.embed(table);
    return op.experts(router, { w1, w3, w2 }, x, { ...options, add: x });
  });
}
