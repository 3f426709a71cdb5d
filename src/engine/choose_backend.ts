/** Which backend runs the model: the candidates from the best down, and what follows a failure. */
import type { Backend } from '../backend/backend';
import { openWasmBackend } from '../backend/wasm/backend';
import { openWebGpuBackend } from '../backend/webgpu/backend';
import { fail } from '../errors';
import { yieldToEventLoop } from './event_loop';

export interface BackendOptions {
  /** `auto` (default): WebGPU on a real adapter, else WASM. A backend that is named is used, or the call fails. */
  backend?: 'auto' | 'webgpu' | 'wasm';
  /** WASM threads; the default is measured. More than one needs a cross-origin isolated page. */
  threads?: number;
  /** also use WebGPU on a software adapter */
  allowSoftware?: boolean;
  /** false: do not use subgroups or shader-f16, even if the GPU has them */
  subgroups?: boolean;
  f16?: boolean;
  /** WASM instruction set; the default is the best that the browser has */
  variant?: 'simd' | 'relaxed';
  /** f32 activations, never int8: exact, but slower on WASM */
  exact?: boolean;
}

export interface BackendCandidate {
  name: 'webgpu' | 'wasm' | 'reference';
  /** for notes: 'WebGPU without subgroups and f16' */
  label: string;
  open(): Backend | Promise<Backend>;
}

export function backendCandidates({
  backend = 'auto',
  threads,
  allowSoftware,
  subgroups,
  f16,
  variant,
  exact,
}: BackendOptions): BackendCandidate[] {
  const gpu = { allowSoftware, subgroups, f16, exact };
  const candidates: BackendCandidate[] = [];
  if (backend !== 'wasm') {
    candidates.push({ name: 'webgpu', label: 'WebGPU', open: () => openWebGpuBackend(gpu) });
    if (subgroups !== false || f16 !== false)
      candidates.push({
        name: 'webgpu',
        label: 'WebGPU without subgroups and f16',
        open: () => openWebGpuBackend({ ...gpu, subgroups: false, f16: false }),
      });
  }
  if (backend !== 'webgpu')
    candidates.push({ name: 'wasm', label: 'WASM', open: () => openWasmBackend({ threads, variant, exact }) });
  return candidates;
}

/** The backends that a model may still use. It lives as long as the model. */
export interface FallbackState {
  /** the first is in use, or is tried next */
  candidates: BackendCandidate[];
  /** why earlier candidates failed, and which devices were lost */
  reasons: string[];
  /** when a device was last lost, as performance.now() */
  lostAt: number;
}

export const createFallbackState = (candidates: BackendCandidate[]): FallbackState => ({
  candidates,
  reasons: [],
  lostAt: -Infinity,
});

/**
 * After a second loss within this time the backend is not used again: reloading again and again costs more than a
 * faster backend gains.
 */
export const REPEATED_DEVICE_LOSS_MS = 60_000;

/** Another backend does not help against these. */
const NOT_THE_BACKENDS_FAULT = [
  'AbortError',
  'CheckpointError',
  'SourceError',
  'StorageError',
  'ContextError',
  'RequestError',
];

/** `unopened`: the backend did not open; `failed`: it did not run the model; `lost`: its device is gone */
export type BackendFailureStage = 'unopened' | 'failed' | 'lost';

/**
 * Sets what is tried after the first candidate failed. After a first loss: the same candidate again. After an error of
 * a kernel: the next one, since another variant may work. If the device is missing or its memory is too small: the next
 * backend.
 * @throws the error if no candidate is left, with the reasons of the candidates before
 */
export function handleBackendFailure(fallback: FallbackState, error: Error, failure: BackendFailureStage): void {
  const { candidates, reasons, lostAt } = fallback;
  const [{ name, label }, ...others] = candidates;
  const { name: errorName, message } = error;
  if (NOT_THE_BACKENDS_FAULT.includes(errorName)) throw error;
  const first = reasons.length === 0;
  let remaining =
    failure === 'failed' && errorName !== 'MemoryError'
      ? others
      : others.filter((candidate) => candidate.name !== name);
  let reason = `${label}: ${message}`;
  if (failure === 'lost') {
    fallback.lostAt = performance.now();
    if (fallback.lostAt - lostAt > REPEATED_DEVICE_LOSS_MS) remaining = candidates;
    else reason += ' This was the second time within a minute.';
  }
  if (remaining.length === 0) {
    if (first && failure !== 'unopened') throw error;
    const cure = failure === 'lost' && name === 'webgpu' ? "Load the model with backend 'auto' or 'wasm'." : undefined;
    fail(
      errorName === 'MemoryError' ? errorName : 'DeviceError',
      { what: 'No backend can run the model', got: [...reasons, reason].join(' '), cure },
      error,
    );
  }
  fallback.candidates = remaining;
  if (!reasons.includes(reason)) reasons.push(reason);
}

/**
 * Opens candidates in order until `use` succeeds with one. Backends that fail are freed.
 * @throws what `handleBackendFailure` throws
 */
export async function withWorkingBackend<T>(
  fallback: FallbackState,
  use: (backend: Backend) => Promise<T>,
): Promise<T> {
  for (;;) {
    let backend: Backend | undefined;
    try {
      backend = await fallback.candidates[0].open();
      return await use(backend);
    } catch (error) {
      await yieldToEventLoop(); // a call may fail before the browser reports the loss that caused it
      const failure = !backend ? 'unopened' : backend.lost?.() ? 'lost' : 'failed';
      await Promise.resolve(backend?.dispose()).catch(() => undefined); // the first error is the one to report
      handleBackendFailure(fallback, error as Error, failure);
    }
  }
}
