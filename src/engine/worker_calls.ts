/** What the page can call in the worker. Side files (src/modules/) add their calls to it. */
import { createEngine } from './engine';
import { workerModelCalls } from './worker_model_calls';

export const workerCalls = { ...createEngine(), ...workerModelCalls };
