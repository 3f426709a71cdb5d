/** Rivulet: LFM2 language models inside the web page. */
export { load, type LoadCall, type Model } from './api/client';
export type { TextStream } from './api/stream';
export type { BackendInfo } from './backend/backend';
export type { ChatOptions, Status } from './engine/engine';
export type { Generation } from './engine/generate';
export type { LoadOptions, ModelInfo } from './engine/model';
export type { GenerateOptions } from './engine/request';
export type { ErrorName } from './errors';
export type { ModelSource } from './store/open';
export type { Progress } from './store/progress';
export type { Message, RenderOptions } from './text/chat';
export { deleteModel, listModels, type CachedModel } from './store/models';
