/** Which backend: the rungs of a ladder from the best down, and the descent with its reasons. */
import type { Backend } from '../backend/backend';
import { openWasmBackend } from '../backend/wasm/backend';
import { openWebGpuBackend } from '../backend/webgpu/backend';
import { fail } from '../errors';
import { pause } from './pause';

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
  /** f32 activations, never int8: exact, slower on WASM */
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
  const gpu = { allowSoftware, subgroups, f16, exact };
  const rungs: Rung[] = [];
  if (backend !== 'wasm') {
    rungs.push({ name: 'webgpu', label: 'WebGPU', open: () => openWebGpuBackend(gpu) });
    if (subgroups !== false || f16 !== false)
      rungs.push({ name: 'webgpu', label: 'WebGPU without subgroups and f16', open: () => openWebGpuBackend({ ...gpu, subgroups: false, f16: false }) });
  }
  if (backend !== 'webgpu') rungs.push({ name: 'wasm', label: 'WASM', open: () => openWasmBackend({ threads, variant, exact }) });
  return rungs;
}

/** The way down a ladder, for as long as the model lives. */
export interface Descent {
  /** the rung in use, or to be tried next, and those below it */
  rungs: Rung[];
  /** why rungs were left, and devices that were lost */
  reasons: string[];
  /** when a device was last lost, as performance.now() */
  lostAt: number;
}

export const descentOf = (rungs: Rung[]): Descent => ({ rungs, reasons: [], lostAt: -Infinity });

/** A second loss within this time, and WebGPU is given up: a device that is lost again and again costs more than it gives. */
export const LOSS_WINDOW_MS = 60_000;

/** Failures of the model, the request or the reader: another backend would not help. */
const FINAL = ['AbortError', 'CheckpointError', 'SourceError', 'StorageError', 'ContextError', 'RequestError'];

export type Fault = 'unopened' | 'failed' | 'lost';

/**
 * After an error on the first rung: the same once more where a device was lost for the first time, else what is below. A kernel that fails may
 * work in another variant; a missing device and too little memory need another backend.
 * @throws the error when nothing is left to try, with the reasons of the rungs before
 */
export function retreat(descent: Descent, error: Error, fault: Fault): void {
  const { rungs, reasons, lostAt } = descent;
  const [{ name, label }, ...below] = rungs;
  const { name: kind, message } = error;
  if (FINAL.includes(kind)) throw error;
  const first = reasons.length === 0;
  let rest = fault === 'failed' && kind !== 'MemoryError' ? below : below.filter((rung) => rung.name !== name);
  let reason = `${label}: ${message}`;
  if (fault === 'lost') {
    descent.lostAt = performance.now();
    if (descent.lostAt - lostAt > LOSS_WINDOW_MS) rest = rungs;
    else reason += ' This was the second time within a minute.';
  }
  if (rest.length === 0) {
    if (first && fault !== 'unopened') throw error;
    const cure = fault === 'lost' && name === 'webgpu' ? "Load the model with backend 'auto' or 'wasm'." : undefined;
    fail(kind === 'MemoryError' ? kind : 'DeviceError', { what: 'No backend could take the model', got: [...reasons, reason].join(' '), cure }, error);
  }
  descent.rungs = rest;
  if (!reasons.includes(reason)) reasons.push(reason);
}

/**
 * Uses the first rung on which `use` succeeds; frees those on which it did not.
 * @throws what `retreat` does
 */
export async function descend<T>(descent: Descent, use: (backend: Backend) => Promise<T>): Promise<T> {
  for (;;) {
    let backend: Backend | undefined;
    try {
      backend = await descent.rungs[0].open();
      return await use(backend);
    } catch (error) {
      await pause(); // what failed because of a loss may be heard of before the loss
      const fault = !backend ? 'unopened' : backend.lost?.() ? 'lost' : 'failed';
      await Promise.resolve(backend?.dispose()).catch(() => undefined); // the first error is the one to tell
      retreat(descent, error as Error, fault);
    }
  }
}
