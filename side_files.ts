/** The side files of the library: parts of the engine that are not in its file (src/modules/). */
export const SIDE_FILES = ['tools', 'encoders', 'conversations', 'memory64'] as const;

/**
 * Those that bring kernels: a folder of WGSL files in shaders/, if there is one, and a build of the C kernels
 * (kernels/build.ts). Each has virtual modules of its own, as 'virtual:rivulet-shaders/encoders'.
 */
export const KERNEL_SIDE_FILES = ['encoders', 'memory64'] as const;

export type KernelSideFile = (typeof KERNEL_SIDE_FILES)[number];

/** The side file of a virtual module: undefined for the engine's, null if `id` is another module. */
export function kernelSideFileOf(id: string, module: string): KernelSideFile | undefined | null {
  if (id === module) return undefined;
  return KERNEL_SIDE_FILES.find((name) => id === `${module}/${name}`) ?? null;
}
