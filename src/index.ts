/**
 * Rivulet: LFM2 language models inside the web page.
 *
 * Packed kernels and shaders come first, where they compress best. Then the exports of store and text: in rivulet.js
 * their code then lies near the same code of the worker, within the 32 KB in which gzip finds it.
 */
import 'virtual:rivulet-packed';
export { listModels, storedModelBytes, pinModel, type CachedModel, type ModelRoom } from './store/cached_models';
export { forgetConversations } from './store/saved_states';
export { readCalls, type ParsedAnswer, type ReadCallsOptions, type ToolCall } from './text/tool_calls';
export { load, type Model } from './api/client';
export {
  deleteModel,
  downloadModel,
  estimate,
  exportModel,
  importModel,
  modelRoom,
  verifyModel,
} from './api/manage_models';
export type { ChatCallOptions as ChatOptions, LoadCallOptions, DownloadOptions, Overflow } from './api/options';
export type { EmbedOptions, EncodeDocumentsOptions, EncodeQueryOptions } from './api/options';
export type { TextStream } from './api/text_stream';
export type { BackendInfo } from './backend/backend';
export type { ChosenLogprob, Logprob } from './backend/sampling';
export type { EngineStatus } from './engine/engine';
export type { LoadEstimate, EstimateOptions } from './engine/estimate';
export type { GenerationResult } from './engine/generate';
export type { LoadOptions, ModelInfo } from './engine/load_model';
export type { GenerateOptions } from './engine/generate_options';
export type { ErrorName, ErrorParts } from './errors';
export type { ResponseFormat, SchemaReport, ToolChoice } from './engine/constraints';
export type { ImportedConversation } from './engine/conversations';
export type { ScoredChoice } from './engine/score';
export type { ModelSource } from './store/open_model';
export type { ModelCopies } from './store/model_locks';
export type { ImageEstimate } from './engine/vision_hook';
export type { Progress } from './store/progress';
export type { EvictionConsent, EvictionRequest } from './store/storage_space';
export type { AnswerPart } from './text/thinking';
export type { ImageTokens, RenderOptions } from './text/chat_template';
export type { Message } from './text/history';
export type { VerificationResult } from './store/maintain_models';
