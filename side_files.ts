/** The side files of the library: parts of the engine that are not in its file (src/modules/). */
export const SIDE_FILES = ['tools', 'encoders', 'conversations'] as const;

/**
 * Those that bring kernels: a folder of WGSL files in shaders/, and a build of the C kernels with a macro of their
 * name. Each has virtual modules of its own, as 'virtual:rivulet-shaders/encoders'.
 */
export const KERNEL_SIDE_FILES = ['encoders'] as const;

export type KernelSideFile = (typeof KERNEL_SIDE_FILES)[number];

/** The side file of a virtual module: undefined for the engine's, null if `id` is another module. */
export function kernelSideFileOf(id: string, module: string): KernelSideFile | undefined | null {
  if (id === module) return undefined;
  return KERNEL_SIDE_FILES.find((name) => id === `${module}/${name}`) ?? null;
}
