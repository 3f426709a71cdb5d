/** The side file `experts`: mixtures of experts on WebGPU and WASM, and experts that are read when a token needs them. */
import { build, shaders } from 'virtual:rivulet-shaders/experts';
import { ExpertCache } from '../backend/wasm/expert_cache';
import { WASM_EXPERT_LOWERINGS } from '../backend/wasm/experts';
import { registerExpertCache } from '../backend/wasm/interpreter';
import { registerWasmLowerings } from '../backend/wasm/lower';
import { WEBGPU_EXPERT_LOWERINGS } from '../backend/webgpu/experts';
import { registerWebGpuLowerings } from '../backend/webgpu/lower';
import { registerShaders } from '../backend/webgpu/shader';
import { registerArchitecture } from '../model/architecture';
import { LFM2MOE } from '../model/lfm2_moe';

registerArchitecture(LFM2MOE);
registerShaders(shaders, build);
registerWebGpuLowerings(WEBGPU_EXPERT_LOWERINGS);
registerWasmLowerings(WASM_EXPERT_LOWERINGS);
registerExpertCache((...parts) => new ExpertCache(...parts));
