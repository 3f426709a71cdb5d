/** Whether this browser has WASM with 64-bit memory. */
export function hasMemory64(): boolean {
  try {
    return !!new WebAssembly.Memory({ address: 'i64', initial: 0n } as never);
  } catch {
    return false;
  }
}
