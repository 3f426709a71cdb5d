declare module '*?script' {
  /** the file and all that it imports as one classic script */
  const text: string;
  export default text;
}

declare module 'virtual:rivulet-kernels' {
  /** the WASM modules: raw deflate in base64 */
  export const simd: string;
  export const relaxed: string;
}

declare module 'virtual:rivulet-shaders' {
  /** WGSL by file name without suffix */
  export const shaders: Record<string, string>;
  /** a version that changes with the shaders and the WebGPU backend */
  export const build: string;
}
