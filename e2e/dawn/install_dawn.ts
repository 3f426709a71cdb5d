/** Provides `navigator.gpu` in Node from Dawn, as a browser does for a page. */
import { create, globals } from 'webgpu';
import { adapterName, findAdapter, isSoftwareAdapterName } from '../../src/backend/webgpu/adapter';

export interface Adapter {
  name: string;
  /** the adapter computes on the CPU */
  software: boolean;
  info: Record<'vendor' | 'architecture' | 'device' | 'description', string>;
  subgroups: [min: number, max: number];
  features: string[];
  languageFeatures: string[];
  limits: Record<string, number>;
  node: string;
}

const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
] as const;

/** references to Dawn's instances, which must outlive their devices */
const instances: GPU[] = [];

/**
 * Sets `navigator.gpu`.
 * @throws when there is no adapter; the error says how to name a driver
 */
export async function installDawn({ adapter, features }: { adapter?: string; features?: string }): Promise<Adapter> {
  Object.assign(globalThis, globals);
  const install = (...disabled: string[]): void => {
    const gpu = create([
      ...(adapter ? [`adapter=${adapter}`] : []),
      ...(features ? [`enable-dawn-features=${features}`] : []),
      `disable-dawn-features=${disabled.join()}`,
    ]);
    instances.push(gpu);
    Object.defineProperty(globalThis, 'navigator', {
      value: { gpu, userAgent: `Node ${process.version}, Dawn` },
      configurable: true,
    });
  };
  const find = (): Promise<GPUAdapter> =>
    findAdapter().catch((error: Error) => {
      throw new Error(
        `${error.message} Dawn sees no GPU: VK_DRIVER_FILES=/path/to/a_driver_icd.json names its Vulkan driver, VK_LOADER_DEBUG=all shows what the loader tried.`,
        { cause: error },
      );
    });
  // timestamps in ns; browsers round them to 100 µs
  install('timestamp_quantization');
  let found = await find();
  if (isSoftwareAdapterName(adapterName(found.info))) {
    // with Vulkan's extension for zeroing workgroup memory SwiftShader takes seconds to compile a kernel; zeroing in
    // the shader takes a tenth
    install('timestamp_quantization', 'use_vulkan_zero_initialize_workgroup_memory_extension');
    found = await find();
  }
  const { info, limits } = found;
  const { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize } = info;
  return {
    name: adapterName(info),
    software: isSoftwareAdapterName(adapterName(info)),
    info: { vendor, architecture, device, description },
    subgroups: [subgroupMinSize, subgroupMaxSize],
    features: [...found.features].sort(),
    languageFeatures: [...(globalThis.navigator.gpu.wgslLanguageFeatures ?? [])].sort(),
    limits: Object.fromEntries(LIMITS.map((name) => [name, limits[name]])),
    node: process.version,
  };
}
