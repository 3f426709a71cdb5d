/**
 * What the engine exports to side files (src/modules/), each on one line with its file. Their build takes these names from the
 * engine instead of a copy (script_texts.ts). A side file that imports another name of these files does not build.
 */
export { recordModel } from '../backend/model_plan';
export { mapMatrices, matricesOf, vectorsOf, weightsOf } from '../backend/plan';
export { randomWeightRows } from '../backend/random_weights';
export { GREEDY_SAMPLING } from '../backend/sampling';
export { allocatedBytes, WasmHeap } from '../backend/wasm/memory';
export { attentionFields, convolutionFields, registerWasmLowerings, reserveCaches } from '../backend/wasm/lower';
export { registerKernels } from '../backend/wasm/module';
export { createWasmProgram } from '../backend/wasm/program';
export { WEIGHT } from '../backend/wasm/structs';
export { bufferBytes, reductionLibrary } from '../backend/webgpu/dispatch';
export { attendCached, attendShape, convolutionRing, headPreparation } from '../backend/webgpu/lower';
export { registerWebGpuLowerings, weightVectorRegion } from '../backend/webgpu/lower';
export { maxBindingBytes, packedMatrixBytes, staging, unallocatedMatrixParts } from '../backend/webgpu/repack';
export { createWebGpuProgram } from '../backend/webgpu/program';
export { registerShaders } from '../backend/webgpu/shader';
export { abortError, fail } from '../errors';
export { parseGguf, MAX_NAME, readCounts, readMetadata, readTensors } from '../format/gguf';
export { HeaderCursor, MAX_HEADER_BYTES, parseHead } from '../format/header_cursor';
export { registerArchitecture } from '../model/architecture';
export { mapLeaves, rowsOf, shapesOf } from '../model/weights';
export { reportRoomForOpenModel, sum } from '../store/cached_models';
export { matchesChecksum, sha256PartOfChecksum, sha256WithQuickChecksum } from '../store/checksum';
export { isLocalSource } from '../store/local_source';
export { CHUNK_BYTES, chunkCount, chunkLength, isQuotaError, requireModelCache } from '../store/model_cache';
export { acquireSharedLock, readLockName, withExclusiveLock } from '../store/model_locks';
export { openModel } from '../store/open_model';
export { ProgressMeter } from '../store/progress';
export { createSha256, toHex } from '../store/sha256';
export { formatMegabytes } from '../store/storage_space';
export { DTYPES, rowBytes } from '../tensor/dtype';
export { simpleRowBytes } from '../tensor/nibbles';
export { findModel, outlineOfDirectory, outlineOfGguf, readHeaders } from './checkpoint';
export { backendCandidates, createFallbackState, withWorkingBackend } from './choose_backend';
export { yieldToEventLoop } from './event_loop';
export { compileWithFittingContext, resolveContextLength } from './load_model';
export { workerCalls } from './worker_calls';
