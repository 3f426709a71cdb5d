/** Starts the worker of the tool `vision_speed`. */
import { wrap, type Remote } from 'comlink';
import type { VisionSpeed } from './vision_speed.worker';

const url = new URL('./vision_speed.worker.ts', import.meta.url);
export const visionSpeed: Remote<VisionSpeed> = wrap<VisionSpeed>(new Worker(url, { type: 'module' }));
