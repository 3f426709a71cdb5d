import { defineConfig } from 'vite';
import { wgslKernels } from './shaders/link';
import { wasmKernels } from './src/backend/wasm/kernels/build';

const isolation = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

export default defineConfig({
  plugins: [wasmKernels(), wgslKernels()],
  worker: { format: 'es', plugins: () => [wasmKernels(), wgslKernels()] },
  optimizeDeps: { noDiscovery: true, include: [] },
  server: { headers: isolation },
  preview: { headers: isolation },
});
