/** The structs of the C kernels that TypeScript writes (kernels/plan.h, kernels/linear.h), by the width of pointers. */
import { Op, Page, Plan, Sampling, ThreadPool, Weight } from 'virtual:rivulet-kernels';
import { structLayout, type StructLayout } from '../struct';

export interface KernelStructs {
  OP: StructLayout;
  PAGE: StructLayout;
  PLAN: StructLayout;
  SAMPLING: StructLayout;
  THREAD_POOL: StructLayout;
  WEIGHT: StructLayout;
}

/** @param declared texts in the form of struct.ts */
export const kernelStructs = (
  declared: Record<'Op' | 'Page' | 'Plan' | 'Sampling' | 'ThreadPool' | 'Weight', string>,
): KernelStructs => ({
  OP: structLayout(declared.Op),
  PAGE: structLayout(declared.Page),
  PLAN: structLayout(declared.Plan),
  SAMPLING: structLayout(declared.Sampling),
  THREAD_POOL: structLayout(declared.ThreadPool),
  WEIGHT: structLayout(declared.Weight),
});

/** Those of the kernels for 32-bit memory. */
export const STRUCTS = kernelStructs({ Op, Page, Plan, Sampling, ThreadPool, Weight });
