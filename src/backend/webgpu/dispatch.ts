/**
 * On the GPU a plan is a list of dispatches. Each runs one kernel, which is linked from files of shaders/.
 *
 * Rules for kernels: the entry point is `main`. All bindings are in group 0 and are bound by name: numbers 0 … 11 in a
 * kernel, 12 and above in libraries, 20 more in the second copy of a library (shader.ts). At most 8 storage buffers, 16
 * KB of workgroup memory, 256 invocations and 65,535 workgroups per dimension. The linker moves `enable` lines to the
 * top. WebGPU tracks whole buffers: one dispatch may not bind a buffer for reading and again for writing. Therefore
 * every activation slot is a buffer of its own, and where `add` and the output share a slot, the kernel binds the
 * output alone and adds to it.
 */
import type { Vector } from '../../model/ops';
import { uniformLayout } from './shader';

/** A range of a buffer: offset and size are multiples of 256, or it is the whole buffer. */
export interface BufferRegion {
  buffer: GPUBuffer;
  offset: number;
  size: number;
}

/** One dispatch of a kernel. */
export interface Dispatch {
  /**
   * kernel, weight format and options: 'matvec.q4_0.norm.add'. It names the dispatch in errors, profiles and printed
   * plans.
   */
  label: string;
  /**
   * shader files to link, libraries first, without suffix: ['lib/step', 'lib/rope', 'lib/kv_f16', 'attend'].
   * 'lib/step#Step' is one struct of a file.
   */
  sources: string[];
  /** values of the kernel's `override`s */
  constants: Record<string, number>;
  /** buffers by the name of the binding in WGSL */
  bindings: Record<string, BufferRegion>;
  grid: [x: number, y: number, z: number];
  /**
   * the tuner selects a kernel by this key, 'op format shape': 'swiglu q4_0 4608×1024'; absent where there is nothing
   * to select
   */
  tuneKey?: string;
  /** the dispatch whose result this one completes: the tuner times and checks both together */
  partOf?: Dispatch;
}

/** The files, constants and bindings that a library adds to a dispatch. */
export type ShaderLibrary = Pick<Dispatch, 'sources' | 'constants' | 'bindings'>;

/** Features of the device that kernels may use. */
export interface GpuFeatures {
  /** shader-f16: `enable f16` compiles */
  f16: boolean;
  /** subgroup operations; the subgroup size lies in this range and may differ between dispatches */
  subgroups: boolean;
  subgroupMinSize: number;
  subgroupMaxSize: number;
  /** the WGSL feature packed_4x8_integer_dot_product: four products of bytes in one instruction */
  dp4a: boolean;
  /**
   * decode the halves of weights by integer operations: the self test found that unpack2x16float flushes subnormal
   * halves here
   */
  integerHalfDecode?: boolean;
}

/** Settings of a kernel that the tuner may change; the layout of the weights is the same for all. */
export interface KernelTuning {
  /**
   * rows of W per invocation of `matvec`: 4, or 8 for one token; in swiglu and in_proj_conv 4 rows of one matrix, or of
   * every matrix
   */
  rows: 4 | 8;
  /** invocations per workgroup of `matvec`: 32, 64 or, with subgroups, 128 */
  groupSize: number;
  /** add by subgroup operations, if the device has them, or through workgroup memory */
  subgroups: boolean;
  /** round activations to int8 and multiply four at a time, if the device has dp4a; quantized weights only */
  int8Activations: boolean;
  /**
   * positions per workgroup of `attend`: shorter spans occupy more of a GPU, but need the merge at shorter contexts
   * (scratch.ts)
   */
  span: 128 | 256 | 512;
}

/**
 * Settings by Dispatch.tuneKey. Those of ANY_KERNEL apply to all keys that are not listed, and to matvec of several
 * tokens.
 */
export type TuningTable = ReadonlyMap<string, Partial<KernelTuning>>;
export const ANY_KERNEL = '*';

/** The device and the buffers that dispatches of a program share. */
export interface DispatchContext {
  device: GPUDevice;
  features: GpuFeatures;
  tunings: TuningTable;
  /**
   * Scalars of the current step (lib/step.wgsl): the position of its first token, the number of tokens, the length of
   * the prompt.
   * The host writes them before a prefill, the GPU itself between decode steps. Binding `step`.
   */
  step: BufferRegion;
  /** token ids by position, u32 [contextLength]. Binding `tokens`. */
  tokens: BufferRegion;
  /** Creates a buffer under an error scope, by default STORAGE | COPY_SRC | COPY_DST. @throws MemoryError */
  allocateBuffer(label: string, bytes: number, usage?: GPUBufferUsageFlags): Promise<GPUBuffer>;
  /** destroys a buffer of `allocateBuffer` */
  releaseBuffer(buffer: GPUBuffer): void;
  /** compiles the pipeline of a dispatch under an error scope; the same sources and constants give the same pipeline */
  pipeline(dispatch: Omit<Dispatch, 'bindings' | 'grid'>): Promise<GPUComputePipeline>;
  /** runs dispatches in one submit, outside a plan: repacking */
  run(dispatches: Dispatch[]): Promise<void>;
  /**
   * waits for a promise of the device; rejects with a DeviceError when the device is lost, even if the browser leaves
   * the promise pending
   */
  waitFor<T>(work: Promise<T>): Promise<T>;
}

/** The result of `Backend.vector` on this backend: f32 in a region that kernels bind. */
export interface GpuWeightVector extends Vector {
  readonly region: BufferRegion;
}

/** the struct in `DispatchContext.step` */
export const STEP = uniformLayout('lib/step#Step');

/** Size of a buffer for so many bytes. */
export const bufferBytes = (bytes: number): number => Math.max(16, Math.ceil(bytes / 16) * 16);

export const wholeBuffer = (buffer: GPUBuffer): BufferRegion => ({ buffer, offset: 0, size: buffer.size });

/** The shader file for sums and maxima over a workgroup, the first source of a kernel that needs them. */
export const reductionLibrary = (features: GpuFeatures): string =>
  features.subgroups ? 'lib/reduce_subgroup' : 'lib/reduce_workgroup';

/** The shape of a tune key: '4608×1024' of 'swiglu q4_0 4608×1024'. */
export const shapeOfTuneKey = (tuneKey: string): string => tuneKey.slice(tuneKey.lastIndexOf(' ') + 1);
