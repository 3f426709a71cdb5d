declare module 'virtual:rivulet-kernels' {
  /** base64 of the WASM modules */
  export const simd: string;
  export const relaxed: string;
}

declare module 'virtual:rivulet-shaders' {
  /** WGSL by file name without suffix */
  export const shaders: Record<string, string>;
}
