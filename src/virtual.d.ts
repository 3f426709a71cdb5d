declare module 'virtual:rivulet-kernels' {
  /** the WASM modules, as base64 of raw deflate */
  export const simd: string;
  export const relaxed: string;
}

declare module 'virtual:rivulet-shaders' {
  /** WGSL by file name without suffix */
  export const shaders: Record<string, string>;
  /** another one when they or the WebGPU backend change */
  export const build: string;
}
