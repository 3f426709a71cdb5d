/** The side file `experts`: mixtures of experts, and experts that are read when a token needs them. */
import { build, shaders } from 'virtual:rivulet-shaders/experts';
import { ExpertCache } from '../backend/wasm/expert_cache';
import { WASM_EXPERT_LOWERINGS } from '../backend/wasm/experts';
import { registerPagedExperts } from '../backend/wasm/interpreter';
import { registerWasmLowerings } from '../backend/wasm/lower';
import { WEBGPU_EXPERT_LOWERINGS } from '../backend/webgpu/experts';
import { pageExperts } from '../backend/webgpu/experts_paged';
import { planOfExperts } from '../backend/webgpu/experts_self_test';
import { registerWebGpuLowerings } from '../backend/webgpu/lower';
import { registerGpuPagedExperts } from '../backend/webgpu/program';
import { registerPlanOfExperts } from '../backend/webgpu/self_test';
import { registerShaders } from '../backend/webgpu/shader';
import { registerPaging } from '../engine/load_model';
import { paging } from '../engine/paging';
import { registerArchitecture } from '../model/architecture';
import { LFM2MOE } from '../model/lfm2_moe';

registerArchitecture(LFM2MOE);
registerPaging(paging);
registerShaders(shaders, build);
registerWebGpuLowerings(WEBGPU_EXPERT_LOWERINGS);
registerPlanOfExperts(planOfExperts);
registerGpuPagedExperts(pageExperts);
registerWasmLowerings(WASM_EXPERT_LOWERINGS);
registerPagedExperts((...parts) => new ExpertCache(...parts));
