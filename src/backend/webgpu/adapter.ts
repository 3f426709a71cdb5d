/** Which adapter: found, asked again where browsers refuse at first, and told apart from those that compute on the CPU. */
import { fail } from '../../errors';

/** some browsers refuse the wish instead of ignoring it */
const WISHES: GPURequestAdapterOptions[] = [{ powerPreference: 'high-performance' }, {}];

/** Milliseconds between attempts where there has been an adapter: after a crash the browser's GPU process needs a moment. */
const AGAIN_MS = [250, 750, 2000];

let found = false;

/** @throws DeviceError when the browser has no WebGPU, or no adapter for it */
export async function findAdapter(gpu = globalThis.navigator?.gpu): Promise<GPUAdapter> {
  if (!gpu) fail('DeviceError', { what: 'This browser has no WebGPU', cure: 'The WASM backend works everywhere.' });
  let refusal: unknown;
  for (const wait of [0, ...(found ? AGAIN_MS : [])]) {
    if (wait) await new Promise((resolve) => setTimeout(resolve, wait));
    for (const wish of WISHES) {
      const adapter = await gpu.requestAdapter(wish).catch((error: unknown) => void (refusal = error));
      if (!adapter) continue;
      found = true;
      return adapter;
    }
  }
  const got = refusal === undefined ? undefined : String(refusal);
  return fail('DeviceError', { what: 'The browser offers no WebGPU adapter', got, cure: 'Update the graphics driver, or use the WASM backend.' }, refusal);
}

/** What adapters are called that compute on the CPU. */
export const isSoftware = (name: string): boolean => SOFTWARE.test(name);

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|software|basic render/i;

/** What an adapter is called that computes on the CPU; one without a name, as Firefox gives, is told by WebGL's renderer. */
export function softwareName(info: GPUAdapterInfo): string | undefined {
  const name = describeAdapter(info);
  if (info.isFallbackAdapter || isSoftware(`${name} ${info.device}`)) return name;
  if (name !== UNNAMED || typeof OffscreenCanvas === 'undefined') return undefined;
  const gl = new OffscreenCanvas(1, 1).getContext('webgl');
  if (!gl) return undefined;
  const extension = gl.getExtension('WEBGL_debug_renderer_info');
  const renderer = String(gl.getParameter(extension ? extension.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  return isSoftware(renderer) ? renderer : undefined;
}

const UNNAMED = 'unnamed adapter';

export const describeAdapter = (info: GPUAdapterInfo): string =>
  [info.vendor, info.architecture, info.description || info.device].filter(Boolean).join(' ') || UNNAMED;
