/** The side file `encoders`: the kernels of ops, and of options of ops, that only encoders use. */
import { modules } from 'virtual:rivulet-kernels/encoders';
import { build, shaders } from 'virtual:rivulet-shaders/encoders';
import { WASM_ENCODER_LOWERINGS } from '../backend/wasm/encoders_layers';
import { registerWasmLowerings } from '../backend/wasm/lower';
import { registerKernels } from '../backend/wasm/module';
import { WEBGPU_ENCODER_LOWERINGS } from '../backend/webgpu/encoders_layers';
import { registerWebGpuLowerings } from '../backend/webgpu/lower';
import { registerShaders } from '../backend/webgpu/shader';

registerKernels(modules);
registerWasmLowerings(WASM_ENCODER_LOWERINGS);
registerShaders(shaders, build);
registerWebGpuLowerings(WEBGPU_ENCODER_LOWERINGS);
