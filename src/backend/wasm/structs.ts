/** The structs of the C kernels that TypeScript writes (kernels/plan.h, kernels/linear.h). */
import { Op, Plan, Sampling, ThreadPool, Weight } from 'virtual:rivulet-kernels';
import { structLayout } from '../struct';

export const OP = structLayout(Op);
export const PLAN = structLayout(Plan);
export const SAMPLING = structLayout(Sampling);
export const THREAD_POOL = structLayout(ThreadPool);
export const WEIGHT = structLayout(Weight);
