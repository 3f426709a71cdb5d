/** The side file `retrieval`: models that make vectors of texts. It needs the side file `encoders`. */
import { encodeWithModel } from '../engine/encode_texts';
import { refuseGeneration } from '../engine/refuse_generation';
import { registerRetrieval } from '../engine/retrieval_hook';
import { workerCalls } from '../engine/worker_calls';
import { registerArchitecture } from '../model/architecture';
import { LFM2RETRIEVAL } from '../model/lfm2_retrieval';

registerArchitecture(LFM2RETRIEVAL);
registerRetrieval(encodeWithModel);
Object.assign(workerCalls, refuseGeneration(workerCalls));
