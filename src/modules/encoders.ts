/** The side file `encoders`: the kernels of ops, and of options of ops, that only encoders use. */
import { modules } from 'virtual:rivulet-kernels/encoders';
import { build, shaders } from 'virtual:rivulet-shaders/encoders';
import { registerKernels } from '../backend/wasm/module';
import { registerShaders } from '../backend/webgpu/shader';

registerKernels(modules);
registerShaders(shaders, build);
