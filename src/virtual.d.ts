/** Kernels and shaders of the engine's script (script_texts.ts). */
declare module 'virtual:rivulet-packed' {}

declare module '*?script' {
  /** the file and all that it imports as one classic script */
  const text: string;
  export default text;
  /** of the engine's script; exported by src/worker.ts and by the side files */
  export const version: string;
}

declare module 'virtual:rivulet-kernels' {
  /** the WASM modules packed (src/backend/unpack.ts) in base64, the relaxed one first; the bytes of each */
  export const modules: import('./backend/wasm/module').PackedKernels;
  /** what kernels/plan.h and kernels/linear.h declare: the fields of structs for src/backend/struct.ts, … */
  export const Op: string;
  export const Page: string;
  export const Plan: string;
  export const Sampling: string;
  export const ThreadPool: string;
  export const Weight: string;
  /** … the values of enums, … */
  export const Activation: Record<string, number>;
  export const Convolution: Record<string, number>;
  export const OpKind: Record<string, number>;
  export const Pairs: Record<string, number>;
  /** … and constants */
  export const CONV_RING_POSITIONS: number;
  export const KV_PAGE_POSITIONS: number;
  export const SAMPLER_TOKEN_BYTES: number;
}

declare module 'virtual:rivulet-kernels/encoders' {
  /** the same sources built with -DENCODERS; empty if that changes nothing */
  export const modules: Partial<import('./backend/wasm/module').PackedKernels>;
}

declare module 'virtual:rivulet-kernels/memory64' {
  /** the same sources with the ops of encoders for 64-bit memory, in the relaxed variant alone */
  export const modules: import('./backend/wasm/module').PackedKernels;
  /** as above, with pointers of 8 bytes */
  export const Op: string;
  export const Page: string;
  export const Plan: string;
  export const Sampling: string;
  export const ThreadPool: string;
  export const Weight: string;
}

declare module 'virtual:rivulet-shaders' {
  /** the JSON of WGSL by file name without suffix, packed (src/backend/unpack.ts) in base64, and its bytes */
  export const packed: { text: string; bytes: number };
  /** a version that changes with the shaders and the WebGPU backend */
  export const build: string;
}

declare module 'virtual:rivulet-shaders/experts' {
  /** the files of shaders/experts/, 'experts/name' */
  export const shaders: Record<string, string>;
  /** a version that changes with them */
  export const build: string;
}

declare module 'virtual:rivulet-shaders/encoders' {
  /** the files of shaders/encoders/, 'encoders/name' */
  export const shaders: Record<string, string>;
  /** a version that changes with them */
  export const build: string;
}

declare module 'virtual:rivulet-max-sim' {
  /** the module of search_index/kernels/max_sim.c in base64 */
  export const wasm: string;
}
