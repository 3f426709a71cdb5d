/** The worker of `inspect`. */
import { expose } from 'comlink';
import '../engine/comlink_handlers';
import { inspectModel } from './inspect_model';

export interface InspectWorkerCalls {
  inspectModel: typeof inspectModel;
}

expose({ inspectModel } satisfies InspectWorkerCalls);
