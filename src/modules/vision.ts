/** The side file `vision`: models that see pictures. It needs the side file `encoders`. */
import { seePictures, visionCalls } from '../engine/vision_calls';
import { registerVision } from '../engine/vision_hook';
import { workerCalls } from '../engine/worker_calls';
import { registerArchitecture } from '../model/architecture';
import { LFM2VL } from '../model/lfm2_vl';

registerArchitecture(LFM2VL);
registerVision(seePictures);
Object.assign(workerCalls, visionCalls);
