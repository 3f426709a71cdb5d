/**
 * What a plan is made of on the GPU: steps, each one dispatch of a kernel linked from shaders/.
 *
 * Rules of the kernels: entry point `main`; all bindings in group 0, numbered 0 … 11 in a kernel and 12 … in libraries (20 more in a second
 * copy of one, shader.ts), bound by name; at most 8 storage buffers, 16 KB of workgroup memory, 256 invocations, 65,535 workgroups a dimension.
 * `enable` lines of joined files are moved to the top. A buffer may not be read and written under two names in one dispatch (WebGPU tracks
 * whole buffers), therefore every activation slot is a buffer of its own; where `add` and the output share a slot, a kernel binds the output
 * alone and adds to it.
 */
import type { Vector } from '../../model/ops';
import type { Dtype } from '../../tensor/dtype';

/** A part of a buffer; offset and size are multiples of 256, or the whole buffer. */
export interface Region {
  buffer: GPUBuffer;
  offset: number;
  size: number;
}

export interface Step {
  /** op, shape, weight format, options: 'matvec.q4_0.norm.add'. It names the pipeline in errors, profiles and printed plans. */
  label: string;
  /** shader files to link, libraries first, without suffix: ['lib/q4_0', 'lib/sum_subgroup', 'matvec'] */
  sources: string[];
  /** values of the kernel's `override`s */
  constants: Record<string, number>;
  /** by the name of the binding in WGSL */
  bindings: Record<string, Region>;
  grid: [x: number, y: number, z: number];
  /** what it maps, where a kernel may be chosen for that (linear.ts, lower.ts): 'swiglu q4_0 4608×1024'; a step behind it without one belongs to it */
  shape?: string;
}

/** What kernels may rely on; settled once when the device is opened. */
export interface Features {
  /** shader-f16: `enable f16` compiles */
  f16: boolean;
  /** subgroup operations; the size may lie anywhere in the range and may differ between dispatches */
  subgroups: boolean;
  subgroupMinSize: number;
  subgroupMaxSize: number;
  /** packed_4x8_integer_dot_product */
  dp4a: boolean;
  /** unpack2x16float loses subnormal halves here, as the self test found: kernels take halves of weights apart by integers */
  integerHalves?: boolean;
}

/** What may be chosen for a device and a shape. The weights lie in one way for all of it. */
export interface Tuning {
  /** rows of W an invocation of `matvec` takes: 4, or 8 with one token; of swiglu and conv_in 4 of one map, or 4 of every map */
  rows: 4 | 8;
  /** invocations of a workgroup of `matvec`: 32, 64 or, with subgroups, 128 */
  groupSize: number;
  /** sums by subgroup operations, where the device has them, or through workgroup memory */
  subgroups: boolean;
  /** activations rounded to int8 and multiplied four at a time, where the device can; quantised weights only */
  integers: boolean;
  /** positions of a workgroup of `attend`: short ones occupy more of a GPU, and need the merge sooner (state.ts) */
  span: 128 | 256 | 512;
}

/** Of shapes (Step.shape); of ANY for all that are not there, and for few tokens too. */
export type Tunings = ReadonlyMap<string, Partial<Tuning>>;
export const ANY = '*';

/** What ops need of the opened device. */
export interface Gpu {
  device: GPUDevice;
  features: Features;
  tunings: Tunings;
  /**
   * Scalars of the step under way, written by the host before a prefill and by the GPU itself between decode steps; binding `step`:
   * struct { position: u32 (of the first token), count: u32 (tokens, T of the maths), … } in lib/step.wgsl
   */
  step: Region;
  /** token ids by position, u32 [contextLength]; binding `tokens` */
  tokens: Region;
  /** a buffer under an error scope, by default STORAGE | COPY_SRC | COPY_DST; throws MemoryError */
  allocate(label: string, bytes: number, usage?: GPUBufferUsageFlags): Promise<GPUBuffer>;
  /** gives back what `allocate` gave */
  release(buffer: GPUBuffer): void;
  /** compiles the pipeline of a step, under an error scope; the same sources and constants give the same pipeline */
  pipeline(step: Omit<Step, 'bindings' | 'grid'>): Promise<GPUComputePipeline>;
  /** one submit of these steps, outside a plan: repacking, self tests */
  run(steps: Step[]): Promise<void>;
  /** waits for work of the device; rejects with a DeviceError when the device is lost meanwhile, whatever the browser does with the promise */
  settled<T>(work: Promise<T>): Promise<T>;
}

/** What `Backend.vector` of this backend returns: f32 in a region that kernels bind. */
export interface GpuVector extends Vector {
  readonly region: Region;
}

/** The weight formats kernels know; every checkpoint dtype is one of them or is repacked into one without loss. */
export type GpuFormat = Dtype;

export const whole = (buffer: GPUBuffer): Region => ({ buffer, offset: 0, size: buffer.size });

/** ['lib/sum_subgroup'] or its twin, the first source of kernels that reduce over a workgroup */
export const sumLibrary = (features: Features): string => (features.subgroups ? 'lib/sum_subgroup' : 'lib/sum_workgroup');
