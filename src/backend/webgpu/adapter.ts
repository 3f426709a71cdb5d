/** Finds the GPU adapter, with retries after a loss, and recognises adapters that compute on the CPU. */
import { fail } from '../../errors';

/** some browsers reject the preference instead of ignoring it */
const REQUESTS: GPURequestAdapterOptions[] = [{ powerPreference: 'high-performance' }, {}];

/** Milliseconds between attempts if there was an adapter before: after a crash the browser restarts its GPU process. */
const RETRY_MS = [250, 750, 2000];

let hadAdapter = false;

/** @throws DeviceError when the browser has no WebGPU, or no adapter for it */
export async function findAdapter(gpu = globalThis.navigator?.gpu): Promise<GPUAdapter> {
  if (!gpu && globalThis.isSecureContext === false)
    fail('DeviceError', {
      what: 'WebGPU needs https or localhost',
      cure: 'Serve the page over https, or use the WASM backend.',
    });
  if (!gpu)
    fail('DeviceError', {
      what: 'This browser has no WebGPU',
      cure: 'Use a browser with WebGPU, or the WASM backend.',
    });
  let refusal: unknown;
  for (const wait of [0, ...(hadAdapter ? RETRY_MS : [])]) {
    if (wait) await new Promise((resolve) => setTimeout(resolve, wait));
    for (const request of REQUESTS) {
      const adapter = await gpu.requestAdapter(request).catch((error: unknown) => void (refusal = error));
      if (!adapter) continue;
      hadAdapter = true;
      return adapter;
    }
  }
  const got = refusal === undefined ? undefined : String(refusal);
  return fail(
    'DeviceError',
    { what: 'The browser found no WebGPU adapter', got, cure: 'Update the graphics driver, or use the WASM backend.' },
    refusal,
  );
}

/** Whether an adapter of this name computes on the CPU. */
export const isSoftwareAdapterName = (name: string): boolean => SOFTWARE.test(name);

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|software|basic render/i;

/**
 * The name of an adapter that computes on the CPU, undefined for a real GPU. Firefox gives no names: there the WebGL
 * renderer tells.
 */
export function softwareAdapterName(info: GPUAdapterInfo): string | undefined {
  const name = adapterName(info);
  if (info.isFallbackAdapter || isSoftwareAdapterName(`${name} ${info.device}`)) return name;
  if (name !== UNNAMED || typeof OffscreenCanvas === 'undefined') return undefined;
  const gl = new OffscreenCanvas(1, 1).getContext('webgl');
  if (!gl) return undefined;
  const extension = gl.getExtension('WEBGL_debug_renderer_info');
  const renderer = String(gl.getParameter(extension ? extension.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  return isSoftwareAdapterName(renderer) ? renderer : undefined;
}

const UNNAMED = 'unnamed adapter';

export const adapterName = (info: GPUAdapterInfo): string =>
  [info.vendor, info.architecture, info.description || info.device].filter(Boolean).join(' ') || UNNAMED;
