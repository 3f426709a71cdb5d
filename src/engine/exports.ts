/**
 * What the engine exports to side files (src/modules/), a statement for each file. Their build takes these names from
 * the engine instead of a copy (script_texts.ts). A side file that imports another name of these files does not build.
 */
export { recordModel } from '../backend/model_plan';
export {
  convStatesOf,
  kvCachesOf,
  mapMatrices,
  matricesOf,
  recordPlan,
  shareRead,
  vectorsOf,
  weightsOf,
} from '../backend/plan';
export { randomWeightRows } from '../backend/random_weights';
export { GREEDY_SAMPLING } from '../backend/sampling';
export { StateCursor } from '../backend/state_cursor';
export { allocatedBytes, WasmHeap, megabytes } from '../backend/wasm/memory';
export {
  attentionFields,
  convolutionFields,
  linearFields,
  normFields,
  registerWasmLowerings,
  reserveCaches,
} from '../backend/wasm/lower';
export { registerPagedExperts } from '../backend/wasm/interpreter';
export { packedBytes, registerKernels, registerKernels64 } from '../backend/wasm/module';
export { createWasmProgram } from '../backend/wasm/program';
export { createWasmState, sizeOf } from '../backend/wasm/state';
export { kernelStructs } from '../backend/wasm/structs';
export { createBufferGroup } from '../backend/webgpu/buffer_group';
export {
  cacheRegions,
  closeConversation,
  encodeCopies,
  makeReady,
  nextStep,
  openConversation,
  roomFor,
} from '../backend/webgpu/conversation';
export { submitDispatches } from '../backend/webgpu/batches';
export { encodeDispatches } from '../backend/webgpu/device';
export { bufferBytes, reductionLibrary } from '../backend/webgpu/dispatch';
export { attendCached, attendShape, convolutionRing, headPreparation } from '../backend/webgpu/lower';
export { registerWebGpuLowerings, weightVectorRegion } from '../backend/webgpu/lower';
export {
  createMatrixWriter,
  maxBindingBytes,
  PACKED_FORMATS,
  packedMatrixBytes,
  releaseMatrix,
  staging,
  unallocatedMatrixParts,
} from '../backend/webgpu/repack';
export { createWebGpuProgram, registerGpuPagedExperts } from '../backend/webgpu/program';
export { tilesOf } from '../backend/webgpu/expert_buffers';
export { partDispatch, samePartition } from '../backend/webgpu/linear';
export { createReadbackPool } from '../backend/webgpu/readback';
export { registerPlanOfExperts } from '../backend/webgpu/self_test';
export { registerShaders } from '../backend/webgpu/shader';
export { createWebGpuState, decodeDispatches, submitWindow } from '../backend/webgpu/state';
export { columnBytes, copyColumns, keyCacheBytes } from '../backend/webgpu/state_buffers';
export { abortError, fail, show } from '../errors';
export { parseGguf, MAX_NAME, readCounts, readMetadata, readTensors } from '../format/gguf';
export { HeaderCursor, MAX_HEADER_BYTES, parseHead } from '../format/header_cursor';
export { LFM2, registerArchitecture } from '../model/architecture';
export { inLayer, lfm2Weights, runLayers } from '../model/lfm2';
export {
  checkedNumbers,
  configFromGguf,
  configFromJson,
  CURE,
  isRecord,
  LIMITS,
  positive,
  refuseIf,
} from '../model/read_config';
export { mapLeaves, rowsOf, shapesOf } from '../model/weights';
export { reportRoomForOpenModel, sum } from '../store/cached_models';
export { matchesChecksum, quickChecksum, sha256PartOfChecksum, sha256WithQuickChecksum } from '../store/checksum';
export { isLocalSource } from '../store/local_source';
export {
  CHUNK_BYTES,
  chunkCount,
  chunkLength,
  isQuotaError,
  keysWithin,
  openModelCache,
  requireModelCache,
  SWAP_FILES,
  swapFileName,
} from '../store/model_cache';
export { acquireSharedLock, copiesOf, readLockName, withExclusiveLock } from '../store/model_locks';
export { openModel } from '../store/open_model';
export { ProgressMeter } from '../store/progress';
export { createSha256, equalBytes, sha256, toHex } from '../store/sha256';
export { formatMegabytes, freeStorageBytes } from '../store/storage_space';
export { dequantize } from '../tensor/dequant';
export { DTYPES, rowBytes } from '../tensor/dtype';
export { simpleRowBytes } from '../tensor/nibbles';
export { findModel, outlineOfDirectory, outlineOfGguf, readHeaders } from './checkpoint';
export { backendCandidates, createFallbackState, withWorkingBackend } from './choose_backend';
export { registerConstraints } from './constraints';
export { registerSavedConversations } from './conversations';
export { yieldToEventLoop } from './event_loop';
export { compileWithFittingContext, pagesExperts, registerPaging, resolveContextLength } from './load_model';
export { matrixSpec } from './load_weights';
export { registerSpeculation } from './generate';
export { alignPromptToHistory, commonPrefixLength } from './prompt_reuse';
export { historyLength, historyTokens, truncateHistory } from './token_history';
export { registerRetrieval } from './retrieval_hook';
export { registerVision } from './vision_hook';
export { workerCalls } from './worker_calls';
