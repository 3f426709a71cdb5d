/** Rivulet: LFM2 language models inside the web page. */
export { load, type LoadCall, type Model } from './api/client';
export { downloadModel, estimate, exportModel, importModel, modelRoom, verifyModel, type DownloadOptions } from './api/models';
export type { TextStream } from './api/stream';
export type { BackendInfo } from './backend/backend';
export type { ChosenLogprob, Logprob } from './backend/sampling';
export type { ChatOptions, Status } from './engine/engine';
export type { Estimate, EstimateOptions } from './engine/estimate';
export type { Generation } from './engine/generate';
export type { LoadOptions, ModelInfo } from './engine/model';
export type { GenerateOptions } from './engine/request';
export type { ErrorName, ErrorParts } from './errors';
export type { ModelSource } from './store/open';
export type { Progress } from './store/progress';
export type { Consent, Eviction } from './store/room';
export { readCalls, type Spoken, type ToolCall } from './text/calls';
export type { Message, RenderOptions } from './text/chat';
export { deleteModel, listModels, modelSize, pinModel, type CachedModel, type Room, type Verification } from './store/models';
