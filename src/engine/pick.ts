/** Which backend: the rungs of a ladder from the best down, and the descent with its reasons. */
import type { Backend } from '../backend/backend';
import { openWasm } from '../backend/wasm/backend';
import { openWebGpu } from '../backend/webgpu/backend';
import { fail } from '../errors';

export interface BackendOptions {
  /** `auto` (default): WebGPU on a real adapter, else WASM. A backend that is named is taken, or the call fails. */
  backend?: 'auto' | 'webgpu' | 'wasm';
  /** WASM threads; default: measured. More than one needs a cross-origin isolated page. */
  threads?: number;
  /** take WebGPU on a software adapter too */
  allowSoftware?: boolean;
  /** false: as if the GPU had no subgroups, no shader-f16 */
  subgroups?: boolean;
  f16?: boolean;
  /** WASM instruction set; default: what the browser has */
  variant?: 'simd' | 'relaxed';
  /** WASM: f32 activations in place of int8: slower, exact */
  exact?: boolean;
}

export interface Rung {
  name: 'webgpu' | 'wasm' | 'reference';
  /** in notes: 'WebGPU without subgroups and f16' */
  label: string;
  open(): Backend | Promise<Backend>;
}

/** @throws RequestError for a backend that does not exist */
export function ladder({ backend = 'auto', threads, allowSoftware, subgroups, f16, variant, exact }: BackendOptions): Rung[] {
  if (!['auto', 'webgpu', 'wasm'].includes(backend))
    fail('RequestError', { what: 'There is no such backend', got: String(backend), wanted: 'auto, webgpu or wasm' });
  const gpu = { allowSoftware, subgroups, f16 };
  const rungs: Rung[] = [];
  if (backend !== 'wasm') {
    rungs.push({ name: 'webgpu', label: 'WebGPU', open: () => openWebGpu(gpu) });
    if (subgroups !== false || f16 !== false)
      rungs.push({ name: 'webgpu', label: 'WebGPU without subgroups and f16', open: () => openWebGpu({ ...gpu, subgroups: false, f16: false }) });
  }
  if (backend !== 'webgpu') rungs.push({ name: 'wasm', label: 'WASM', open: () => openWasm({ threads, variant, exact }) });
  return rungs;
}

/** Failures of the model, the request or the reader: another backend would not help. */
const FINAL = ['AbortError', 'CheckpointError', 'SourceError', 'StorageError', 'ContextError', 'RequestError'];

/**
 * Uses the first rung on which `use` succeeds; frees those on which it did not.
 * @param notes gets the reasons for each rung that was left
 * @throws the last rung's error, with the reasons of those before
 */
export async function descend<T>(rungs: Rung[], notes: string[], use: (backend: Backend) => Promise<T>): Promise<T> {
  let rest = rungs;
  for (;;) {
    const [{ name, label, open }, ...below] = rest;
    let backend: Backend | undefined;
    try {
      backend = await open();
      return await use(backend);
    } catch (error) {
      const { name: kind, message } = error as Error;
      await Promise.resolve(backend?.dispose()).catch(() => undefined); // the first error is the one to tell
      // another variant helps against a kernel that fails, not against a missing device or too little memory
      rest = backend && kind !== 'MemoryError' ? below : below.filter((rung) => rung.name !== name);
      if (FINAL.includes(kind)) throw error;
      if (rest.length === 0) {
        if (notes.length === 0 && backend) throw error;
        const got = [...notes, `${label}: ${message}`].join(' ');
        fail(kind === 'MemoryError' ? kind : 'DeviceError', { what: 'No backend could take the model', got }, error);
      }
      notes.push(`${label}: ${message}`);
    }
  }
}
