/** The side file `tools`: calls that loading and chatting do not need. */
import { estimate, type LoadEstimate, type EstimateOptions } from '../engine/estimate';
import { workerCalls } from '../engine/worker_calls';
import { exportModel, importModel, verifyModel, type VerificationResult } from '../store/maintain_models';
import type { ModelSource } from '../store/open_model';
import type { Progress } from '../store/progress';

type OnProgress = (progress: Progress) => void;

/** The calls that the page makes through Comlink. */
export interface ToolCalls {
  estimate(source: ModelSource, options?: EstimateOptions, signal?: AbortSignal): Promise<LoadEstimate>;
  verifyModel(id: string, onProgress?: OnProgress, signal?: AbortSignal): Promise<VerificationResult>;
  exportModel(id: string, signal?: AbortSignal): Promise<Blob>;
  importModel(blob: Blob, onProgress?: OnProgress, signal?: AbortSignal): Promise<string>;
}

Object.assign(workerCalls, {
  estimate,
  verifyModel: (id, onProgress, signal) => verifyModel(id, { onProgress, signal }),
  exportModel: (id, signal) => exportModel(id, { signal }),
  importModel: (blob, onProgress, signal) => importModel(blob, { onProgress, signal }),
} satisfies ToolCalls);
