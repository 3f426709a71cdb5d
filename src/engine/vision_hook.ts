/** Where the side file `vision` prepares a loaded model to read pictures. */
import type { Backend } from '../backend/backend';
import { fail } from '../errors';
import type { LoadedWeights } from '../model/architecture';
import type { Message } from '../text/history';
import type { Tokenizer } from '../text/tokenizer';
import type { Checkpoint } from './checkpoint';

export interface ImageEstimate {
  /** of the prompt */
  tokens: number;
  /** tiles; 1 and 1: the picture is not split */
  columns: number;
  rows: number;
  /** to encode it, as the last tiles took on this device; undefined before the first */
  seconds?: number;
}

/** A model whose weights are in a backend and whose plan is not compiled yet. */
export interface ModelInBackend {
  checkpoint: Checkpoint;
  weights: LoadedWeights;
  backend: Backend;
  tokenizer: Tokenizer;
}

/** Called while the files are open, also when the model is loaded again. */
export let prepareVision = async (_model: ModelInBackend, _signal?: AbortSignal): Promise<void> => {};
export const registerVision = (prepare: typeof prepareVision): void => void (prepareVision = prepare);

/** @throws RequestError, always */
export const failWithoutVision = (): never =>
  fail('RequestError', {
    what: 'The model does not see pictures',
    cure: 'Load a vision model, with its mmproj file.',
  });

/** Where the side file is, it has put texts in the place of pictures. @throws RequestError */
export function refusePictures(messages: readonly Message[]): void {
  for (const message of [messages].flat())
    for (const part of [message?.content].flat())
      if (/^image/.test((part as { type?: string } | undefined)?.type ?? '')) failWithoutVision();
}
